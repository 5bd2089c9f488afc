"""Damaged files of every format: read, or refused with the one error that users see."""

import json
from pathlib import Path

import pytest

from jaxalign.models.weight_files.checkpoints import read_checkpoint
from tests.models.weight_files.fuzzing import fuzz_apart, walk
from tests.models.weight_files.mutations import good_files

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "fuzz_weight_files.json"


def test_the_good_files_are_good():
    files = good_files()
    for kind in files.keys() - {"wheel"}:
        assert walk(read_checkpoint(files[kind], format=kind.removesuffix("-deflated"))) > 0


def test_random_damage_is_an_error_or_harmless(rng):
    counts = fuzz_apart(int(rng.integers(2**32)), 700)["counts"]
    assert all(sum(outcomes.values()) > 0 for outcomes in counts.values())
    assert sum(outcomes["refused"] for outcomes in counts.values()) > 300


@pytest.mark.slow
def test_much_random_damage_is_an_error_or_harmless(rng):
    fuzz_apart(int(rng.integers(2**32)), 100_000)


def test_the_committed_run_covers_all_formats():
    facts = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert facts["failures"] == 0
    assert facts["by_format"].keys() == good_files().keys()
    counted = sum(sum(outcomes.values()) for outcomes in facts["by_format"].values())
    assert counted == facts["inputs"] >= 100_000
