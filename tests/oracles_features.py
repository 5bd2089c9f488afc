"""References for feature metrics: dense, float64, from other packages or from the formulas.

They share no code with the package and take no short cut through factors or Gram matrices.
"""

import numpy as np
import scipy.linalg
import scipy.stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold


def centered(x):
    x = np.asarray(x, np.float64)
    return x - x.mean(0)


def shaped(x):
    """Centered, of Frobenius norm 1."""
    x = centered(x)
    return x / np.linalg.norm(x)


def padded(x, y):
    """Both matrices, the narrower one with zero columns added."""
    width = max(x.shape[1], y.shape[1])
    return [np.pad(v, ((0, 0), (0, width - v.shape[1]))) for v in (x, y)]


def procrustes(x, y):
    """‖XQ − Y‖ of the best Q, as a residual."""
    x, y = padded(shaped(x), shaped(y))
    rotation, _ = scipy.linalg.orthogonal_procrustes(x, y)
    return np.linalg.norm(x @ rotation - y)


def canonical_correlations(x, y):
    return np.cos(scipy.linalg.subspace_angles(centered(x), centered(y)))


def svcca(x, y, threshold):
    reduced = []
    for v in (centered(x), centered(y)):
        u, s, _ = np.linalg.svd(v, full_matrices=False)
        share = np.cumsum(s**2) / np.sum(s**2)
        keep = 1
        while share[keep - 1] < threshold:
            keep += 1
        reduced.append(u[:, :keep] * s[:keep])
    return canonical_correlations(*reduced).mean()


def pwcca(x, y):
    """By the generalized eigenproblem of the covariances; full column ranks, dx <= dy or not."""
    x, y = centered(x), centered(y)
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    squares, vectors = scipy.linalg.eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    total = weight_sum = 0.0
    for index in np.argsort(-squares)[: min(x.shape[1], y.shape[1])]:
        variate = x @ vectors[:, index]
        variate /= np.linalg.norm(variate)
        weight = sum(abs(variate @ column) for column in x.T)
        total += weight * np.sqrt(squares[index])
        weight_sum += weight
    return total / weight_sum


def halves(x, seed):
    """First and second half of the centered rows of unit overall variance."""
    x = centered(x)
    x /= np.sqrt((x**2).mean())
    order = np.random.default_rng(seed).permutation(len(x))
    first = len(x) - len(x) // 2
    return x[order[:first]], x[order[first:]]


def ridge(x, strength):
    """Ridge regression without intercept, its penalty relative to the largest eigenvalue."""
    return Ridge(
        alpha=strength * np.linalg.norm(x, 2) ** 2, fit_intercept=False, solver="svd", tol=0.0
    )


def reconstruction(x, y, seed=0):
    """Error and chosen strength, by fitting and predicting on rows."""
    (x1, x2), (y1, y2) = halves(x, seed), halves(y, seed)
    losses = {}
    for strength in 10.0 ** np.arange(-12, 3):
        losses[strength] = 0.0
        for fit, judge in KFold(min(5, len(x1))).split(x1):
            model = ridge(x1[fit], strength).fit(x1[fit], y1[fit])
            losses[strength] += ((y1[judge] - model.predict(x1[judge])) ** 2).sum()
    best = min(losses, key=losses.get)
    predicted = ridge(x1, best).fit(x1, y1).predict(x2)
    return np.linalg.norm(y2 - predicted) / np.linalg.norm(y2), best


def rotation(rng, d):
    return scipy.stats.ortho_group.rvs(d, random_state=rng)


def moved(score, x, rng):
    """Largest change of score(x) under three maps of each kind that metrics may be invariant to."""
    plain, rows = float(score(x)), x.astype(np.float64)
    changes = [
        {kind: abs(float(score(change(rows))) - plain) for kind, change in maps.items()}
        for maps in (transformations(rng, x.shape[1]) for _ in range(3))
    ]
    return {kind: max(change[kind] for change in changes) for kind in changes[0]}


def transformations(rng, d):
    """One well conditioned map of each kind."""
    turn, stretch = rotation(rng, d), np.geomspace(0.2, 5, d)
    shift = rng.normal(size=d)
    return {
        "rotation": lambda x: x @ turn,
        "isotropic scaling": lambda x: 3.7 * x,
        "translation": lambda x: x + shift,
        "affine": lambda x: (x @ turn) * stretch @ turn.T + shift,
    }


def related(rng, n, dx, dy, shared=6, noise=0.7):
    """Two float32 embeddings of one latent space, with features of unequal size."""
    z = rng.normal(size=(n, shared))
    return [
        (
            (z @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d)))
            * rng.uniform(0.2, 2, d)
        ).astype(np.float32)
        for d in (dx, dy)
    ]
