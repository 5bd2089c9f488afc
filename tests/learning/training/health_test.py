"""What stops a run: numbers that are none, and losses that stay far above the first."""

import math

import pytest

from jaxalign.learning.training import health
from jaxalign.learning.training.health import LossWatch, TrainingError


def test_sound_losses_pass_also_with_peaks():
    watch = LossWatch()
    assert watch.look([0.7, 1e6, 0.6], [1.0, 1e9, 1.0]) is None
    assert watch == LossWatch(first=0.7, high=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_number_that_is_none_is_found(bad):
    assert LossWatch().look([1.0, 1.0, bad, bad], [1.0] * 4)[0] == 2
    number, text = LossWatch().look([1.0, 1.0, 1.0], [1.0, bad, 1.0])
    assert number == 1
    assert f"the gradient is {bad} though the loss is 1" in text


def test_a_loss_that_stays_high_diverges_wherever_it_is_looked_at(monkeypatch):
    monkeypatch.setattr(health, "LONG", 5)
    losses = [2.0] + [201.0] * 8
    number, text = LossWatch().look(losses, [1.0] * 9)
    assert number == 5
    assert "the learning rate diverges: the loss is 201" in text
    watch = LossWatch()
    assert watch.look(losses[:4], [1.0] * 4) is None
    assert watch.look(losses[4:], [1.0] * 5)[0] == 1
    # A small first loss does not make every later one high.
    assert LossWatch().look([0.001] + [50.0] * 20, [1.0] * 21) is None


def test_the_error_tells_all(tmp_path):
    error = TrainingError(
        "a: b", step=7, ids=[f"m{i}" for i in range(130)], learning_rate=0.1, checkpoint=tmp_path
    )
    assert "Step 7, learning rate 0.1" in str(error)
    assert "m99 and 30 more" in str(error)
    assert str(tmp_path) in str(error)
    assert len(error.ids) == 130
