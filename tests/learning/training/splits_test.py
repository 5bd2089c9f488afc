"""Splits: disjoint, by group, independent of the order of structures, nested."""

import numpy as np
import pytest

from jaxalign.learning.training.splits import split_structures
from jaxalign.structures.structure import StructureSet
from tests.learning.training import toys


def ids(splits):
    return {name: list(part.ids) for name, part in splits}


def test_splits_are_disjoint_complete_and_of_the_sizes_asked_for(rng):
    structures = toys.molecules(70, rng.integers(2**31))
    found = ids(split_structures(structures, validation=11, test=7, seed=int(rng.integers(99))))
    assert {name: len(part) for name, part in found.items()} == {
        **{"train": 52, "validation": 11, "test": 7}
    }
    assert sorted(i for part in found.values() for i in part) == sorted(structures.ids)


def test_the_order_of_structures_does_not_matter_but_the_seed_does(rng):
    structures = toys.molecules(60, rng.integers(2**31))
    shuffled = StructureSet([structures[row] for row in rng.permutation(60)])
    sizes = {"validation": 10, "test": 10}
    one, two = (ids(split_structures(s, **sizes, seed=3)) for s in (structures, shuffled))
    assert {name: set(part) for name, part in one.items()} == {k: set(v) for k, v in two.items()}
    assert ids(split_structures(structures, **sizes, seed=4)) != one
    order = {identifier: row for row, identifier in enumerate(structures.ids)}
    assert all(part == sorted(part, key=order.get) for part in one.values())


def test_a_smaller_training_set_is_part_of_a_larger_one(rng):
    structures = toys.molecules(60, rng.integers(2**31))
    parts = [
        set(split_structures(structures, validation=10, test=10, train=n).train.ids)
        for n in (5, 20, None)
    ]
    assert [len(part) for part in parts] == [5, 20, 40]
    assert parts[0] < parts[1] < parts[2]


def test_groups_stay_together(rng):
    structures = toys.molecules(60, rng.integers(2**31), group=4)
    splits = split_structures(structures, validation=10, test=6)
    groups = [{s.group for s in part} for _, part in splits]
    assert not groups[0] & groups[1]
    assert not groups[1] & groups[2]
    assert not groups[0] & groups[2]
    assert [len(part) for _, part in splits] == [40, 12, 8]  # whole groups of four


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"validation": 0, "test": 3}, "at least one structure: got test=3, validation=0"),
        ({"validation": 5, "test": 3, "train": 0}, "train=0"),
        ({"validation": 15, "test": 5}, r"train would be left with too few \(test=5"),
        ({"validation": 5, "test": 30}, "validation and train would be left"),
        ({"validation": 5, "test": 5, "train": 11}, "train=11.*train=10"),
    ],
)
def test_an_empty_split_is_refused_with_its_counts(rng, sizes, message):
    structures = toys.molecules(20, rng.integers(2**31))
    with pytest.raises(ValueError, match=message):
        split_structures(structures, **sizes)


def test_ids_and_groups_of_one_name_differ(rng):
    made = np.random.default_rng(rng.integers(2**31))
    single, grouped = toys.molecule(made, 0), toys.molecule(made, 1)
    named = StructureSet(
        [single, grouped.__class__(**{**vars(grouped), "group": "m0"}), toys.molecule(made, 2)]
    )
    assert sum(len(part) for _, part in split_structures(named, validation=1, test=1)) == 3
