"""Normalization over features, in the dtype of the input."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class LayerNorm(nn.Module):
    """(x − mean) / √(variance + ε) · scale + bias over features.

    In the dtype of its input and from centered values: Flax's own layer goes through float32, and
    by default through E[x²] − E[x]², which cancels.
    """

    epsilon: float
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*nodes d"]) -> Float[Array, "*nodes d"]:
        """Normalized features."""
        width, others = x.shape[-1:], tuple(range(x.ndim - 1))
        scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
        centered = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centered**2, axis=-1, keepdims=True)
        normalized = centered * jax.lax.rsqrt(variance + self.epsilon)
        scaled = normalized * jnp.expand_dims(scale, others)
        if not self.use_bias:
            return scaled
        bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
        return scaled + jnp.expand_dims(bias, others)


class RmsNorm(nn.Module):
    """x / √(⟨x²⟩ + ε) · scale over features (Zhang & Sennrich, arXiv:1910.07467)."""

    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "*nodes d"]) -> Float[Array, "*nodes d"]:
        """Normalized features."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        normalized = x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + self.epsilon)
        return normalized * jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
