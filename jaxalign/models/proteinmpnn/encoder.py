"""Networks of the ProteinMPNN family over protein structures, ready for extraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.graph_packing import GraphPacking, unpack_atoms
from jaxalign.models.proteinmpnn.features import (
    featurize_residues,
    known_residues,
    packing_layout,
)
from jaxalign.models.proteinmpnn.network import ProteinMpnn
from jaxalign.models.proteinmpnn.settings import MpnnSettings
from jaxalign.structures.structure import Structure

RESIDUES_PER_BATCH = 2048


def apply_mpnn(
    settings: MpnnSettings, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all residues of a packed batch.

    Args:
      settings: of the network.
      params: Flax parameters.
      batch: what the encoder's batching gives.
      layer: a name of `settings.layer_names`; None is the last. Static.

    Returns:
      `[structures, residues, 128]` values and the mask of real residues.

    Raises:
      ValueError: if there is no such layer.
    """
    names = settings.layer_names
    layer = layer or names[-1]
    if layer not in names:
        raise ValueError(
            f"unknown layer {layer!r} of a ProteinMPNN encoder; pass one of {', '.join(names)}"
        )
    module = ProteinMpnn(settings, layer)
    arrays = {name: jnp.asarray(array) for name, array in batch.items()}
    values = module.apply({"params": _needed(params, names.index(layer))}, arrays)
    return unpack_atoms(values, batch)


def _needed(params: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Parameters of the layers up to this one, counted from the embedding."""
    steps = number - 1
    if steps < 1:
        return {name: value for name, value in params.items() if name != "layers"}
    return {**params, "layers": jax.tree.map(lambda p: p[:steps], params["layers"])}


def mpnn_encoder(card: ModelCard, params: Any, settings: MpnnSettings) -> Encoder:
    """A network of this family, ready for extraction.

    Args:
      card: facts about the model; its `layers` are `settings.layer_names`.
      params: Flax parameters.
      settings: of the network.

    Returns:
      An encoder of structures with a backbone; its nodes are the residues that have all atoms the
      network needs.
    """

    def check(structure: Structure) -> None:
        known_residues(structure, alpha_only=settings.alpha_only)

    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=bind(featurize_residues, settings),
        batching=GraphPacking(packing_layout(settings), {"atoms": RESIDUES_PER_BATCH}),
        apply=bind(apply_mpnn, settings),
        check=check,
    )
