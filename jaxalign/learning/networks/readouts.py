"""From the features of nodes to one number a structure."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxalign.models.pooling import masked_mean


def _one_number(x: Float[Array, "*rows d"]) -> Float[Array, "*rows"]:
    inner = nn.silu(nn.Dense(x.shape[-1], name="inner")(x))
    outer = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name="outer")
    return outer(inner)[..., 0]


class SumReadout(nn.Module):
    """Sum over nodes of w · silu(W h + b): it grows with the molecule, as energies do.

    w is zero at first, so an untrained network predicts the mean of the training targets.
    """

    @nn.compact
    def __call__(
        self, states: Float[Array, "batch nodes d"], mask: Bool[Array, "batch nodes"]
    ) -> Float[Array, " batch"]:
        """One number a row; 0 for a row without nodes."""
        return jnp.sum(jnp.where(mask, _one_number(states), 0), axis=1)


class MeanReadout(nn.Module):
    """w · silu(W ⟨h⟩ + b) of the mean over nodes; w is zero at first, as in `SumReadout`."""

    @nn.compact
    def __call__(
        self, states: Float[Array, "batch nodes d"], mask: Bool[Array, "batch nodes"]
    ) -> Float[Array, " batch"]:
        """One number a row; that of a row without nodes means nothing."""
        return _one_number(masked_mean(states, mask))
