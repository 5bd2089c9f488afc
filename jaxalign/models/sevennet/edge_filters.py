"""Filters of equivariant convolutions: radial functions of edges times spherical harmonics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics

_HIGHEST = jax.lax.Precision.HIGHEST  # one bfloat16 pass would not agree with the original


class EdgeBasis(NamedTuple):
    """What depends on the length and on the direction of each edge."""

    radial: Float[Array, "edges basis"]
    harmonics: Float[Array, "edges m"]


def cutoff_envelope(
    lengths: Float[Array, " edges"], *, cutoff: float, onset: float | None
) -> Float[Array, " edges"]:
    """A smooth step from 1 to 0 at the cutoff, and 0 beyond.

    Args:
      lengths: Å.
      cutoff: Å.
      onset: where XPLOR's polynomial begins; None for NequIP's of order p = 6,
        1 − (p+1)(p+2)/2 uᵖ + p(p+2) uᵖ⁺¹ − p(p+1)/2 uᵖ⁺² with u = r / cutoff.

    Returns:
      `[edges]`.
    """
    if onset is not None:
        r2, on2, cut2 = lengths**2, onset**2, cutoff**2
        values = (cut2 - r2) ** 2 * (cut2 + 2 * r2 - 3 * on2) / (cut2 - on2) ** 3
        values = jnp.where(lengths < onset, jnp.ones_like(values), values)
    else:
        # Written as (1 − u)³ Σ_k (k+1)(k+2)/2 uᵏ, k < p: the powers would cancel near u = 1.
        u = lengths / cutoff
        values = (1 - u) ** 3 * sum((k + 1) * (k + 2) / 2 * u**k for k in range(6))
    return jnp.where(lengths < cutoff, values, jnp.zeros_like(values))


def edge_basis(
    frequencies: Float[Array, " basis"],
    batch: Mapping[str, Any],
    *,
    degree: int,
    cutoff: float,
    onset: float | None,
    unit_vectors: bool,
) -> EdgeBasis:
    """Bessel functions of the length and harmonics of the direction of each edge.

    Args:
      frequencies: of the sines, 1/Å.
      batch: `vectors` and `edges_mask`.
      degree: largest degree of the harmonics. Static.
      cutoff: Å.
      onset: see `cutoff_envelope`.
      unit_vectors: whether the harmonics are those of unit vectors.

    Returns:
      Both; the radial part of padding is 0.
    """
    # Padding gets a harmless vector: values and gradients stay finite.
    mask = batch["edges_mask"]
    unit = jnp.zeros_like(batch["vectors"]).at[:, 0].set(1)
    vectors = jnp.where(mask[:, None], batch["vectors"], unit)
    lengths = jnp.sqrt(jnp.sum(vectors**2, axis=1))
    envelope = cutoff_envelope(lengths, cutoff=cutoff, onset=onset) * (2.0 / cutoff)
    envelope = jnp.where(mask, envelope, jnp.zeros_like(envelope))
    radial = jnp.sin(lengths[:, None] * frequencies[None, :]) * (envelope / lengths)[:, None]
    vectors = vectors / lengths[:, None] if unit_vectors else vectors
    return EdgeBasis(radial, jnp.concatenate(spherical_harmonics(vectors, degree), axis=1))


def edge_filters(
    weights: Sequence[Float[Array, "_ _"]], basis: EdgeBasis, batch: Mapping[str, Any]
) -> Float[Array, "pairs m hidden"]:
    """Harmonics times hidden radial features, summed over the images of each pair.

    Args:
      weights: of the hidden layers of the radial network.
      basis: of all edges.
      batch: `pair` of each edge.

    Returns:
      `[pairs, harmonics, hidden]`; 0 for padding.
    """
    hidden = basis.radial
    for matrix in weights:
        hidden = jax.nn.silu(jnp.matmul(hidden, matrix, precision=_HIGHEST))
    products = basis.harmonics[:, :, None] * hidden[:, None, :]
    return jax.ops.segment_sum(
        products, batch["pair"], len(batch["first"]), indices_are_sorted=True
    )
