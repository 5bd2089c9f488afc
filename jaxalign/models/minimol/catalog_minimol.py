"""MiniMol with its published weights, and a random-initialized twin."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.minimol.minimol import LAYERS, molecule_encoder
from jaxalign.models.minimol.minimol_weights import WIDTH, convert_params, init_params
from jaxalign.models.weight_files.weights import read_weights

_ARCHIVE = ARCHIVES["minimol"]
_CHECKPOINT = "minimol/ckpts/minimol_v1/state_dict.pth"
_CHECKPOINT_SHA256 = "a3061e1cdbbd5e544168fbf8c1e01836c8c19ac030891d495a2ae9f29cfe97a7"
_NOTES = (
    "Input: the molecule in RDKit's canonical order of atoms, hydrogens implicit. The default is "
    "the maximum over atoms, the original's fingerprint. Layers 1 to 15 are read behind the "
    "virtual node, as the original does, and are 336 wide; the embedding is 128. Traps of the "
    "original, kept. Enantiomers and isotopologues have the same embedding: de-duplicate before "
    "metrics of neighbors. Signs and bases of the Laplacian eigenvectors are those that LAPACK "
    "returns, which differ between processors and builds of LAPACK (kernels of OpenBLAS for other "
    "processors: equal for one molecule in four): the embedding of the same SMILES then differs by "
    "up to 3 % in norm, and its mutual 10-nearest-neighbor overlap with itself is 0.994 to 0.995, "
    "which is the noise floor of this model. Compare embeddings made on one machine, and keep them."
)


def _pretrained() -> ModelEntry:
    def build(entry: ModelEntry) -> Encoder:
        arrays = read_weights(_ARCHIVE, _CHECKPOINT, sha256=_CHECKPOINT_SHA256)
        return molecule_encoder(entry.card, convert_params(arrays))

    card = ModelCard(
        id="minimol",
        name="MiniMol v1",
        family="MiniMol (GINE)",
        modality="graph",
        pretrained=True,
        width=WIDTH,
        layer=LAYERS[-1],
        layers=LAYERS,
        pooling="max",
        training_data="LargeMix: PCQM4M, PCBA and L1000, 6 million molecules, 3,300 tasks",
        label_level="quantum-chemical (DFT), bioassays and transcriptomics",
        parameters=7_919_928,
        symmetry="invariant",  # a graph has no coordinates to rotate
        licence=_ARCHIVE.licence,
        citation=_ARCHIVE.citation,
        package=_ARCHIVE.requirement,
        package_sha256=_ARCHIVE.sha256,
        verified="weights",
        notes=_NOTES,
    )
    return ModelEntry(card=card, archives=(_ARCHIVE,), build=build)


def _random_twin() -> ModelEntry:
    card = _pretrained().card.random_twin(
        id="minimol-random",
        name="MiniMol, random weights",
        notes=f"Random weights U(−1/√n, 1/√n) for n inputs, seed 0. {_NOTES}",
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: molecule_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (_pretrained(), _random_twin())
