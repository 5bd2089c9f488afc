"""Settings: which steps are kept, what the learning rate is, what is refused."""

import numpy as np
import pytest

from tests.learning.training import toys


def test_checkpoints_are_spaced_evenly_in_the_logarithm():
    steps = toys.settings(steps=1000, checkpoints_per_decade=3).checkpoint_steps()
    assert steps == (0, 1, 2, 5, 10, 22, 46, 100, 215, 464, 1000)
    assert toys.settings(steps=700, checkpoints_per_decade=1).checkpoint_steps()[-2:] == (100, 700)
    assert toys.settings(steps=1, warmup=0).checkpoint_steps() == (0, 1)


def test_evaluations_are_at_epochs_and_at_checkpoints():
    settings = toys.settings(steps=20, checkpoints_per_decade=1)
    assert settings.evaluation_steps(6) == (0, 1, 6, 10, 12, 18, 20)
    every = toys.settings(steps=20, checkpoints_per_decade=1, evaluate_every=9)
    assert every.evaluation_steps(6) == (0, 1, 9, 10, 18, 20)


def test_the_learning_rate_rises_and_falls(rng):
    peak = float(rng.uniform(0.001, 0.1))
    settings = toys.settings(steps=200, warmup=20, learning_rate=peak)
    rates = settings.learning_rates()
    assert rates.argmax() == 20
    np.testing.assert_allclose(rates[[0, 20]], [peak / 20, peak], rtol=1e-5)
    cosine = peak * (1 + np.cos(np.pi * np.arange(180) / 180)) / 2
    np.testing.assert_allclose(rates[20:], cosine, rtol=1e-4, atol=1e-8)
    assert toys.settings(warmup=0).learning_rates()[0] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1: got 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite"),
        ({"warmup": 24}, "below steps=24: got 24"),
        ({"loss": "mae"}, r"one of \('huber', 'mse'\): got 'mae'"),
        ({"evaluate_every": 0}, "evaluate_every must be at least 1"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"patience": 0}, "patience must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        toys.settings(**change)
