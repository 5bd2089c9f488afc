"""The ANI-2xt network of auto3d for seven elements, and its random-initialized twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.ani.ani import ANI_2XT, LAYERS, atom_encoder, init_params, param_shapes
from jaxalign.models.ani.catalog_ani import INPUT_NOTES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.weights import StateDict, check_params, read_weights

WEIGHTS = "Auto3D/engines/models/ani2xt_no_repulsion.pt"
_SHA256 = "542e353061ad5ad1370206421008f2ecbf069b8690970656109d63b281b6cbaa"
# Hartree, by atomic number; constants of the original's code.
SELF_ENERGIES = {
    1: -0.5984,
    6: -38.0826,
    7: -54.7031,
    8: -75.1901,
    9: -99.8006,
    16: -398.1224,
    17: -460.1387,
}
_NOTES = (
    f"Elements H, C, N, O, F, S, Cl; {INPUT_NOTES} all three layers are padded with zeros to the "
    "widest element: of hidden_3, H and C use 160 numbers, N and O 128, F, S and Cl 96. The "
    "version without a pairwise repulsion term. Environment vectors have the constants of ANI-1x, "
    "not those of ANI-2x."
)


def convert(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Flax parameters from the arrays of a checkpoint.

    Args:
      arrays: `ELEMENT.POSITION.weight` and `.bias`, where elements are numbered in the order of the
        network and the linear maps stand at positions 0, 2, 4, 6, between the activations.

    Returns:
      Parameters for `ani.apply_ani`.

    Raises:
      WeightsError: if arrays are missing, left over or of another shape.
    """
    state = StateDict(arrays)
    params = {
        f"{element}_{layer + 1}": state.dense(f"{number}.{2 * layer}")
        for number, element in enumerate(ANI_2XT.aev.elements)
        for layer in range(4)
    }
    state.require_all_taken()
    check_params(param_shapes(ANI_2XT), params)
    return params


def _build(entry: ModelEntry) -> Encoder:
    params = convert(read_weights(entry.archives[0], WEIGHTS, sha256=_SHA256))
    return atom_encoder(entry.card, params, network=ANI_2XT, self_energies=SELF_ENERGIES)


def _build_random(entry: ModelEntry) -> Encoder:
    return atom_encoder(entry.card, init_params(0, network=ANI_2XT), network=ANI_2XT)


_ARCHIVE = ARCHIVES["auto3d"]
_CARD = ModelCard(
    id="ani-2xt",
    name="ANI-2xt",
    family="ANI",
    modality="3d",
    pretrained=True,
    width=ANI_2XT.width(LAYERS[-1]),
    layer=LAYERS[-1],
    layers=LAYERS,
    pooling="mean",
    training_data="molecules of H, C, N, O, F, S, Cl (the package does not describe the set)",
    label_level="density functional energies (the package does not name the level)",
    parameters=1_713_223,
    symmetry="invariant",
    licence=_ARCHIVE.licence,
    citation=_ARCHIVE.citation,
    package=_ARCHIVE.requirement,
    package_sha256=_ARCHIVE.sha256,
    verified="weights",
    notes=_NOTES,
)
_RANDOM_CARD = _CARD.random_twin(
    id="ani-2xt-random",
    name="ANI-2xt, random weights",
    notes="Random weights U(−1/√n, 1/√n) for n inputs, seed 0, on the same environment vectors, "
    f"without energies. {_NOTES}",
    **NOTHING_FETCHED,
)

ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(card=_CARD, archives=(_ARCHIVE,), build=_build),
    ModelEntry(card=_RANDOM_CARD, archives=(), build=_build_random),
)
