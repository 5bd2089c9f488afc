"""Squared distance correlation as a loss: the bias-corrected U-statistic, or the V-statistic."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float

from jaxalign.learning.losses.batch import AnyArray, Axes, read_batch
from jaxalign.learning.losses.gram_terms import LEAST_ROWS, gram_terms, roots, squared_distances
from jaxalign.learning.losses.rows import centered, normalized
from jaxalign.learning.losses.terms import AlignmentTerms, in_units


def distance_correlation_loss(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    debiased: bool = True,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> Float[Array, ""]:
    """1 − dCor² of one batch; `jaxalign.metrics.distance_correlation` has the definition.

    dCor² = dCov²(x, y) / √(dCov²(x, x)·dCov²(y, y)) of the centered matrices of distances
    ‖x_i − x_j‖ and ‖y_i − y_j‖. Squared: the root has no derivative at 0, where training starts.

    Args:
      x: `[b, dx]` embeddings; inside `jax.shard_map` the rows of this device.
      y: `[b, dy]` embeddings of the same structures.
      debiased: U-centered, 0 in expectation for independent rows. The V-statistic is near 1 for
        wide embeddings of few rows, whatever they are.
      normalize: `"none"` (None means this default) or `"l2"`.
      mask: False for padding, which then has no influence; None means that no row is padding.
      axis_name: mesh axes over which the batch is split.

    Returns:
      The loss: in [0, 2] debiased, in [0, 1] biased; float64 if an embedding is, else float32. It
      is 1 with derivatives 0 where the metric is NaN (all distances of a side equal) and where the
      mask leaves too few rows. NaN or infinity in a row that is present makes it NaN.

    Raises:
      ValueError: shapes, dtypes, n < 4 (debiased) or n < 2, or an unknown normalization.

    Note:
      Equal rows have distance 0, where the derivative of the distance is taken as 0; float32
      distances below some 10⁻³ of the lengths of the centered rows count as 0 too. The gradient of
      a batch is a biased estimate of that of the full data: see `running_loss`.
    """
    terms, _, _ = _scaled_terms(x, y, debiased, normalize, mask, axis_name)
    return terms.loss()


def distance_correlation_terms(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    debiased: bool = True,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> AlignmentTerms:
    """dCov²(x, y), dCov²(x, x) and dCov²(y, y) of one batch, of which dCor² is the ratio.

    The debiased terms of a random batch have those of the full data as their expectation.
    Arguments and errors are those of `distance_correlation_loss`.
    """
    terms, *exponents = _scaled_terms(x, y, debiased, normalize, mask, axis_name)
    return in_units(terms, *exponents)


def _scaled_terms(x, y, debiased, normalize, mask, axis_name):
    """Terms of rows divided by powers of two, and the exponents of both."""
    batch, x, y = read_batch(x, y, mask=mask, axis_name=axis_name, least=LEAST_ROWS[debiased])
    (x, ex), (y, ey) = (centered(batch, normalized(side, normalize or "none")) for side in (x, y))
    a, b = (roots(squared_distances(batch, side)) for side in (x, y))
    widths = (x.shape[1], y.shape[1])
    return gram_terms(batch, a, b, debiased=debiased, widths=widths), ex, ey
