"""The losses under test, each compiled once a session, and their central differences.

One program a loss evaluates many batches at once: it is the compilation that takes time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from jaxalign.learning import losses
from tests.oracles_gram import centered, distances, matrix

N, BATCHES = 10, 256
QUICK = {"xla_backend_optimization_level": 0}  # compiles in little more than half the time
LOSSES = {
    "cka": losses.cka_loss,
    "cka:biased": functools.partial(losses.cka_loss, debiased=False),
    "cka:rbf": functools.partial(losses.cka_loss, kernel="rbf"),
    "cka:sigma": functools.partial(losses.cka_loss, kernel="rbf", sigma=(1.5, 2.0)),
    "dcor": losses.distance_correlation_loss,
    "dcor:v": functools.partial(losses.distance_correlation_loss, debiased=False),
    "cknna": functools.partial(losses.soft_cknna_loss, k=3, temperature=0.3),
}
# Linear CKA takes cross-covariances where n > dx + dy, and matrices of pairs elsewhere.
FAST = [("cka", 7, 5), *((name, 4, 3) for name in ("cka", "cka:rbf", "dcor", "cknna"))]
SLOW = [("cka:biased", 7, 5), *((name, 4, 3) for name in ("cka:biased", "cka:sigma", "dcor:v"))]
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@functools.cache
def _program(name):
    def one(x, y, mask):
        return LOSSES[name](x, y, mask=mask)

    return jax.jit(jax.vmap(jax.value_and_grad(one, argnums=(0, 1))), compiler_options=QUICK)


def evaluate(name, batches):
    """Values and both gradients of a list of (x, y, mask) under float64; mask None keeps all."""
    full = np.ones(N, bool)
    batches = [(x, y, full if mask is None else mask) for x, y, mask in batches]
    filled = [batches[i % len(batches)] for i in range(BATCHES)]
    with jax.enable_x64(True):
        x, y, mask = (jnp.asarray(np.stack(part)) for part in zip(*filled, strict=True))
        values, gradients = _program(name)(x.astype(float), y.astype(float), mask)
    return np.asarray(values)[: len(batches)], [np.asarray(g)[: len(batches)] for g in gradients]


def central_differences(name, x, y, mask=None, step=1e-5):
    """Analytic gradients of one batch, and their central differences.

    Steps are in units of the mean absolute element of each side.
    """
    sides = [np.asarray(v, np.float64) for v in (x, y)]
    batches, steps = [(x, y, mask)], []
    for side, values in enumerate(sides):
        for place in range(values.size):
            size = step * np.abs(values[np.isfinite(values)]).mean()
            for sign in (1, -1):
                moved = [v.copy() for v in sides]
                moved[side].flat[place] += sign * size
                batches.append((*moved, mask))
            steps.append(2 * size)
    values, gradients = evaluate(name, batches)
    differences = (values[1::2] - values[2::2]) / np.array(steps)
    first = sides[0].size
    expected = [differences[:first].reshape(x.shape), differences[first:].reshape(y.shape)]
    return [gradient[0] for gradient in gradients], expected


def soft_weights(keys, k, temperature):
    """[n, n] soft memberships of keys with -inf on the diagonal; thresholds by Brent's method."""
    out = np.zeros_like(keys)
    for row, weights in zip(keys, out, strict=True):
        others = np.isfinite(row)
        scores = row[others] / row[others].std() / temperature
        edge = 50 + np.ptp(scores)
        t = brentq(
            lambda t, scores=scores: expit(scores - t).sum() - k,
            scores.min() - edge,
            scores.max() + edge,
            xtol=1e-14,
            rtol=1e-15,
        )
        weights[others] = expit(scores - t)
    return out


def soft_cknna(x, y, k, temperature):
    """Dense float64 definition on rows of length 1."""
    entries = []
    for v in (np.asarray(x, np.float64), np.asarray(y, np.float64)):
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        product = v @ v.T
        product -= product.mean(1, keepdims=True)
        keys = product.copy()
        np.fill_diagonal(keys, -np.inf)
        entries.append(soft_weights(keys, k, temperature) * product)
    a, b = entries
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def oracle(name, x, y):
    """Dense float64 score of a case."""
    if name == "cknna":
        return soft_cknna(x, y, 3, 0.3)
    how = "biased" if name in ("cka:biased", "dcor:v") else "debiased"
    if name == "cka:sigma":
        matrices = [
            np.exp(-(distances(v) ** 2) / (2 * sigma**2))
            for v, sigma in zip((x, y), (1.5, 2.0), strict=True)
        ]
    else:
        kernel = {"cka:rbf": "rbf", "dcor": "euclidean", "dcor:v": "euclidean"}.get(name, "linear")
        matrices = [matrix(v, kernel) for v in (x, y)]
    a, b = (centered(m, how) for m in matrices)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
