"""Dense float64 references for distances, kernels and their centered inner products."""

import numpy as np

CENTERINGS = ("biased", "debiased", "pairs")


def distances(x):
    x = np.asarray(x, np.float64)
    return np.stack([np.sqrt(((row - x) ** 2).sum(1)) for row in x])


def matrix(x, kernel, bandwidth=1.0):
    """[n, n]; inner products are those of column-centered rows."""
    if kernel == "linear":
        x = np.asarray(x, np.float64)
        x = x - x.mean(0)
        return x @ x.T
    d = distances(x)
    if kernel == "euclidean":
        return d
    sigma = bandwidth * np.median(d[np.triu_indices(len(d), 1)])
    return np.exp(-(d**2) / (2 * sigma**2))


def centered(a, how):
    """The centered matrix, or the vector of centered entries above the diagonal."""
    n = len(a)
    if how == "biased":
        h = np.eye(n) - 1 / n
        return h @ a @ h
    if how == "pairs":
        upper = a[np.triu_indices(n, 1)]
        return upper - upper.mean()
    a = a - np.diag(np.diag(a))
    r = a.sum(1)
    a = a - (r[:, None] + r[None, :]) / (n - 2) + r.sum() / ((n - 1) * (n - 2))
    return a - np.diag(np.diag(a))


def row_sums(a):
    """Trace and squared diagonal of the doubly centered matrix; squared row sums without it."""
    double, n = centered(a, "biased"), len(a)
    off = a - a[~np.eye(n, dtype=bool)].mean()
    off = off - np.diag(np.diag(off))
    return np.trace(double), np.square(np.diag(double)).sum(), np.square(off.sum(1)).sum()


def terms(matrices, how):
    """[m, m] inner products of the centered matrices."""
    flat = np.stack([centered(a, how).ravel() for a in matrices])
    return flat @ flat.T


def score(x, y, kernel, how, bandwidth=1.0):
    g = terms([matrix(v, kernel, bandwidth) for v in (x, y)], how)
    return g[0, 1] / np.sqrt(g[0, 0] * g[1, 1])
