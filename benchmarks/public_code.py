"""What the field runs for one pair of models: dense N×N forms, written from the definitions.

These are the references that the throughput is compared with: every pair computes both models anew
and holds several N×N arrays, in float32 with NumPy's multi-threaded products.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32


def _unit_rows(x: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _mask(kernel: Float32[np.ndarray, "n n"], k: int) -> Float32[np.ndarray, "n n"]:
    inner = kernel.copy()
    np.fill_diagonal(inner, -np.inf)
    mask = np.zeros_like(kernel)
    np.put_along_axis(mask, np.argpartition(-inner, k, axis=1)[:, :k], 1.0, axis=1)
    return mask


def _hsic_unbiased(a: Float32[np.ndarray, "n n"], b: Float32[np.ndarray, "n n"]) -> float:
    n = len(a)
    a, b = a.copy(), b.copy()
    np.fill_diagonal(a, 0)
    np.fill_diagonal(b, 0)
    cross = (a @ b).sum(dtype=np.float64)  # the N³ product of the public form
    value = (a * b.T).sum(dtype=np.float64)
    value += a.sum(dtype=np.float64) * b.sum(dtype=np.float64) / ((n - 1) * (n - 2))
    return (value - 2 * cross / (n - 2)) / (n * (n - 3))


def mutual_knn(x: Float32[np.ndarray, "n d"], y: Float32[np.ndarray, "n d"], k: int) -> float:
    """Share of common neighbors, from two dense masks."""
    masks = [_mask(rows @ rows.T, k) for rows in (_unit_rows(x), _unit_rows(y))]
    return float((masks[0] * masks[1]).sum() / (len(x) * k))


def cknna(x: Float32[np.ndarray, "n d"], y: Float32[np.ndarray, "n d"], k: int) -> float:
    """The masked debiased form with its three HSIC terms."""
    kernels = [rows @ rows.T for rows in (_unit_rows(x), _unit_rows(y))]
    masks = [_mask(kernel, k) for kernel in kernels]
    both = masks[0] * masks[1]
    cross = _hsic_unbiased(both * kernels[0], both * kernels[1])
    own = [_hsic_unbiased(m * kernel, m * kernel) for m, kernel in zip(masks, kernels, strict=True)]
    return float(cross / np.sqrt(own[0] * own[1]))


def cka(x: Float32[np.ndarray, "n d"], y: Float32[np.ndarray, "n d"]) -> float:
    """Debiased linear CKA from two dense kernels."""
    a, b = x @ x.T, y @ y.T
    return float(_hsic_unbiased(a, b) / np.sqrt(_hsic_unbiased(a, a) * _hsic_unbiased(b, b)))


def information_imbalance(
    x: Float32[np.ndarray, "n d"], y: Float32[np.ndarray, "n d"]
) -> tuple[float, float]:
    """Both directions at k = 1, from two dense tables of ranks."""
    ranks = []
    for rows in (x, y):
        squares = np.einsum("ij,ij->i", rows, rows)
        distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        np.fill_diagonal(distances, -np.inf)
        ranks.append(np.argsort(np.argsort(distances, axis=1), axis=1))
    n = len(x)
    nearest = [(rank == 1).argmax(axis=1) for rank in ranks]
    ab = 2 / n * ranks[1][np.arange(n), nearest[0]].mean()
    ba = 2 / n * ranks[0][np.arange(n), nearest[1]].mean()
    return float(ab), float(ba)
