"""How far a run has come: the best step, patience, the same after a journey through JSON."""

import json

from jaxalign.learning.training.standing import Standing


def test_patience_counts_evaluations_without_a_better_one():
    standing, better = Standing(), []
    for step, error in enumerate([0.5, 0.4, 0.4, 0.41, 0.3, 0.6, 0.7]):
        standing.step = step
        better.append(standing.evaluated(error))
    assert better == [True, True, False, False, True, False, False]
    assert (standing.best_step, standing.best_mae_ev, standing.waited) == (4, 0.3, 2)
    assert standing.stopped(steps=100, patience=3) is None
    assert standing.stopped(steps=100, patience=2) == "patience"
    assert standing.stopped(steps=6, patience=3) == "steps"


def test_json_keeps_every_bit(rng):
    standing = Standing(step=3, best_step=2, best_mae_ev=float(rng.normal()), waited=1)
    standing.watch.look([float(rng.uniform())], [1.0])
    facts = json.loads(json.dumps(standing.to_json() | {"more": 1}))
    assert Standing.from_json(facts) == standing
    fresh = Standing()
    assert Standing.from_json(json.loads(json.dumps(fresh.to_json()))) == fresh
