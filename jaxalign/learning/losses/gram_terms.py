"""Centered inner products of the blocks of two kernel or distance matrices of a batch.

The definitions are those of `jaxalign.pairwise.centering`. Entries are residuals f = a − u_i − u_j
with u from the row sums, which is what centering subtracts: products of large entries never cancel
in float32. The inner product does not depend on u, which is therefore a constant for derivatives:
the correction by the row sums r of f (zero but for rounding) is what makes derivatives of all
orders those of the centered matrices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.learning.losses.batch import Batch
from jaxalign.learning.losses.terms import AlignmentTerms, make_terms
from jaxalign.pairwise.kernels import rounding

LEAST_ROWS = {True: 4, False: 2}
"""Rows that the debiased and the biased estimate need."""


def gram_terms(
    batch: Batch,
    a: Float[Array, "b n"],
    b: Float[Array, "b n"],
    *,
    debiased: bool,
    widths: tuple[int, int],
) -> AlignmentTerms:
    """⟨a, b⟩, ⟨a, a⟩ and ⟨b, b⟩ of the centered matrices, per pair of rows.

    With residuals f, g over the pairs i ≠ j (all i, j if biased), row sums r and totals s:

        debiased: [Σ f g − 2⟨r_f, r_g⟩/(n−2) + s_f s_g/((n−1)(n−2))] / (n(n−3)), U-statistics;
        biased:   [Σ f g − 2⟨r_f, r_g⟩/n + s_f s_g/n²] / n².

    Args:
      batch: rows of this device among those of all.
      a: own rows of one matrix; pairs with padding are not read.
      b: own rows of the other.
      debiased: which estimate.
      widths: features of both sides, which decide the rounding of an entry.
    """
    valid = batch.pairs(diagonal=not debiased)
    enough = batch.count >= LEAST_ROWS[debiased]
    # Too few rows: any n without a zero in the denominators; the terms are then set to 0.
    n = jnp.where(enough, batch.count, 4).astype(a.dtype)
    first, second = (n - 2, n - 1) if debiased else (n, n)
    pairs = n * (n - 3) if debiased else n * n

    def residuals(entries):
        entries = jax.lax.stop_gradient(jnp.where(valid, entries, 0))
        sums = row_sums(entries)
        own = sums / first - batch.total(sums) / (2 * first * second)
        return own[:, None] + batch.gather(own)[None, :], batch.total(row_sums(entries**2))

    (u_a, squares_a), (u_b, squares_b) = residuals(a), residuals(b)
    f, g = (jnp.where(valid, entries - u, 0) for entries, u in ((a, u_a), (b, u_b)))
    r, q = row_sums(f), row_sums(g)
    s, t = batch.total(r), batch.total(q)

    def product(x, y, rows_x, rows_y, sum_x, sum_y):
        inner = batch.total(row_sums(x * y) - 2 * rows_x * rows_y / first)
        return (inner + sum_x * sum_y / (first * second)) / pairs

    products = product(f, g, r, q, s, t), product(f, f, r, r, s, s), product(g, g, q, q, t, t)
    noise = (
        squares / pairs * rounding(str(a.dtype), width) ** 2
        for squares, width in zip((squares_a, squares_b), widths, strict=True)
    )
    return make_terms(products, tuple(noise), batch.count, enough)


def squared_distances(batch: Batch, c: Float[Array, "b d"]) -> Float[Array, "b n"]:
    """‖c_i − c_j‖² of own rows to all rows; what rounding could have made is 0.

    The rule is that of `jaxalign.pairwise.kernels.kernel_entries`; its derivative at 0 is 0.

    Args:
      batch: rows of this device among those of all.
      c: centered rows.
    """
    rows = batch.gather(c)
    squares = (c * c).sum(1)
    total = squares[:, None] + batch.gather(squares)[None, :]
    found = total - 2 * inner_products(c, rows)
    return jnp.where(found <= rounding(str(c.dtype), c.shape[1]) * total, 0, found)


def roots(squared: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Distances; the derivative at 0 is 0, that of the mean of both sides of the kink."""
    zero = squared == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squared)))


def inner_products(x: Float[Array, "b d"], y: Float[Array, "n d"]) -> Float[Array, "b n"]:
    """x_i·y_j at full precision: TPUs would take one bfloat16 pass."""
    product = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    # Inside a fusion XLA's CPU compiler would emit slow loops for the product.
    return jax.lax.optimization_barrier(product)


def row_sums(values: Float[Array, "b n"]) -> Float[Array, " b"]:
    """Σ_j of every row, as a product with ones: several times as fast as a reduction on CPU."""
    ones = jnp.ones(values.shape[1], values.dtype)
    return jnp.matmul(values, ones, precision=jax.lax.Precision.HIGHEST)
