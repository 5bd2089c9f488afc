"""CKNNA with soft neighborhoods as a loss."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxalign.learning.losses.batch import AnyArray, Axes, Batch, read_batch
from jaxalign.learning.losses.gram_terms import inner_products, row_sums
from jaxalign.learning.losses.rows import centered_columns, normalized, scaled
from jaxalign.learning.losses.soft_neighbors import soft_neighbors
from jaxalign.learning.losses.terms import AlignmentTerms, in_units, make_terms
from jaxalign.pairwise.kernels import rounding


def soft_cknna_loss(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    k: float | int,
    temperature: float | Float[AnyArray, ""] = 0.1,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> Float[Array, ""]:
    """1 − CKNNA of one batch, with soft neighborhoods; `jaxalign.metrics.cknna` has the hard ones.

    With K = XXᵀ of the normalized rows, K̄_ij = K_ij − mean_l K_il, s_i the standard deviation of
    K̄_ij over j ≠ i, and q, L̄ the same of y:

        p_ij = σ((K̄_ij / s_i − t_i) / temperature),  t_i such that Σ_{j≠i} p_ij = k;
        CKNNA = Σ p q K̄ L̄ / √(Σ (p K̄)² · Σ (q L̄)²), sums over i ≠ j.

    As the temperature falls to 0 it approaches the "formula" variant of the metric, where the k-th
    and the next similarity of every row differ.

    Args:
      x: `[b, dx]` embeddings; inside `jax.shard_map` the rows of this device.
      y: `[b, dy]` embeddings of the same structures.
      k: neighbors of a row, 1 <= k <= n − 2; need not be whole. It belongs to the batch: to stand
        for K neighbors among N structures take k = K·(n − 1)/(N − 1).
      temperature: width of the border of a neighborhood, in standard deviations of the row's
        similarities; may be traced, e.g. a schedule.
      normalize: `"l2"` (None means this default) or `"none"`.
      mask: False for padding, which then has no influence; None means that no row is padding.
      axis_name: mesh axes over which the batch is split.

    Returns:
      The loss, in [0, 2]; float64 if an embedding is, else float32. It is 1 with derivatives 0
      where all rows of a side are equal and where the mask leaves fewer than k + 2 rows. NaN or
      infinity in a row that is present makes it NaN.

    Raises:
      ValueError: shapes, dtypes, k, a temperature that is not positive, or an unknown
        normalization.

    Note:
      Terms of a batch are not unbiased, and no average over batches makes them so: a neighborhood
      in a sample is another one. With k in proportion to n the difference is small (.005 of .545
      at k = 1.5, .003 at 3.1, in `benchmarks/alignment_batches.py`); with k as for all rows it is
      not (.24). At the default temperature the score itself is well above that of the metric.
    """
    terms, _, _ = _scaled_terms(x, y, k, temperature, normalize, mask, axis_name)
    return terms.loss()


def soft_cknna_terms(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    k: float | int,
    temperature: float | Float[AnyArray, ""] = 0.1,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> AlignmentTerms:
    """Σ p q K̄ L̄, Σ (p K̄)² and Σ (q L̄)² of one batch, each divided by n·k.

    Arguments and errors are those of `soft_cknna_loss`.
    """
    terms, *exponents = _scaled_terms(x, y, k, temperature, normalize, mask, axis_name)
    return in_units(terms, *exponents)


def _scaled_terms(x, y, k, temperature, normalize, mask, axis_name):
    """Terms of rows divided by powers of two, and the exponents of both matrices."""
    k = _check(k, temperature)
    batch, x, y = read_batch(x, y, mask=mask, axis_name=axis_name, least=4)
    if k > batch.size - 2:
        raise ValueError(
            f"soft neighborhoods need two rows more than neighbors: got k={k:g}, n={batch.size}; "
            f"pass k <= {batch.size - 2} or take larger batches"
        )
    (x, ex), (y, ey) = (scaled(batch, normalized(side, normalize or "l2")) for side in (x, y))
    enough = batch.count >= math.ceil(k) + 2
    (f, f_noise), (g, g_noise) = (
        _weighted_entries(batch, side, enough, k, temperature) for side in (x, y)
    )

    def mean(values):
        return batch.total(row_sums(values)) / (jnp.maximum(batch.count, 1).astype(f.dtype) * k)

    products = mean(f * g), mean(f * f), mean(g * g)
    return make_terms(products, (mean(f_noise), mean(g_noise)), batch.count, enough), 2 * ex, 2 * ey


def _weighted_entries(
    batch: Batch, x: Float[Array, "b d"], enough: Bool[Array, ""], k: float, temperature
) -> tuple[Float[Array, "b n"], Float[Array, "b n"]]:
    """Entries p K̄, and what their squares may owe to rounding; both are 0 in rows of padding."""
    c = centered_columns(batch, x)
    # x_i·(x_j − x̄): of K_ij − mean, float32 would leave little where all rows are alike.
    entries = inner_products(x, batch.gather(c))
    others = batch.own[:, None] != jnp.arange(batch.size, dtype=jnp.int32)[None, :]
    candidates = others & (batch.columns | ~enough)[None, :]
    length = batch.total((c * c).sum(1)) / jnp.maximum(batch.count, 1).astype(x.dtype)
    noise = rounding(str(x.dtype), x.shape[1]) ** 2 * (x * x).sum(1) * length
    noise = jax.lax.stop_gradient(noise)
    scores = _standardized(entries, candidates, noise) / jnp.asarray(temperature, x.dtype)
    p = soft_neighbors(scores, candidates, k)
    return p * entries, jax.lax.stop_gradient(p * p) * noise[:, None]


def _standardized(
    entries: Float[Array, "b n"], candidates: Bool[Array, "b n"], noise: Float[Array, " b"]
) -> Float[Array, "b n"]:
    """Entries over their row's standard deviation; 0 in rows whose entries are all equal."""
    m = candidates.sum(1).astype(entries.dtype)
    mean = row_sums(jnp.where(candidates, entries, 0)) / m
    deviations = jnp.where(candidates, entries - mean[:, None], 0)
    variance = row_sums(jnp.square(deviations)) / m
    constant = variance <= noise
    scale = jnp.where(constant, 0, jax.lax.rsqrt(jnp.where(constant, 1, variance)))
    return deviations * scale[:, None]


def _check(k: float | int, temperature) -> float:
    if isinstance(k, bool) or not 1 <= k < math.inf:
        raise ValueError(f"k must be a number of neighbors, at least 1: got k={k!r}")
    if isinstance(temperature, int | float) and not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature must be positive and finite: got {temperature!r}; the hard neighborhoods "
            "are those of jaxalign.metrics.cknna"
        )
    return float(k)
