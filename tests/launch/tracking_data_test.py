"""Structures on which checkpoints are followed: splits, filtered data sets, bad settings."""

import pytest

from jaxalign.launch.tracking_data import tracked_structures
from tests.learning.training import toys

MOSES = {"name": "moses-scaffolds", "path": "", "n": 60, "seed": 0, "elements": ()}


@pytest.fixture(scope="module")
def task():
    return toys.quick_task(0, count=40, validation=10, test=10)


def test_a_split_is_that_of_the_task_or_a_part_of_it(task, tmp_path):
    whole = tracked_structures({"split": "test"}, task, tmp_path)
    assert whole.ids == task.splits.test.ids
    part = tracked_structures({"split": "test", "n": 4, "seed": 1}, task, tmp_path)
    assert len(part) == 4
    assert set(part.ids) < set(whole.ids)
    assert tracked_structures({"split": "test", "n": 99}, task, tmp_path).ids == whole.ids


def test_a_data_set_is_filtered_drawn_and_given_coordinates(task, tmp_path):
    settings = {
        "dataset": MOSES,
        "within": ("H", "C", "N", "O", "F", "S", "Cl"),
        "containing": ("S", "Cl"),
        "n": 3,
        "conformers": True,
    }
    found = tracked_structures(settings, task, tmp_path / "new")
    assert len(found) == 3
    for structure in found:
        assert structure.positions.shape == (len(structure.atomic_numbers), 3)
        assert {16, 17} & set(structure.atomic_numbers.tolist())
    assert (tmp_path / "new" / "conformers.npz").is_file()
    assert tracked_structures(settings, task, tmp_path / "new").content_hash == found.content_hash


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either a split"),
        ({"split": "test", "dataset": MOSES}, "either a split"),
        ({"split": "training"}, "training"),
        ({"split": "test", "elements": ("H",)}, "elements"),
    ],
)
def test_bad_settings_are_refused(task, tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        tracked_structures(settings, task, tmp_path)
