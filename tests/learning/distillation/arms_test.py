"""Arms of a student: equal budgets, equal beginnings, finished runs read back, bad arms refused."""

import numpy as np
import pytest

from jaxalign.embeddings.record import Embeddings
from jaxalign.learning.distillation.arms import Arm, Lesson, teach
from jaxalign.learning.training.task import make_task
from jaxalign.models.card import ModelCard
from tests.learning.training import toys

ARMS = (
    Arm("alone"),
    Arm("distilled", teacher="t", weight=0.5),
    Arm("pool first", teacher="t", weight=0.5, pool=0.5),
)


def _lesson(seed, *, missing=0):
    structures = toys.molecules(120, seed)
    splits = {"label": "u0_hartree", "validation": 20, "test": 20}
    tasks = {count: make_task(structures, **splits, train=count) for count in (32, 64)}
    rng = np.random.default_rng(seed)
    card = ModelCard(id="t", name="t", family="t", modality="3d", pretrained=True)
    values = rng.normal(size=(120 - missing, 3)).astype(np.float32)
    teacher = Embeddings(values, tuple(structures.ids[missing:]), card)
    network, pool = toys.network(), make_task(structures, **splits)
    return Lesson(network, tasks, pool, toys.settings(steps=12), {"t": teacher})


def test_every_arm_runs_with_its_budget_and_is_read_back(tmp_path):
    # A fixed seed: in a few of them twelve updates better nothing, and all arms keep step 0.
    lesson = _lesson(11)
    table = teach(lesson, ARMS, tmp_path, seeds=[3])
    assert len(table) == 3 * 2
    assert np.isfinite(table[["test_mae_ev", "validation_mae_ev", "cka"]]).all(axis=None)
    alone = table[table["arm"] == "alone"].set_index(["labels", "seed"])["test_mae_ev"]
    taught = table[table["arm"] == "distilled"].set_index(["labels", "seed"])["test_mae_ev"]
    assert (alone != taught).any()
    budgets = table.groupby("arm")["steps"].max()
    assert budgets["alone"] == budgets["distilled"] == 12
    assert budgets["pool first"] == 6  # the other half learned the geometry of the pool
    again = teach(lesson, ARMS, tmp_path, seeds=[3])
    names = ["arm", "labels", "seed", "test_mae_ev", "cka"]
    assert again[names].equals(table[names])


def test_a_teacher_without_some_rows_is_refused(tmp_path, rng):
    lesson = _lesson(int(rng.integers(2**31)), missing=100)
    with pytest.raises(ValueError, match=r"teacher t has no rows for \d+ of 100 .*m"):
        teach(lesson, ARMS[:2], tmp_path, seeds=[0])


def test_bad_arms_are_refused(tmp_path):
    with pytest.raises(ValueError, match="alone"):
        Arm("alone", teacher="t")
    with pytest.raises(ValueError, match="share"):
        Arm("x", teacher="t", pool=1.0)
    with pytest.raises(ValueError, match="no embeddings of the teacher 'u'"):
        teach(_lesson(0), [ARMS[0], Arm("x", teacher="u")], tmp_path, seeds=[0])
    with pytest.raises(ValueError, match="names of their own"):
        teach(_lesson(0), ARMS[1:], tmp_path, seeds=[0])
