"""Intrinsic dimension, dense float64 NumPy and SciPy; no code shared with the package."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaln


def sorted_distances(rows):
    """[n, n-1] ascending distances of every row to the others."""
    rows = np.asarray(rows, np.float64)
    squares = [((np.delete(rows, i, axis=0) - row) ** 2).sum(1) for i, row in enumerate(rows)]
    return np.sqrt(np.sort(squares, axis=1))


def standardized(x):
    x = np.asarray(x, np.float64)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


def ratios(distances, n1=1, n2=2):
    """Ratios of all rows whose nearer distance is not 0."""
    return np.array([r[n2 - 1] / r[n1 - 1] for r in distances if r[n1 - 1] > 0])


def twonn_ml(distances):
    mu = ratios(distances)
    return (len(mu) - 1) / sum(np.log(m) for m in mu)


def twonn_regression(distances):
    mu = np.sort(ratios(distances))
    lowest = mu[: int(0.9 * len(mu))]
    kept = [(np.log(m), -np.log(1 - (i + 1) / len(mu))) for i, m in enumerate(lowest)]
    return sum(a * b for a, b in kept) / sum(a * a for a, b in kept)


def mle(distances, k, combine):
    local = [
        1 / (sum(np.log(r[k - 1] / r[j]) for j in range(k - 1)) / (k - 1))
        for r in distances
        if r[0] > 0
    ]
    return 1 / np.mean(1 / np.array(local)) if combine == "harmonic" else np.mean(local)


def gride_log_likelihood(d, mu, n):
    """Σ ln density of r_2n/r_n, with N − 1 in place of N before ln d."""
    terms = (n - 1) * np.log(mu**d - 1) - ((2 * n - 1) * d + 1) * np.log(mu)
    return (len(mu) - 1) * np.log(d) + terms.sum() - len(mu) * betaln(n, n)


def gride(distances, n):
    """Maximum of the likelihood, and 1/√ of its curvature there by finite differences."""
    mu = ratios(distances, n, 2 * n)
    found = minimize_scalar(
        lambda d: -gride_log_likelihood(d, mu, n),
        bounds=(1e-2, 200),
        method="bounded",
        options={"xatol": 1e-9},
    )
    d, step = found.x, found.x * 1e-3
    values = [gride_log_likelihood(d + s * step, mu, n) for s in (-1, 0, 1)]
    return d, 1 / np.sqrt((2 * values[1] - values[0] - values[2]) / step**2)


def idcor(x, y, normalize=standardized):
    x, y = (normalize(v).astype(np.float64) for v in (x, y))
    parts = (x, y, np.concatenate([x, y], axis=1))
    a, b, ab = (twonn_regression(sorted_distances(part)) for part in parts)
    return (a + b - ab) / max(a, b)


def model_distances(rng, n, d, k):
    """Distances that obey the estimators' model exactly: volumes grow by exponential steps."""
    volumes = np.cumsum(rng.exponential(size=(n, k)), axis=1)
    return volumes ** (1 / d)


def gaussian(rng, n, d, width):
    """A d-dimensional Gaussian, rotated into `width` dimensions."""
    return rng.normal(size=(n, d)) @ np.linalg.qr(rng.normal(size=(width, width)))[0][:d]
