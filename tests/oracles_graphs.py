"""Python-level references of comparisons of neighbor lists; they share no code with the package."""

import math

import numpy as np


def positions(a, b):
    """Position of a[i, c] in b[i], or -1."""
    places = [{int(j): p for p, j in enumerate(row)} for row in b]
    return np.array([[at.get(int(j), -1) for j in row] for at, row in zip(places, a, strict=True)])


def common_subsequence(a, b):
    """Longest common subsequence of two sequences, by the textbook table."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            longer = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if p == q else longer
    return int(table[-1, -1])


def levenshtein(a, b):
    """Insertions, deletions and substitutions, by the textbook table."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0, :] = range(len(a) + 1), range(len(b) + 1)
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            change = table[i, j] + int(p != q)
            table[i + 1, j + 1] = min(change, table[i, j + 1] + 1, table[i + 1, j] + 1)
    return int(table[-1, -1])


def mutual_rows(a, b):
    return np.array([len(set(p) & set(q)) / len(p) for p, q in zip(a, b, strict=True)])


def jaccard_rows(a, b):
    return np.array(
        [len(set(p) & set(q)) / len(set(p) | set(q)) for p, q in zip(a, b, strict=True)]
    )


def cycle_rows(a, b):
    """Whether i is among a's neighbors of b's neighbors of i."""
    return np.array([float(i in set(a[b[i]].ravel())) for i in range(len(a))])


def lcs_rows(a, b):
    return np.array([common_subsequence(p, q) / len(p) for p, q in zip(a, b, strict=True)])


def edit_rows(a, b):
    return np.array([1 - levenshtein(p, q) / len(p) for p, q in zip(a, b, strict=True)])


def jaccard_null(n, k):
    """Mean of c/(2k - c), c hypergeometric, by scipy."""
    from scipy.stats import hypergeom

    c = np.arange(k + 1)
    return math.fsum(hypergeom(n - 1, k, k).pmf(c) * c / (2 * k - c))
