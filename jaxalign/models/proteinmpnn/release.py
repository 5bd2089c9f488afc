"""From a released checkpoint of the family to a line of the registry."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxalign.archives.fetch import Archive
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.proteinmpnn.encoder import mpnn_encoder
from jaxalign.models.proteinmpnn.settings import WIDTH, MpnnSettings
from jaxalign.models.proteinmpnn.weights import convert_params, init_params
from jaxalign.models.weight_files.weights import WeightsError, read_weights

_TASK = "none: learned to tell the sequence from the structure"
_NOTES = (
    "Encoder of the structure alone, the decoder of sequences is left out; coordinates without the "
    "noise of training. Nodes are the residues that have {atoms}; others are left out, and keep "
    "their place in the chain through residue numbers. A structure is one chain. Node features "
    "begin {start}: layer 'embedding' is the mean over a residue's neighbors of the embedded edges"
)


@dataclasses.dataclass(frozen=True)
class Release:
    """One checkpoint.

    Attributes:
      path: of the file in the archive.
      sha256: of the file.
      facts: of its card, notes about the checkpoint alone included.
    """

    path: str
    sha256: str
    facts: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What checkpoints of one architecture have in common.

    Attributes:
      settings: of the network.
      parameters: number of parameters that the encoder uses.
      archive: package with the weights.
      start: where node features begin.
    """

    settings: MpnnSettings
    parameters: int
    archive: Archive
    start: str = "at zero"

    def card(self, model_id: str, **facts: Any) -> ModelCard:
        """Card of a checkpoint."""
        layers = self.settings.layer_names
        atoms = "CA" if self.settings.alpha_only else "all of N, CA, C and O"
        notes = _NOTES.format(atoms=atoms, start=self.start)
        extra = facts.pop("notes", "")
        common = {
            "family": "ProteinMPNN",
            "modality": "protein-structure",
            "pretrained": True,
            "width": WIDTH,
            "layer": layers[-1],
            "layers": layers,
            "pooling": "mean",
            "label_level": _TASK,
            "parameters": self.parameters,
            # What CA-only networks see of orientations turns with the structure.
            "symmetry": "none" if self.settings.alpha_only else "invariant",
            "licence": self.archive.licence,
            "citation": self.archive.citation,
            "package": self.archive.requirement,
            "package_sha256": self.archive.sha256,
            "verified": "weights",
            "notes": f"{notes}. {extra}".strip(),
        }
        return ModelCard(id=model_id, **(common | facts))


def release_entry(model_id: str, architecture: Architecture, release: Release) -> ModelEntry:
    """The registry's entry of a released checkpoint.

    Args:
      model_id: registry id.
      architecture: of the network.
      release: the checkpoint.

    Returns:
      Card, archive and builder.
    """

    def build(entry: ModelEntry) -> Encoder:
        file = read_weights(architecture.archive, release.path, sha256=release.sha256)
        settings = architecture.settings
        if int(file["num_edges"]) != settings.neighbors:
            raise WeightsError(
                f"the checkpoint was trained with {file['num_edges']} neighbors a residue, the "
                f"catalog says {settings.neighbors}"
            )
        params = convert_params(file["model_state_dict"], settings)
        return mpnn_encoder(entry.card, params, settings)

    card = architecture.card(model_id, **release.facts)
    return ModelEntry(card=card, archives=(architecture.archive,), build=build)


def random_entry(
    model_id: str, name: str, architecture: Architecture, *, notes: str = ""
) -> ModelEntry:
    """The random-initialized twin of an architecture.

    Args:
      model_id: registry id.
      name: human-readable name.
      architecture: of the network.
      notes: what else is true of every network of this architecture.

    Returns:
      Card and builder; it needs no archive.
    """
    card = architecture.card(model_id, name=name, notes=notes)
    twin = card.random_twin(
        id=model_id,
        name=name,
        notes=f"Random weights as drawn before training, seed 0. {card.notes}",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        params = init_params(architecture.settings, seed=0)
        return mpnn_encoder(entry.card, params, architecture.settings)

    return ModelEntry(card=twin, archives=(), build=build)
