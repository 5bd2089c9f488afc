"""What is chosen on other tasks, and what it is worth on the one left out."""

import numpy as np
import pytest

from jaxalign.learning.selection.leave_one_out import (
    ANY,
    MEAN,
    SCOPES,
    WEIGHTED,
    leave_one_task_out,
)
from tests.learning.selection.planted_points import CRITERIA, planted

SETTINGS = dict(truth="ridge", permutations=199, confidence=0.95, seed=0)


def rows(points, scope=SCOPES[0], rule=ANY):
    table = leave_one_task_out(points, CRITERIA, **SETTINGS)
    return table[table["chosen_on"].eq(scope) & table["rule"].eq(rule)].set_index("task")


def test_what_is_good_everywhere_carries_over(rng):
    points = [planted(name, rng) for name in ("t", "u", "v")]
    found = rows(points)
    assert found.loc[["t", "u", "v"], "criterion"].tolist() == ["label:cka"] * 3
    assert (found["spearman"] > 0.95).all()
    assert (found["regret"].abs() < 0.02).all()
    assert (found["p"][:3] < 0.02).all()
    assert found.loc[MEAN, "spearman"] == pytest.approx(found["spearman"][:3].mean())
    assert rows(points, rule="label-free")["criterion"][:3].tolist() == ["own:width"] * 3


def test_the_choice_does_not_see_the_task_left_out(rng):
    others = [planted(name, rng) for name in ("t", "u")]
    found = rows([*others, planted("odd", rng, good="probe:ridge")])
    assert found.loc["odd", "criterion"] == "label:cka"
    assert found.loc["odd", "spearman"] < 0.9


def test_other_data_sets_choose_apart(rng):
    points = [
        planted("t", rng),
        planted("u", rng),
        planted("v", rng, good="own:width", dataset="crystals"),
    ]
    found = rows(points, scope=SCOPES[1])
    assert found["criterion"][:3].tolist() == ["own:width", "own:width", "label:cka"]
    assert len(rows(points[:2], scope=SCOPES[1])) == 0


def test_weights_follow_correlations_on_other_tasks(rng):
    found = rows([planted(name, rng) for name in ("t", "u", "v", "w")], rule=WEIGHTED)
    assert (found["criterion"][:4] == WEIGHTED).all()
    assert found.loc[MEAN, "spearman"] > 0.5


def test_the_interval_repeats_the_choice(rng):
    found = rows([planted(name, rng, good="probe:ridge") for name in ("t", "u")], rule=WEIGHTED)
    known = found[found["low"].notna()]
    assert (known["low"] <= known["spearman"]).all()
    assert (known["spearman"] <= known["high"]).all()
    assert (known["low"] < known["high"]).all()


def test_where_it_is_not_possible_the_reason_stands_alone(rng):
    task = planted("t", rng)
    for points, words in (
        ([task], "not possible: one task"),
        ([], "no task with held-out errors"),
    ):
        (row,) = leave_one_task_out(points, CRITERIA, **SETTINGS).to_dict("records")
        assert words in row["reason"]
    other = planted("u", rng)
    other.scores[0, :, 0] = np.nan
    (row,) = leave_one_task_out([task, other], CRITERIA, **SETTINGS).to_dict("records")
    assert row["reason"] == "not possible: no criterion is known of all candidates"


def test_criteria_that_some_candidate_lacks_take_no_part(rng):
    points = [planted(name, rng) for name in ("t", "u")]
    points[1].scores[0, 1, 0] = np.nan
    assert "label:cka" not in set(leave_one_task_out(points, CRITERIA, **SETTINGS)["criterion"])
