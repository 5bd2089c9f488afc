"""Messages of eSEN in the frame of an edge: convolution, activation, convolution.

In the frame of an edge the features of its two ends are sorted by order. Rotations about the edge
turn the parts x₊ (m) and x₋ (−m) like the real and the imaginary part of a complex number; hence a
complex matrix U + iV, with a row for each degree and channel, commutes with them:

    y₊ = U x₊ − V x₋,   y₋ = V x₊ + U x₋.

References:
  Passaro, Zitnick, "Reducing SO(3) convolutions to SO(2)", ICML 2023, arXiv:2302.03655, eq. 6;
  Fu et al., "Learning smooth and expressive interatomic potentials", arXiv:2502.12147 (2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.esen.edge_frames import ByOrder
from jaxalign.models.esen.esen_layers import matmul
from jaxalign.models.esen.esen_settings import GATE, EsenSettings
from jaxalign.models.esen.sphere import grid_matrices

_Flat = Float[Array, "edges _ _"]


def edge_message(
    settings: EsenSettings,
    params: Mapping[str, Any],
    features: ByOrder,
    radial: Float[Array, "edges width"],
) -> ByOrder:
    """The message of each edge, in its frame.

    Args:
      settings: of the model.
      params: `first` and `second` convolution.
      features: of both ends, their channels joined.
      radial: a factor for each degree, channel and |m| of the features.

    Returns:
      Coefficients by order.
    """
    flat = [x.reshape(*x.shape[:2], -1) for x in features]
    ends = np.cumsum([x.shape[2] for x in flat])[:-1]
    factors = jnp.split(radial, ends, axis=1)
    scaled = [x * factor[:, None] for x, factor in zip(flat, factors, strict=True)]
    convolved = _convolve(params["first"], scaled)
    extra = convolved[0][:, 0, : settings.extra]
    convolved[0] = convolved[0][:, :, settings.extra :]
    opened = [_with_channels(x, settings.hidden) for x in convolved]
    activate = _gate if settings.activation == GATE else _activate_on_sphere
    active = activate(settings, extra, opened)
    result = _convolve(params["second"], [x.reshape(*x.shape[:2], -1) for x in active])
    return [_with_channels(x, settings.channels) for x in result]


def _with_channels(x: _Flat, channels: int) -> Float[Array, "edges _ _ _"]:
    return x.reshape(*x.shape[:2], -1, channels)


def _convolve(params: Mapping[str, Any], features: list[_Flat]) -> list[_Flat]:
    scalars, *rest = features
    results = [matmul(scalars, params["order_0"]) + params["bias"][None, None]]
    for order, x in enumerate(rest, start=1):
        plus, minus = jnp.split(matmul(x, params[f"order_{order}"]), 2, axis=2)
        real = plus[:, 0] - minus[:, 1]
        imaginary = minus[:, 0] + plus[:, 1]
        results.append(jnp.stack([real, imaginary], axis=1))
    return results


def _gate(settings: EsenSettings, extra: Float[Array, "edges width"], features: ByOrder) -> ByOrder:
    """Degrees l > 0 are multiplied by gates, scalars go through an activation."""
    gates = jax.nn.sigmoid(extra).reshape(len(extra), 1, settings.max_degree, settings.hidden)
    zero, *rest = features
    zero = jnp.concatenate([jax.nn.silu(zero[:, :, :1]), zero[:, :, 1:] * gates], axis=2)
    return [zero, *(x * gates[:, :, order:] for order, x in enumerate(rest))]


def _activate_on_sphere(
    settings: EsenSettings, extra: Float[Array, "edges width"], features: ByOrder
) -> ByOrder:
    """An activation at every point of a grid; scalars go through one of their own."""
    to, back = grid_matrices(settings.max_degree, settings.max_order, settings.grid_resolution)
    rows = [
        (order, part, n - order)
        for n in range(settings.max_degree + 1)
        for order, part in _parts(min(n, settings.max_order))
    ]
    joined = jnp.stack([features[order][:, part, degree] for order, part, degree in rows], axis=1)
    precision = jax.lax.Precision.HIGHEST
    to, back = (jnp.asarray(matrix, joined.dtype) for matrix in (to, back))
    points = jax.nn.silu(jnp.einsum("pi,eic->epc", to, joined, precision=precision))
    values = jnp.einsum("pi,epc->eic", back, points, precision=precision)
    values = values.at[:, 0].set(jax.nn.silu(extra))
    place = {row: number for number, row in enumerate(rows)}
    return [
        jnp.stack(
            [
                jnp.stack([values[:, place[order, part, n]] for n in range(x.shape[2])], axis=1)
                for part in range(x.shape[1])
            ],
            axis=1,
        )
        for order, x in enumerate(features)
    ]


def _parts(highest: int) -> list[tuple[int, int]]:
    """(|m|, part) of m = −highest … highest."""
    return [(abs(m), int(m < 0)) for m in range(-highest, highest + 1)]
