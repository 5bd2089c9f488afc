"""What labels a task takes, and what it says of those it does not."""

import dataclasses

import numpy as np
import pytest

from jaxalign.learning.selection.task import Task, labeled_task
from jaxalign.structures.structure import Structure, StructureSet


def molecules(labels):
    """Water with a label each; None for no label."""
    found = []
    for number, value in enumerate(labels):
        own = {} if value is None else {"u0_hartree": value}
        atoms = np.array([8, 1, 1], np.int32)
        found.append(Structure(f"m{number}", atomic_numbers=atoms, labels=own, group=None))
    return StructureSet(found, name="water")


def test_labels_of_structures_become_a_task(rng):
    values = rng.normal(size=5)
    task = labeled_task(molecules(values), "u0_hartree", beyond_composition=True)
    assert task.name == "u0_hartree"
    assert task.dataset == "water"
    assert task.labels == {f"m{i}": value for i, value in enumerate(values)}
    assert task.counts.to_numpy().tolist() == [[2, 1]] * 5
    assert not task.groups


def test_groups_of_structures_are_taken_over():
    copies = [dataclasses.replace(s, group="parent") for s in molecules([1.0, 2.0, 3.0])]
    task = labeled_task(StructureSet(copies), "u0_hartree")
    assert set(task.groups.values()) == {"parent"}


def test_labels_of_a_file_may_cover_a_part():
    task = labeled_task(molecules([None] * 4), "gap", labels={"m1": 1.0, "m3": 2.0, "other": 3.0})
    assert task.labels == {"m1": 1.0, "m3": 2.0}


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_missing_labels_are_named_or_dropped(missing):
    structures = molecules([1.0, missing, 2.0])
    with pytest.raises(ValueError, match=r"1 of 3 structures .*\['m1'\].*on_missing='drop'"):
        labeled_task(structures, "u0_hartree")
    assert list(labeled_task(structures, "u0_hartree", on_missing="drop").labels) == ["m0", "m2"]


def test_an_absent_label_names_those_there_are():
    with pytest.raises(ValueError, match=r"no structure of water has the label 'gap'.*u0_hartree"):
        labeled_task(molecules([1.0, 2.0]), "gap")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"a": 1.0, "b": float("inf"), "c": 2.0}, r"1 labels are not finite, e.g. of \['b'\]"),
        ({"a": 3.0, "b": 3.0}, "all 2 labels are equal"),
    ],
)
def test_hostile_labels_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        Task("gap", labels)


def test_a_labelled_structure_needs_its_composition():
    counts = labeled_task(molecules([1.0, 2.0]), "u0_hartree", beyond_composition=True).counts
    with pytest.raises(ValueError, match=r"no composition for 1 .*\['m7'\].*counts=None"):
        Task("u0", {"m0": 1.0, "m7": 2.0}, counts=counts)
