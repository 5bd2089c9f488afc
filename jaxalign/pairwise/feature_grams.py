"""Linear kernels without their N×N matrices: cross-covariances of the features, in float64.

With column-centered X and Y, z = ‖YᵀX‖²_F and squared row norms d_x, d_y:

    biased   = z
    debiased = z − n/(n−2)·⟨d_x, d_y⟩ + Σd_x Σd_y / ((n−1)(n−2))
    pairs    = ½ [z − ⟨d_x, d_y⟩ − Σd_x Σd_y / (n(n−1))]
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centered_rows import CenteredModel, check_lengths, survey
from jaxalign.pairwise.centering import GramTerms, RowSums, clear_noise
from jaxalign.pairwise.precision import float64_unit
from jaxalign.parallel.blocks import over_blocks, own_blocks
from jaxalign.parallel.mesh import default_mesh
from jaxalign.parallel.multihost import exchange
from jaxalign.progress import Progress

_WIDTH = 64  # panels are padded to multiples of this many columns
_ROWS = 2048  # rows multiplied at once
_EXCHANGED = 2**20  # numbers that a process sends at once


def linear_feature_terms(
    models: Sequence[ModelRows],
    *,
    new: Sequence[int] | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
) -> GramTerms:
    """The terms of the linear kernel, streamed over blocks of rows: O(n·D²) instead of O(n²·D).

    Args:
      models: rows of all models.
      new: models whose terms with all models are wanted; None means all.
      memory_budget: bytes for cross-covariances and rows in flight, 1 GiB where None; models are
        taken in panels of columns that fit (a single model wider than that is taken whole).
      progress: label of a progress line; None prints nothing.

    Returns:
      `GramTerms`, the same numbers as the tile route gives in float64, equal on all processes.

    Raises:
      ValueError: unequal numbers of rows.

    Note:
      Each process reads its share of the blocks of 2,048 rows (and of those of the survey) and sums
      their products; the sums are exchanged a few rows at a time. How many processes there are
      changes the order of these additions in float64, and nothing else.
    """
    n = check_lengths(models)
    every = list(range(len(models)))
    chosen = every if new is None else [int(index) for index in new]
    centered = [survey(model, np.zeros(0, np.int64)) for model in models]
    # A covariance of two panels, and their rows.
    width = int(np.sqrt((memory_budget or 2**30) / 16))
    panels, wanted = _panels(models, every, width), _panels(models, chosen, width)
    jobs = [
        (a, b) for i, a in enumerate(wanted) for b in (panels if new is not None else panels[i:])
    ]
    z, position = np.zeros((len(chosen), len(models))), {m: row for row, m in enumerate(chosen)}
    with (
        jax.enable_x64(True),
        Progress(
            progress or "", total=n * len(jobs), unit="rows", enabled=progress is not None
        ) as shown,
    ):
        for a, b in jobs:
            found = _cross_squares([centered[m] for m in a], [centered[m] for m in b], n, shown)
            z[np.ix_([position[m] for m in a], b)] = found
            if new is None:
                z[np.ix_(b, a)] = found.T
    return _terms(centered, chosen, z, n)


def _panels(models, indices: Sequence[int], width: int) -> list[list[int]]:
    """Consecutive models whose widths sum to at most `width`."""
    panels: list[list[int]] = []
    used = width + 1
    for index in indices:
        if used + models[index].d > width:
            panels.append([])
            used = 0
        panels[-1].append(index)
        used += models[index].d
    return panels


def _cross_squares(
    left: Sequence[CenteredModel], right: Sequence[CenteredModel], n: int, progress: Progress
) -> Float64[np.ndarray, "a b"]:
    """‖X_aᵀ X_b‖²_F of all pairs of models of two panels."""
    size = min(_ROWS, 1 << (n - 1).bit_length())
    shape = (_padded(left), _padded(right))
    total = jnp.zeros(shape)
    for start, stop in own_blocks(n, size):
        x = _panel_rows(left, start, size)
        y = x if right is left else _panel_rows(right, start, size)
        total = _add_product(total, x, y)
        progress.advance(stop - start)
    squares = np.square(_sum_of_processes(np.asarray(total)))
    rows, columns = (np.cumsum([0, *(c.rows.d for c in side)]) for side in (left, right))
    squares = squares[: rows[-1], : columns[-1]]
    return np.add.reduceat(np.add.reduceat(squares, rows[:-1], axis=0), columns[:-1], axis=1)


def _panel_rows(models: Sequence[CenteredModel], start: int, size: int) -> Float64[Array, "b p"]:
    out = np.zeros((size, _padded(models)))
    column = 0
    for model in models:
        rows = model.read(start, start + size)
        out[: len(rows), column : column + model.rows.d] = rows
        column += model.rows.d
    return jnp.asarray(out)


def _padded(models: Sequence[CenteredModel]) -> int:
    return -(-sum(c.rows.d for c in models) // _WIDTH) * _WIDTH


def _sum_of_processes(total: Float64[np.ndarray, "p q"]) -> Float64[np.ndarray, "p q"]:
    """Sums what the processes have, in their order."""
    out, step = np.zeros_like(total), max(1, _EXCHANGED // total.shape[1])
    for start in range(0, len(total), step):
        for part in exchange(total[start : start + step]):
            out[start : start + step] += part
    return out


@functools.partial(jax.jit, donate_argnums=0)
def _add_product(
    total: Float64[Array, "p q"], x: Float64[Array, "b p"], y: Float64[Array, "b q"]
) -> Float64[Array, "p q"]:
    return total + jnp.matmul(x.T, y, precision=jax.lax.Precision.HIGHEST)


def _terms(
    centered: Sequence[CenteredModel], chosen: Sequence[int], z: Float64[np.ndarray, "a m"], n: int
) -> GramTerms:
    norms = np.stack([_row_squares(model, n) for model in centered])
    cross, totals = norms[list(chosen)] @ norms.T, norms.sum(axis=1)
    outer = np.outer(totals[list(chosen)], totals)
    biased, pairs = z.copy(), (z - cross - outer / (n * max(n - 1, 1))) / 2
    debiased = np.full_like(z, np.nan)
    if n >= 4:
        debiased = z - n / (n - 2) * cross + outer / ((n - 1) * (n - 2))
    unit = float64_unit(default_mesh(1))
    for row, model in enumerate(chosen):
        for term in (biased, debiased, pairs):
            clear_noise(term, row, model, _ROWS * unit * z[row, model])
    exponents = 2 * np.array([c.exponent for c in centered])
    scale = exponents[list(chosen)][:, None] + exponents[None, :]
    biased, debiased, pairs = (np.ldexp(term, scale) for term in (biased, debiased, pairs))
    # Rows of XXᵀ sum to zero with the diagonal d, so to −d without it.
    uneven = norms - norms.mean(axis=1, keepdims=True)
    sums = RowSums(totals, np.square(norms).sum(axis=1), np.square(uneven).sum(axis=1))
    return GramTerms(biased, debiased, pairs, None, "float64", "features", sums.scaled(exponents))


def _row_squares(model: CenteredModel, n: int) -> Float64[np.ndarray, " n"]:
    def one(start, stop):
        return (np.square(model.read(start, stop)).sum(axis=1),)

    return over_blocks(n, one, size=_ROWS)[0]
