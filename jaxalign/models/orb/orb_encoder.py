"""Orb as an encoder: the weights of a file to parameters, and the card that says what they are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel
from jaxalign.models.orb.orb import apply_orb, interaction_energy
from jaxalign.models.orb.orb_graph import PACKING, check_orb, featurize_orb
from jaxalign.models.orb.orb_settings import OrbSettings, read_settings
from jaxalign.models.orb.orb_weights import convert_params, current_names, reference_energies
from jaxalign.models.weight_files.user_file import UserFile
from jaxalign.models.weight_files.weights import count_params


def orb_encoder(
    card: ModelCard, settings: OrbSettings, params: Any, *, reference: Mapping[int, float]
) -> Encoder:
    """An Orb ready for extraction.

    Args:
      card: facts about the model.
      settings: of the model.
      params: of `convert_params`, of any float type.
      reference: energy of a single atom of each element, eV.

    Returns:
      An encoder of molecules and crystals, with energies if the model has them.
    """
    energy = None
    if settings.head_depth is not None:
        energy = EnergyModel(bind(interaction_energy, settings), reference)
    return Encoder(
        card=card,
        params=jax.tree.map(lambda x: jnp.asarray(x, np.float32), params),
        featurize=functools.partial(
            featurize_orb, neighbors=settings.neighbors, known=settings.elements
        ),
        batching=PACKING,
        apply=bind(apply_orb, settings),
        check=functools.partial(check_orb, known=settings.elements),
        energy=energy,
    )


def load_orb(file: UserFile) -> Encoder:
    """An encoder from an Orb v2 or v3 that a user brings.

    Args:
      file: state dict, with a configuration if need be (see `orb_settings.read_settings`).

    Returns:
      The encoder, with energies if the file has the original's head for them.

    Raises:
      WeightsError: if the file is no Orb, of a variant that is not supported, or contradicts its
        configuration; the message names the array and both shapes.
    """
    arrays = current_names(file.arrays)
    settings = read_settings(arrays, file.config, name=file.path.stem)
    params = convert_params(arrays, settings)
    facts = {**file.card_facts(), "parameters": count_params(params), "verified": "random"}
    card = orb_card(settings, **facts, notes=_notes(settings))
    return orb_encoder(card, settings, params, reference=reference_energies(arrays))


def orb_card(settings: OrbSettings, **facts: Any) -> ModelCard:
    """Card of an Orb.

    Args:
      settings: of the model.
      **facts: of the weights.

    Returns:
      A complete card.
    """
    common = {
        "family": "Orb",
        "modality": "3d",
        "width": settings.latent,
        "layer": settings.layers[-1],
        "layers": settings.layers,
        "pooling": "mean",
        "symmetry": "none",
        "citation": "Neumann et al., arXiv:2410.22570 (2024)"
        if settings.degree is None
        else "Rhodes et al., arXiv:2504.06231 (2025)",
    }
    return ModelCard(**(common | facts))


def describe(settings: OrbSettings) -> str:
    """What a card of an Orb must say whatever its weights are."""
    functions = (
        f"{settings.bases} Gaussians beside unit vectors (v2)"
        if settings.degree is None
        else f"{settings.bases} Bessel functions times harmonics to degree {settings.degree} (v3)"
    )
    energies = {
        None: "Energies without pair repulsion.",
        "sum": "Energies with ZBL repulsion, every atomic number one too large as in the original.",
        "mean": "Energies with ZBL repulsion averaged over the atoms, every atomic number one too "
        "large, both as in the original; so they are not extensive.",
    }[settings.repulsion]
    return (
        f"{settings.steps} layers of {settings.latent} channels, {functions}, cutoff 6 Å, at most "
        f"{settings.neighbors} neighbors. No layer is invariant under rotations: directions of "
        "edges enter as plain numbers, and training alone makes the network nearly so. The limit "
        "of neighbors cuts through shells of equally far ones; which are kept is decided by "
        "rounding, in the original as here, so that the choice of the cell and the order of the "
        "atoms can change a row. Partly periodic structures are refused. "
        f"{energies if settings.head_depth is not None else 'The file has no energies.'}"
    )


def _notes(settings: OrbSettings) -> str:
    state = " Charges and spins are not seen."
    if settings.state is not None:
        charge, spin = settings.state
        state = (
            f" All structures are taken to have charge {charge:g} and spin multiplicity {spin:g}; "
            "state charge and spin in the configuration for others."
        )
    return (
        "Weights of the user; the implementation agrees with orb-models 0.5.5 on random weights of "
        f"this family. {describe(settings)} {len(settings.elements)} elements are accepted, as the "
        f"file does not tell which it was trained on.{state}"
    )
