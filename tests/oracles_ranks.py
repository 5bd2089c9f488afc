"""Independent references for ranks and large neighborhoods: dense, NumPy, float64."""

import numpy as np


def distances(rows):
    """[n, n] squared distances, inf on the diagonal, from differences."""
    rows = np.asarray(rows, np.float64)
    out = np.stack([((row - rows) ** 2).sum(1) for row in rows])
    np.fill_diagonal(out, np.inf)
    return out


def rank_table(rows):
    """[n, n] rank of j in the order of i, by counting: nearer rows, and equal ones of lower id."""
    d = distances(rows)
    n = len(d)
    table = np.zeros((n, n), np.int64)
    lower = np.arange(n)[None, :] < np.arange(n)[:, None]  # [j, l]: l < j
    for i, row in enumerate(d):
        before = (row[None, :] < row[:, None]) | ((row[None, :] == row[:, None]) & lower)
        table[i] = 1 + before.sum(1)
    return table


def rank_sums(ids, tables):
    """[a, b, p] sums of ranks."""
    rows = np.arange(len(tables[0]))[:, None]
    return np.array([[table[rows, a].sum(0) for table in tables] for a in ids], np.float64)


def masked_terms(rows, k, groups=None):
    """([m, m] shared edges, [m, m] sums of products of centered inner products on them)."""
    masks, values = [], []
    for x in rows:
        x = np.asarray(x, np.float64)
        keys = np.stack([(row * x).sum(1) for row in x])  # equal rows get equal bits
        np.fill_diagonal(keys, -np.inf)
        if groups is not None:
            keys[groups[:, None] == groups[None, :]] = -np.inf
        mask = np.zeros_like(keys)
        np.put_along_axis(mask, np.argsort(-keys, axis=1, kind="stable")[:, :k], 1, 1)
        masks.append(mask.ravel())
        values.append((mask * (x @ (x - x.mean(0)).T)).ravel())
    masks, values = np.array(masks), np.array(values)
    return masks @ masks.T, values @ values.T
