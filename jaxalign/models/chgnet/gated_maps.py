"""Parts of CHGNet: functions of lengths and angles, linear maps, layer norms and gated maps."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_EPSILON = 1e-5  # added to the variance
_HALF_ROOT = float(np.sqrt(np.float32(0.5)))  # rounded as in the original

_States = Float[Array, "rows d"]

# One TPU pass in bfloat16 would not meet the agreement with the original.
product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def radial_basis(
    lengths: Float[Array, " rows"], frequencies: Float[Array, " n"], *, cutoff: float, power: int
) -> Float[Array, "rows n"]:
    """Bessel functions that vanish smoothly at the cutoff c, in units of 1/√Å.

    With x = d/c: √(2/c) sin(f_k x)/d · u(x), where u = 0 for x ≥ 1, else
    u = 1 − (p+1)(p+2)/2 xᵖ + p(p+2) xᵖ⁺¹ − p(p+1)/2 xᵖ⁺².

    Args:
      lengths: d, Å.
      frequencies: f_k.
      cutoff: c, Å.
      power: p.

    Returns:
      One row a length.

    References:
      Gasteiger, Groß, Günnemann, "Directional message passing for molecular graphs", ICLR (2020),
      eqs. 7 and 8.
    """
    x, p = lengths / cutoff, power
    powers = (p + 1) * (p + 2) / 2 - p * (p + 2) * x + p * (p + 1) / 2 * x**2
    envelope = jnp.where(x < 1, 1 - x**p * powers, 0)
    scale = (2 / cutoff) ** 0.5 * envelope / lengths
    return scale[:, None] * jnp.sin(x[:, None] * frequencies[None, :])


def angular_basis(
    radians: Float[Array, " rows"], frequencies: Float[Array, " n"]
) -> Float[Array, "rows m"]:
    """(1/√2, sin(f_k θ), cos(f_k θ)) / √π.

    Args:
      radians: θ.
      frequencies: f_k.

    Returns:
      One row an angle, of 2 n + 1 numbers.
    """
    phases = radians[:, None] * frequencies[None, :]
    constant = jnp.full_like(radians[:, None], _HALF_ROOT)
    return jnp.concatenate([constant, jnp.sin(phases), jnp.cos(phases)], axis=1) / jnp.pi**0.5


def linear_map(params: Any, name: str, x: _States) -> Float[Array, "rows m"]:
    """Rows x to x W + b; without b if the parameters have none."""
    linear = params[name]
    values = product(x, linear["kernel"])
    return values + linear["bias"][None, :] if "bias" in linear else values


def layer_norm(norm: Mapping[str, Array], x: _States) -> _States:
    """Each row to mean 0 and variance 1, then scaled and shifted."""
    centered = x - _mean(x)
    scale = jax.lax.rsqrt(_mean(centered**2) + _EPSILON)
    return centered * scale * norm["scale"][None, :] + norm["bias"][None, :]


def _mean(x: _States) -> Float[Array, "rows 1"]:
    # Sums along rows vectorize badly on CPUs; those of whole quarters save a tenth of all time.
    quarters = sum(jnp.split(x, 4, axis=1))
    return jnp.sum(quarters, axis=1, keepdims=True) / x.shape[1]


def gated_map(params: Any, name: str, inputs: Mapping[str, _States]) -> _States:
    """silu(N C(x)) ⊙ sigmoid(N' C'(x)), from what the first linear maps of C and C' give.

    C and C' have a second linear map after a silu, and N and N' normalize, if there are parameters
    for it.

    Args:
      params: Flax parameters.
      name: of the map in the parameters.
      inputs: `"core"` and `"gate"`: first linear map of C and C', bias included.

    Returns:
      One row a row of the inputs.
    """
    values = {}
    for part, value in inputs.items():
        if f"{name}/{part}_2" in params:
            value = linear_map(params, f"{name}/{part}_2", jax.nn.silu(value))
        if f"{name}/{part}_norm" in params:
            value = layer_norm(params[f"{name}/{part}_norm"], value)
        values[part] = value
    return jax.nn.silu(values["core"]) * jax.nn.sigmoid(values["gate"])
