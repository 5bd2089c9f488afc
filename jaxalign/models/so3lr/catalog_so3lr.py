"""SO3LR, a universal potential for organic molecules, and a random-initialized twin."""

from __future__ import annotations

from typing import Any

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.so3lr.so3krates import LAYERS, so3krates_encoder
from jaxalign.models.so3lr.so3krates_weights import (
    FEATURES,
    SETTINGS,
    init_network,
    require_settings,
    take_network,
    unused_names,
)
from jaxalign.models.so3lr.so3lr_energy import energy_model
from jaxalign.models.so3lr.so3lr_weights import SETTINGS as HEAD_SETTINGS
from jaxalign.models.so3lr.so3lr_weights import take_heads, take_reference
from jaxalign.models.weight_files.weights import StateDict, check_params, read_weights

_FILE = "so3krates_torch/pretrained/so3lr/so3lr.model"
_SHA256 = "b5145564911ff983ed076ccb2bca5ce63454b74c9c8291092695463f1e6732be"
_NOTES = (
    "Elements H, C, N, O, F, P, S, Cl; others are refused, for their rows of the tables look "
    "untrained. Every structure is taken for a neutral closed shell: a charged species or a "
    "radical gets the embedding of the neutral singlet with the same atoms. Periodic structures "
    "are accepted, and crystals lie far outside the training data. A structure and its mirror "
    "image have the same invariant embedding. Energies are complete (network, repulsion, "
    "electrostatics and dispersion up to 12 Å); their absolute value carries one shift of "
    "-163.6 eV an atom for all elements alike. Layers: block_k has the 128 invariant features, "
    "block_k_norms the lengths of the four degrees, block_k_equivariant the 24 components that "
    "turn with the structure (degrees 1 to 4, m = -l to l about z). Parameters are counted without "
    "the embeddings of charge and spin and without other elements."
)


def read_so3lr() -> tuple[dict[str, Any], dict[int, float]]:
    """Parameters of SO3LR from its registry archive.

    Returns:
      Parameters of the network and its heads, and atomic number → reference energy, eV.

    Raises:
      WeightsError: if the file holds another variant of the network.
      JaxalignError: if the archive or the file is not the expected one.
    """
    file = read_weights(ARCHIVES["so3krates-torch"], _FILE, sha256=_SHA256, format="torch-module")
    require_settings(file["settings"], {**SETTINGS, **HEAD_SETTINGS})
    state = StateDict(file["state_dict"])
    network = take_network(state)
    check_params(init_network(0), network)
    params, reference = {**network, **take_heads(state)}, take_reference(state)
    state.require_all_taken(ignore=unused_names())
    return params, reference


def _build(entry: ModelEntry) -> Encoder:
    params, reference = read_so3lr()
    return so3krates_encoder(entry.card, params, energy_model(reference))


def _card() -> ModelCard:
    archive = ARCHIVES["so3krates-torch"]
    return ModelCard(
        id="so3lr",
        name="SO3LR",
        family="So3krates",
        modality="3d",
        pretrained=True,
        width=FEATURES,
        layer=LAYERS[-1],
        layers=LAYERS,
        pooling="mean",
        training_data="4 million neutral and charged molecules and molecular complexes",
        label_level="PBE0+MBD (forces, dipole moments, Hirshfeld ratios)",
        parameters=412_737,
        symmetry="invariant",
        licence=archive.licence,
        citation=archive.citation,
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        notes=_NOTES,
    )


def _random_entry() -> ModelEntry:
    card = _card().random_twin(
        id="so3lr-random",
        name="So3krates, random weights",
        notes="Weights N(0, 1/n) for n inputs, biases 0, seed 0. Elements H, C, N, O, F, P, S, Cl. "
        "No energies.",
        parameters=366_493,
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: so3krates_encoder(entry.card, init_network(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(card=_card(), archives=(ARCHIVES["so3krates-torch"],), build=_build),
    _random_entry(),
)
