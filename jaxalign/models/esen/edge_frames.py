"""Frames of edges: features of atoms, turned so that an edge points along y.

In such a frame a rotation about the edge mixes only the orders m and −m of one degree, so that
messages there need maps for each |m| alone. An edge n = (sin β sin α, cos β, sin β cos α) is turned
to y by D(n) = J X(−β) J X(−α), with X(θ)_{m,m} = cos mθ, X(θ)_{m,−m} = −sin mθ and J of `sphere`.

A further angle about the edge is free. The original draws it at random; here it is 0. With the
gate activation no feature depends on it; with the activation on a grid they do, as far as the grid
is coarse.

References:
  Passaro, Zitnick, "Reducing SO(3) convolutions to SO(2)", ICML 2023, arXiv:2302.03655.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.esen.sphere import exchange_matrix

# One array a degree: `[edges, kept orders, 2 l + 1]`, rows m = −min(l, max_order) …
Frames = Sequence[Float[Array, "edges _ _"]]
# One array an order: `[edges, 1, degrees, channels]` for m = 0, then `[edges, 2, degrees,
# channels]` with the parts +m and −m; degrees ascend from |m|.
ByOrder = Sequence[Float[Array, "edges _ _ _"]]


def edge_frames(
    vectors: Float[Array, "edges 3"], *, max_degree: int, max_order: int
) -> tuple[Float[Array, "edges _ _"], ...]:
    """Matrices that turn coefficients into the frame of each edge.

    Args:
      vectors: of the edges, not 0.
      max_degree: largest l. Static.
      max_order: largest |m| that is kept. Static.

    Returns:
      One array a degree: `[edges, kept, 2 l + 1]`. Rows are orthonormal, so that the transpose
      turns back.
    """
    x, y, z = jnp.moveaxis(vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True), -1, 0)
    height = jnp.sqrt(x * x + z * z)
    safe = jnp.where(height > 0, height, 1)
    alpha = _multiples(jnp.where(height > 0, z / safe, 1), x / safe, max_degree)
    beta = _multiples(y, height, max_degree)
    return tuple(_frame(n, min(n, max_order), alpha, beta) for n in range(max_degree + 1))


def _multiples(
    cos: Float[Array, " edges"], sin: Float[Array, " edges"], count: int
) -> tuple[Float[Array, "edges n"], Float[Array, "edges n"]]:
    """Cos kθ and sin kθ for k = 0 … count, by the addition theorem."""
    waves = [(jnp.ones_like(cos), jnp.zeros_like(cos))]
    for _ in range(count):
        c, s = waves[-1]
        waves.append((c * cos - s * sin, s * cos + c * sin))
    return jnp.stack([c for c, _ in waves], -1), jnp.stack([s for _, s in waves], -1)


def _frame(
    degree: int,
    kept: int,
    alpha: tuple[Float[Array, "edges n"], Float[Array, "edges n"]],
    beta: tuple[Float[Array, "edges n"], Float[Array, "edges n"]],
) -> Float[Array, "edges kept m"]:
    orders = np.arange(-degree, degree + 1)
    (cos_a, sin_a), (cos_b, sin_b) = alpha, beta
    waves = jnp.concatenate([cos_b[:, : degree + 1], sin_b[:, 1 : degree + 1]], axis=1)
    table = jnp.asarray(_tilts(degree)[:, degree - kept : degree + kept + 1], waves.dtype)
    tilted = jnp.einsum("ek,krm->erm", waves, table, precision=jax.lax.Precision.HIGHEST)
    cos = cos_a[:, np.abs(orders)]
    sin = sin_a[:, np.abs(orders)] * np.sign(orders)[None].astype(waves.dtype)
    return tilted * cos[:, None, :] - tilted[:, :, ::-1] * sin[:, None, :]


def _tilts(degree: int) -> Float[np.ndarray, "waves m m"]:
    """J X(−β) J as coefficients of cos 0β … cos lβ, sin β … sin lβ."""
    exchange = exchange_matrix(degree)
    tables = np.zeros((2 * degree + 1, 2 * degree + 1, 2 * degree + 1))
    for m in range(-degree, degree + 1):
        row, mirrored = degree + m, degree - m
        tables[abs(m)] += np.outer(exchange[:, row], exchange[row])
        if m:
            turn = np.sign(m) * np.outer(exchange[:, row], exchange[mirrored])
            tables[degree + abs(m)] += turn
    return tables


def into_frames(
    frames: Frames, features: Float[Array, "edges coefficients channels"]
) -> tuple[Float[Array, "edges _ _ _"], ...]:
    """Turns coefficients into the frames of edges and sorts them by order.

    Args:
      frames: of `edge_frames`.
      features: coefficients at one end of each edge, degree by degree.

    Returns:
      One array an order, as `ByOrder` says.
    """
    turned = [
        _small_products(frame, features[:, n * n : (n + 1) ** 2]) for n, frame in enumerate(frames)
    ]
    return sort_by_order(turned)


def sort_by_order(
    degrees: Sequence[Float[Array, "edges _ channels"]],
) -> tuple[Float[Array, "edges _ _ _"], ...]:
    """Rows m = −k … k of each degree → one array an order."""
    highest = max(value.shape[1] // 2 for value in degrees)
    sorted_ = []
    for order in range(highest + 1):
        own = degrees[order:]
        parts = [
            jnp.stack([value[:, value.shape[1] // 2 + m] for value in own], axis=1)
            for m in ((order, -order) if order else (0,))
        ]
        sorted_.append(jnp.stack(parts, axis=1))
    return tuple(sorted_)


def out_of_frames(frames: Frames, features: ByOrder) -> Float[Array, "edges coefficients channels"]:
    """Turns coefficients back; the inverse of `into_frames` where all orders are kept.

    Args:
      frames: of `edge_frames`.
      features: as `into_frames` gives them; missing orders count as 0.

    Returns:
      Coefficients, degree by degree.
    """
    turned = []
    for n, frame in enumerate(frames):
        middle = frame.shape[1] // 2
        orders = [m for m in range(-middle, middle + 1) if abs(m) < len(features)]
        rows = jnp.stack([features[abs(m)][:, int(m < 0), n - abs(m)] for m in orders], axis=1)
        own = frame[:, [middle + m for m in orders]]
        turned.append(_small_products(jnp.swapaxes(own, 1, 2), rows))
    return jnp.concatenate(turned, axis=1)


def _small_products(
    matrices: Float[Array, "edges rows columns"], values: Float[Array, "edges columns channels"]
) -> Float[Array, "edges rows channels"]:
    return jnp.einsum("erk,ekc->erc", matrices, values, precision=jax.lax.Precision.HIGHEST)
