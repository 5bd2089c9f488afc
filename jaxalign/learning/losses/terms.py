"""The three numbers of which an alignment is the ratio: what can be averaged over batches."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from jaxalign.learning.losses.rows import power_of_two


class AlignmentTerms(NamedTuple):
    """Estimates of ⟨x, y⟩, ⟨x, x⟩ and ⟨y, y⟩ from one batch, or their mean over batches.

    Attributes:
      xy: numerator.
      xx: self term of x; 0 where rounding alone could have made it.
      yy: self term of y; the same.
      rows: rows compared; 0 where they are too few for the definition (the terms are then 0 too).
    """

    xy: Float[Array, ""]
    xx: Float[Array, ""]
    yy: Float[Array, ""]
    rows: Float[Array, ""]

    def score(self) -> Float[Array, ""]:
        """Ratio xy / √(xx·yy); 0, with derivatives 0, where a self term is 0. NaN stays NaN."""
        degenerate = ((self.xx <= 0) | (self.yy <= 0)) & ~jnp.isnan(self.xy)
        xx, yy = (jnp.where(degenerate, 1, term) for term in (self.xx, self.yy))
        # Two roots: the product of the self terms may leave the range of float32.
        return jnp.where(degenerate, 0, self.xy / jnp.sqrt(xx) / jnp.sqrt(yy))

    def loss(self) -> Float[Array, ""]:
        """1 − score."""
        return 1 - self.score()


def make_terms(
    products: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]],
    noise: tuple[Float[Array, ""], Float[Array, ""]],
    rows: Int32[Array, ""],
    enough: Bool[Array, ""],
) -> AlignmentTerms:
    """Terms without what rounding made.

    Args:
      products: ⟨x, y⟩, ⟨x, x⟩, ⟨y, y⟩.
      noise: self terms up to these are taken for 0.
      rows: of the batch, without padding.
      enough: whether they suffice for the definition.
    """
    xy, xx, yy = products
    xx, yy = (jnp.where(own <= least, 0, own) for own, least in zip((xx, yy), noise, strict=True))
    return AlignmentTerms(
        *(jnp.where(enough, term, 0) for term in (xy, xx, yy, rows.astype(xy.dtype)))
    )


def in_units(terms: AlignmentTerms, x: Int32[Array, ""], y: Int32[Array, ""]) -> AlignmentTerms:
    """Terms of matrices times 2^x and 2^y: those of the data, from those of scaled rows."""
    x, y = (power_of_two(exponent, terms.xy.dtype) for exponent in (x, y))
    return AlignmentTerms(terms.xy * x * y, terms.xx * x * x, terms.yy * y * y, terms.rows)
