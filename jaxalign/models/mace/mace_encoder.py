"""MACE as an encoder: structures to packed graphs, the weights of a file to parameters."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.atomistic.atom_graph import check_atoms, neighbor_pairs
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, Example
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.models.mace.mace import DEFAULT_LAYER, Mace, apply_mace, interaction_energy
from jaxalign.models.mace.mace_file import read_settings
from jaxalign.models.mace.mace_settings import MaceSettings
from jaxalign.models.mace.mace_weights import convert_params, reference_energies
from jaxalign.models.weight_files.user_file import UserFile
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure

# Messages of 128 channels take 10 to 20 kB an edge.
_BUDGET = {"atoms": 512, "edges": 8192}


def featurize_mace(structure: Structure, *, settings: MaceSettings) -> Example:
    """Species and edges of one structure.

    Args:
      structure: a sample with atoms, periodic or not.
      settings: of the model.

    Returns:
      `species` `[atoms]` (number of the element in the model), `centers`, `neighbors` `[edges]`,
      `vectors` `[edges, 3]` from the neighbor to the center, Å, as the original directs them.

    Raises:
      UnsupportedStructureError: if the model cannot represent the structure.
    """
    check_mace(structure, settings=settings)
    pairs = neighbor_pairs(structure, cutoff=settings.cutoff)
    known = {number: row for row, number in enumerate(settings.atomic_numbers)}
    return {
        "species": np.array([known[int(z)] for z in structure.atomic_numbers], np.int32),
        "centers": pairs.centers,
        "neighbors": pairs.neighbors,
        "vectors": -pairs.vectors,
    }


def check_mace(structure: Structure, *, settings: MaceSettings) -> None:
    """Raises `UnsupportedStructureError` if the model cannot represent the structure."""
    check_atoms(structure, known=settings.atomic_numbers, family="this MACE")


def mace_packing(settings: MaceSettings) -> GraphPacking:
    """Flat arrays of atoms and edges; those of the padding lie beyond the cutoff."""
    return GraphPacking(
        layout={
            "species": Field("atoms", dtype=np.int32),
            "centers": Field("edges", points_to="atoms", dtype=np.int32),
            "neighbors": Field("edges", points_to="atoms", dtype=np.int32),
            "vectors": Field("edges", fill=(2 * settings.cutoff, 0.0, 0.0)),
        },
        budget=_BUDGET,
    )


def mace_encoder(
    card: ModelCard, model: Mace, params: Any, *, reference: Mapping[int, float]
) -> Encoder:
    """A MACE ready for extraction.

    Args:
      card: facts about the model.
      model: settings and monomials.
      params: of `convert_params`, of any float type.
      reference: energy of a single atom of each element, eV.

    Returns:
      An encoder of molecules and crystals, with energies.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(lambda x: jnp.asarray(x, np.float32), params),
        featurize=functools.partial(featurize_mace, settings=model.settings),
        batching=mace_packing(model.settings),
        apply=bind(apply_mace, model),
        check=functools.partial(check_mace, settings=model.settings),
        energy=EnergyModel(bind(interaction_energy, model), reference),
    )


def load_mace(file: UserFile) -> Encoder:
    """An encoder from a MACE that a user brings.

    Args:
      file: state dict or whole model, with a configuration if need be.

    Returns:
      The encoder, with energies of the chosen head.

    Raises:
      WeightsError: if the file is no MACE, of a variant that is not supported, or contradicts its
        configuration; the message names the array and both shapes.
    """
    settings = read_settings(file.arrays, file.modules, file.config)
    params, plans = convert_params(file.arrays, settings)
    model = Mace(settings, plans)
    facts = {**file.card_facts(), "parameters": count_params(params), "verified": "random"}
    card = mace_card(model, **facts, notes=_notes(settings))
    return mace_encoder(card, model, params, reference=reference_energies(file.arrays, settings))


def mace_card(model: Mace, **facts: Any) -> ModelCard:
    """Card of a MACE.

    Args:
      model: settings and monomials.
      **facts: of the weights.

    Returns:
      A complete card.
    """
    settings = model.settings
    common = {
        "family": "MACE",
        "modality": "3d",
        "width": settings.channels * settings.blocks,
        "layer": DEFAULT_LAYER,
        "layers": model.layers,
        "pooling": "mean",
        "symmetry": "invariant",
        "citation": "Batatia et al., NeurIPS 35, 11423 (2022), arXiv:2206.07697",
    }
    return ModelCard(**(common | facts))


def _notes(settings: MaceSettings) -> str:
    head = (
        f" Energies are those of the head {settings.head_name}." if len(settings.heads) > 1 else ""
    )
    return (
        "Weights of the user; the implementation agrees with mace-torch on random weights of this "
        f"family. {len(settings.atomic_numbers)} elements, cutoff {settings.cutoff:g} Å. The "
        "descriptor joins the scalars after each block; the layers ending in _equivariant turn "
        f"with the structure. Charges and spins are not seen.{head}"
    )
