"""Mixtures of linear experts: one set of maps for each structure, mixed from many.

A structure's shares come from its elements and from what is stated of it (charge, spin, data set):
the same for all its atoms, so that the energy stays smooth and extensive.

References:
  Wood et al., "UMA: a family of universal models for atoms", arXiv:2506.23971 (2025), sec. 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxalign.models.esen.esen_layers import dense
from jaxalign.models.esen.esen_settings import EsenSettings

_LEAST = 0.005  # of each expert, beyond what the softmax gives it


def expert_shares(
    settings: EsenSettings, params: Mapping[str, Any], batch: Mapping[str, Any]
) -> Float[Array, "graphs experts"]:
    """Shares of the experts in the maps of each structure.

    Args:
      settings: of the model.
      params: of `convert_params`.
      batch: what `esen_packing` collates.

    Returns:
      Shares; they sum to a little more than 1.
    """
    slots, graph = batch["slots"], batch["graph"]
    inputs = jnp.broadcast_to(params["system"], (len(slots), settings.channels))
    if settings.composition:
        own = params["composition"][batch["species"]]
        total = jax.ops.segment_sum(own, graph, len(slots), indices_are_sorted=True)
        count = jnp.sum(slots >= 0, axis=1) + int(settings.count_self)
        mean = total / jnp.maximum(count, 1).astype(total.dtype)[:, None]
        inputs = jnp.concatenate([mean, inputs], axis=1)
    for layer in params["routing"]:
        inputs = jax.nn.silu(dense(layer, inputs))
    return jax.nn.softmax(inputs, axis=1) + _LEAST


def merge_experts(
    maps: Mapping[str, Any], shares: Float[Array, "graphs experts"]
) -> dict[str, Any]:
    """Maps of each structure.

    Args:
      maps: arrays `[experts, in, out]` of maps that are mixed, and arrays of fewer axes.
      shares: of `expert_shares`.

    Returns:
      The same, `[graphs, in, out]` where there were experts.
    """

    def merge(x: Float[Array, ...]) -> Float[Array, ...]:
        if x.ndim < 3:
            return x
        return jnp.tensordot(shares, x, axes=1, precision=jax.lax.Precision.HIGHEST)

    return jax.tree.map(merge, dict(maps))


def pick_structure(maps: Mapping[str, Any], graph: Int[Array, ""]) -> dict[str, Any]:
    """The maps of one structure.

    Args:
      maps: of `merge_experts`.
      graph: its number; that of padding takes the last structure's.

    Returns:
      Plain maps.
    """
    # dynamic_index clamps a number beyond the end.
    return jax.tree.map(
        lambda x: jax.lax.dynamic_index_in_dim(x, graph, keepdims=False) if x.ndim == 3 else x,
        dict(maps),
    )
