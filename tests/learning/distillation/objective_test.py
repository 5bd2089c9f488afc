"""The loss is the sum it says, its parts as weighted; missing teachers' rows are named."""

import jax
import numpy as np
import pytest

import jaxalign as ja
from jaxalign.embeddings.record import Embeddings
from jaxalign.learning.distillation.objective import distillation
from jaxalign.learning.training.objective import regression
from jaxalign.models.card import ModelCard
from tests.learning.training import toys


def _teacher(rng, ids, d=5):
    card = ModelCard(id="t", name="t", family="t", modality="3d", pretrained=True)
    return Embeddings(rng.normal(size=(len(ids), d)).astype(np.float32), tuple(ids), card)


def _minibatch(rng, count=12):
    structures = toys.molecules(count, int(rng.integers(2**31)))
    network = toys.network()
    examples = [network.featurize(s) for s in structures]
    batch = network.batching.collate(examples, (8, count))
    targets = {"target": rng.normal(size=count).astype(np.float32)}
    params = network.init(jax.random.key(int(rng.integers(2**31))))
    return network, structures, params, batch, targets


def test_the_loss_is_the_weighted_sum_of_both(rng):
    network, structures, params, batch, targets = _minibatch(rng)
    teacher = _teacher(rng, structures.ids)
    objective = distillation(network, teacher, weight=0.3)
    targets |= objective.extra_rows(structures.ids)
    total, numbers = objective.loss(objective.outputs(params, batch), targets)
    plain = regression(network)
    alone, _ = plain.loss(plain.outputs(params, batch), targets)
    values, mask = network.features(params, batch, None)
    weights = np.asarray(mask, np.float32)[..., None]
    embedded = (np.asarray(values) * weights).sum(1) / weights.sum(1)
    apart = 1 - float(ja.metrics.cka(embedded, teacher.values))
    assert float(numbers["alignment_loss"]) == pytest.approx(apart, abs=1e-4)
    assert float(total) == pytest.approx(float(alone) + 0.3 * apart, abs=1e-4)


def test_without_the_task_labels_have_no_gradient(rng):
    network, structures, params, batch, targets = _minibatch(rng)
    objective = distillation(network, _teacher(rng, structures.ids), weight=1.0, task=0.0)
    targets |= objective.extra_rows(structures.ids)

    def loss(params, targets):
        return objective.loss(objective.outputs(params, batch), targets)[0]

    gradient = jax.grad(loss)(params, targets)
    other = jax.grad(loss)(params, {**targets, "target": targets["target"] + 5})
    jax.tree.map(np.testing.assert_array_equal, gradient, other)
    assert float(np.abs(gradient["embed"]).max()) > 0
    assert float(np.abs(gradient["outer"]).max()) == 0


def test_a_teacher_with_missing_rows_is_refused_with_the_first_id(rng):
    structures = toys.molecules(6, 0)
    objective = distillation(toys.network(), _teacher(rng, structures.ids[1:]), weight=1.0)
    with pytest.raises(ValueError, match=r"teacher has no rows for 1 of 6 .*'m0'"):
        objective.extra_rows(structures.ids)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alignment": "cosine"}, "cosine"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"weight": 0.0, "task": 0.0}, "positive"),
    ],
)
def test_impossible_settings_are_refused(rng, changes, words):
    with pytest.raises(ValueError, match=words):
        distillation(toys.network(), _teacher(rng, ["a"]), **({"weight": 1.0} | changes))
