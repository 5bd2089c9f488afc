"""Candidates and labels meet by id, and composition is fitted on training rows alone."""

import numpy as np
import pandas as pd
import pytest

from jaxalign.embeddings.record import Embeddings
from jaxalign.learning.selection.pool import TaskValues, make_pool
from jaxalign.learning.selection.task import Task
from jaxalign.models.card import ModelCard


def embeddings(name, ids, rng, family="F"):
    card = ModelCard(id=name, name=name, family=family, modality="3d", pretrained=True)
    return Embeddings(rng.normal(size=(len(ids), 4)).astype(np.float32), tuple(ids), card)


def test_rows_follow_the_ids_whatever_the_order(rng):
    ids = [f"s{i}" for i in range(12)]
    a, b = embeddings("a", ids, rng), embeddings("b", ids[::-1], rng)
    labels = {identifier: float(i) for i, identifier in enumerate(ids) if i != 3}
    pool = make_pool("data", {"a": a, "b": b}, [Task("t", labels, "data")])
    assert pool.ids == tuple(i for i in ids if i != "s3")
    assert np.array_equal(pool.embedding("b"), b.values[::-1][[i for i in range(12) if i != 3]])
    assert pool.tasks[0].values.tolist() == list(labels.values())
    assert pool.families() == {"a": "F", "b": "F"}
    assert len(np.unique(pool.groups)) == 11


def test_missing_rows_are_told(rng):
    ids = [f"s{i}" for i in range(8)]
    candidates = {"a": embeddings("a", ids, rng), "b": embeddings("b", ids[2:], rng, family="")}
    task = Task("t", {i: float(n) for n, i in enumerate(ids)})
    with pytest.warns(UserWarning, match="6 ids they share"):
        pool = make_pool("", candidates, [task])
    assert pool.notes[0] == "b lacks 2 structures that others have"
    assert "6 structures that all represent" in pool.notes[1]
    assert pool.families()["b"] == "(b)"


def test_hostile_rows_and_labels_are_named(rng):
    ids = [f"s{i}" for i in range(8)]
    a, b = embeddings("a", ids, rng), embeddings("b", ids, rng)
    task = Task("t", {i: float(n) for n, i in enumerate(ids)})
    with pytest.raises(ValueError, match=r"no structure has both .*'s0'.*'x0'"):
        make_pool("", {"a": a, "b": b}, [Task("t", {"x0": 1.0, "x1": 2.0})])
    with pytest.raises(ValueError, match="t: all labels of the 2 structures"):
        make_pool("", {"a": a, "b": b}, [Task("t", {"s0": 1.0, "s1": 1.0, "absent": 2.0})])
    b.values[5, 2] = np.nan
    with pytest.raises(ValueError, match=r"embeddings of 'b'.*s5"):
        make_pool("", {"a": a, "b": b}, [task])


def test_groups_of_any_task_stay_together(rng):
    ids = [f"s{i}" for i in range(6)]
    labels = {i: float(n) for n, i in enumerate(ids)}
    tasks = [
        Task("t", labels, groups={"s0": "x", "s1": "x", "s4": "z"}),
        Task("u", labels, groups={"s1": "y", "s2": "y", "s4": "x"}),
    ]
    pool = make_pool("", {n: embeddings(n, ids, rng) for n in "ab"}, tasks)
    groups = pool.groups
    assert groups[0] == groups[1] == groups[2]
    assert len({*groups[2:].tolist()}) == 4


def test_composition_is_fitted_on_training_rows_alone(rng):
    counts = rng.integers(1, 9, size=(40, 3)).astype(np.float64)
    energies = counts @ np.array([-0.5, -38.0, -75.0]) + rng.normal(size=40)
    train = np.arange(25)
    found, known = TaskValues("u0", energies, counts).beyond_composition(train)
    fitted = np.linalg.lstsq(counts[train], energies[train], rcond=None)[0]
    assert np.allclose(found, energies - counts @ fitted, atol=1e-9)
    assert known.all()
    # Other test labels leave every training residual and every coefficient as they are.
    other = energies.copy()
    other[25:] += 1e3 * rng.normal(size=15)
    moved, _ = TaskValues("u0", other, counts).beyond_composition(train)
    assert np.array_equal(moved[train], found[train])
    assert np.allclose(moved[25:] - found[25:], other[25:] - energies[25:], rtol=1e-9)


def test_elements_that_training_rows_lack_are_not_predicted():
    counts = pd.DataFrame({1: [2, 2, 4, 2], 6: [1, 2, 1, 1], 9: [0, 0, 0, 1]}).to_numpy(np.float64)
    task = TaskValues("u0", np.array([1.0, 2.0, 3.0, 99.0]), counts)
    assert task.beyond_composition(np.arange(3))[1].tolist() == [True, True, True, False]
    assert task.beyond_composition(np.arange(4))[1].all()
