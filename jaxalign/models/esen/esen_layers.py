"""Layers of eSEN that act on each atom or each edge alone.

Features of an atom are coefficients of real harmonics: `[atoms, (l_max + 1)², channels]`, degree by
degree, m = −l … l. What acts on coefficients of degree l > 0 treats all their m alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.esen.esen_settings import GRID, EsenSettings
from jaxalign.models.esen.sphere import coefficient_numbers, grid_matrices

_EPSILON = 1e-5
_Features = Float[Array, "atoms coefficients channels"]


def matmul(x: Float[Array, "*rows a"], kernel: Float[Array, "a b"]) -> Float[Array, "*rows b"]:
    """Product at full precision."""
    return jnp.matmul(x, kernel, precision=jax.lax.Precision.HIGHEST)


def dense(params: Mapping[str, Any], x: Float[Array, "*rows a"]) -> Float[Array, "*rows b"]:
    """A linear map, with a bias if it has one."""
    y = matmul(x, params["kernel"])
    return y + _as_rows(params["bias"], y) if "bias" in params else y


def _as_rows(vector: Float[Array, " d"], x: Float[Array, "*rows d"]) -> Float[Array, "*ones d"]:
    """A vector with as many axes as what it is added to."""
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


def layer_norm(params: Mapping[str, Any], x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    """Centered and divided by the standard deviation, then scaled and shifted."""
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centered**2, axis=-1, keepdims=True)
    normed = centered * jax.lax.rsqrt(variance + _EPSILON)
    return normed * _as_rows(params["scale"], x) + _as_rows(params["bias"], x)


def radial_weights(
    params: Mapping[str, Any], hidden: Float[Array, "*edges d"]
) -> Float[Array, "*edges width"]:
    """What a radial network makes of its first linear map."""
    for number in (1, 2):
        hidden = jax.nn.silu(layer_norm(params[f"norm_{number}"], hidden))
        hidden = dense(params[f"dense_{number + 1}"], hidden)
    return hidden


def gaussians(settings: EsenSettings, lengths: Float[Array, " edges"]) -> Float[Array, "edges n"]:
    """Distances as heights of Gaussians at equal steps from 0 to the cutoff, two steps wide."""
    centers, step = np.linspace(0, settings.cutoff, settings.basis, retstep=True)
    offsets = (lengths[:, None] - jnp.asarray(centers[None], lengths.dtype)) / (2 * float(step))
    return jnp.exp(-(offsets**2) / 2)


def cutoff_envelope(
    settings: EsenSettings, lengths: Float[Array, "*edges"]
) -> Float[Array, "*edges"]:
    """1 − 21 u⁵ + 35 u⁶ − 15 u⁷ of u = r / cutoff, or 1; 0 beyond the cutoff."""
    if not settings.envelope:
        return (lengths <= settings.cutoff).astype(lengths.dtype)
    u = lengths / settings.cutoff
    return jnp.where(u < 1, 1 + u**5 * (-21 + u * (35 - 15 * u)), 0)


def equivariant_norm(settings: EsenSettings, params: Mapping[str, Any], x: _Features) -> _Features:
    """Divides features by their size; scalars are centered over the channels first.

    `rms_norm_sh` divides by one number for all degrees, `layer_norm_sh` by one for the scalars and
    one for the rest, `layer_norm` by one for each degree. Degrees count alike.
    """
    degrees = coefficient_numbers(settings.max_degree)[0]
    x = jnp.concatenate([x[:, :1] - jnp.mean(x[:, :1], axis=2, keepdims=True), x[:, 1:]], axis=1)
    squares = jnp.mean(x**2, axis=2)
    shares = jnp.asarray(_shares(settings.norm, degrees), x.dtype)
    scales = jax.lax.rsqrt(matmul(squares, shares) + _EPSILON)
    y = x * scales[:, :, None] * params["scale"][degrees][None]
    return y.at[:, 0].add(params["bias"][None])


def _shares(norm: str, degrees: np.ndarray) -> Float[np.ndarray, "coefficients coefficients"]:
    """How much each coefficient (row) counts in the mean square that divides another (column)."""
    same = degrees[:, None] == degrees[None, :]
    each = 1 / (2 * degrees[:, None] + 1)
    if norm == "layer_norm":
        return same * each
    if norm == "rms_norm_sh":
        return np.broadcast_to(each / (degrees.max() + 1), same.shape)
    scalars = degrees == 0
    alike = scalars[:, None] == scalars[None, :]
    return alike * each / np.where(scalars, 1, max(degrees.max(), 1))[None, :]


def feed_forward(settings: EsenSettings, params: Mapping[str, Any], x: _Features) -> _Features:
    """The pointwise network of a block."""
    return (_grid if settings.feed_forward == GRID else _spectral)(settings, params, x)


def _grid(settings: EsenSettings, params: Mapping[str, Any], x: _Features) -> _Features:
    """The same network at every point of a grid of the sphere."""
    to, back = grid_matrices(settings.max_degree, settings.max_degree, settings.grid_resolution)
    to, back = (jnp.asarray(matrix, x.dtype) for matrix in (to, back))
    points = jnp.einsum("pi,aic->apc", to, x, precision=jax.lax.Precision.HIGHEST)
    for number in (1, 2):
        points = jax.nn.silu(dense(params[f"dense_{number}"], points))
    points = dense(params["dense_3"], points)
    return jnp.einsum("pi,apc->aic", back, points, precision=jax.lax.Precision.HIGHEST)


def _spectral(settings: EsenSettings, params: Mapping[str, Any], x: _Features) -> _Features:
    """A map for each degree, gates from the scalars, another map for each degree."""
    degrees = coefficient_numbers(settings.max_degree)[0]
    gates = jax.nn.sigmoid(jax.nn.silu(dense(params["gates"], x[:, 0])))
    gates = gates.reshape(len(x), settings.max_degree, settings.hidden)
    x = _by_degree(params["first"], x)
    x = jnp.concatenate([jax.nn.silu(x[:, :1]), x[:, 1:] * gates[:, degrees[1:] - 1]], axis=1)
    return _by_degree(params["second"], x)


def _by_degree(params: Mapping[str, Any], x: _Features) -> _Features:
    parts = [
        matmul(x[:, n * n : (n + 1) ** 2], kernel) for n, kernel in enumerate(params["kernels"])
    ]
    return jnp.concatenate(parts, axis=1).at[:, 0].add(params["bias"][None])
