"""No hostile pickle does anything but end in one error, or leave names behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.weight_files.hostile_corpus import CODE, CONTAINERS, FLOODS, INERT, LIES, REFUSED


@pytest.fixture(scope="module")
def outcomes() -> dict:
    """The corpus is read apart, without the annotations being checked, which is 25 times faster."""
    command = [sys.executable, "-m", "tests.models.weight_files.hostile_corpus"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_executed_and_memory_is_bounded(outcomes):
    """The interpreter itself reports every import, process, file and socket."""
    assert outcomes["events"] == []
    assert outcomes["grown_kilobytes"] < 400_000
    assert not Path("hostile").exists()


@pytest.mark.parametrize("container", CONTAINERS)
def test_calls_leave_names_and_lies_are_refused(outcomes, container):
    results = outcomes["results"][container]
    expected = dict.fromkeys(LIES, REFUSED)
    if container != "torch-module":  # which wants a model, not a dict
        expected |= dict.fromkeys(CODE, INERT)
    assert {name: results[name]["outcome"] for name in expected} == expected
    for name, result in results.items():
        assert len(result["message"]) < 1000, name
        assert result["message"].isprintable(), name


def test_floods_end_within_seconds(outcomes):
    results = outcomes["results"]["torch-zip"]
    for name in FLOODS:
        assert results[name]["outcome"] == REFUSED, name
    assert max(result["seconds"] for result in results.values()) < 20  # a second on a quiet machine
