"""Losses against SciPy, and rows of a teacher matched by id."""

import types

import numpy as np
import pytest
import scipy.special

from jaxalign.learning.training.objective import Objective, pointwise_loss, regression
from tests.learning.training import toys


def test_pointwise_losses(rng):
    residual = rng.normal(scale=2, size=100).astype(np.float32)
    np.testing.assert_allclose(
        pointwise_loss(residual, "huber"), scipy.special.huber(1.0, residual), rtol=1e-6
    )
    np.testing.assert_allclose(pointwise_loss(residual, "mse"), residual**2, rtol=1e-6)


def test_one_network_has_one_objective():
    network = toys.network()
    assert regression(network, loss="mse") is regression(network, loss="mse")
    assert regression(network, loss="mse") is not regression(network, loss="huber")


def teacher(values, ids):
    rows = types.SimpleNamespace(values=values, ids=ids)
    return Objective(
        {"objective": "teacher"}, toys.predict, lambda o, t: (o, {}), {"teacher": rows}
    )


def test_extra_rows_follow_the_ids(rng):
    values = rng.normal(size=(6, 3))
    objective = teacher(values, tuple("abcdef"))
    found = objective.extra_rows(["e", "a", "b"])["teacher"]
    np.testing.assert_array_equal(found, values[[4, 0, 1]].astype(np.float32))
    # Rows that are not used do not make another run; those that are do.
    same = teacher(np.where(np.arange(6)[:, None] == 5, 0, values), tuple("abcdef"))
    assert same.identity("eab") == objective.identity("eab")
    assert same.identity("eaf") != objective.identity("eaf")


def test_missing_and_broken_rows_are_named(rng):
    values = rng.normal(size=(6, 3))
    with pytest.raises(ValueError, match="teacher has no rows for 2 of 3 training structures, 'x'"):
        teacher(values, tuple("abcdef")).extra_rows(["a", "x", "y"])
    values[2, 1] = np.inf
    with pytest.raises(ValueError, match="not finite for 1 training structures, 'c'"):
        teacher(values, tuple("abcdef")).extra_rows(["a", "c"])
