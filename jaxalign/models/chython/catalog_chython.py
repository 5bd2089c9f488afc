"""The network of chython-rxnmap with its published weights, and a random-initialized twin."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.chython.graph_transformer import DEFAULT_LAYER, LAYERS, reaction_encoder
from jaxalign.models.chython.transformer_weights import HIDDEN, convert_params, init_params
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.weights import read_weights

_ARCHIVE = ARCHIVES["chython-rxnmap"]
_FILE = "chython_rxnmap/rxnmap.onnx"
_FILE_SHA256 = "a4c60aba5c3524dda96ea3af9e1487d3fb09a4e376604e506b1f0064cfcef2e0"
_NOTES = (
    "Input: the SMILES as given, a molecule or a reaction (reactants>agents>products, agents left "
    "out). Means run over atoms alone, not over the tokens of molecules and of the reaction; the "
    "original has no embedding of its own. Hydrogens are implicit, but those that a SMILES writes "
    "as atoms are atoms, as in the original. SMILES that RDKit cannot sanitize are refused, though "
    "chython reads some of them. The default layer is the last that looks at molecules: the layers "
    "reaction_1 to reaction_7 were trained on reactions, and see a lone molecule as a reactant "
    "without a product. Bond orders, aromaticity, charges, stereo and isotopes are not inputs: "
    "molecules that differ in these alone and have equal numbers of hydrogens on each atom have "
    "equal embeddings; de-duplicate before metrics of neighbors."
)


def _pretrained() -> ModelEntry:
    def build(entry: ModelEntry) -> Encoder:
        arrays = read_weights(_ARCHIVE, _FILE, sha256=_FILE_SHA256, format="onnx")
        return reaction_encoder(entry.card, convert_params(arrays))

    card = ModelCard(
        id="chython-rxnmap",
        name="chython-rxnmap 2.0",
        family="Graphormer (chython)",
        modality="graph",
        pretrained=True,
        width=HIDDEN,
        layer=DEFAULT_LAYER,
        layers=LAYERS,
        pooling="mean",
        training_data="reactions from patents (USPTO and Pistachio)",
        label_level="none (semi-supervised)",
        parameters=21_141_712,
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
        id="chython-rxnmap-random",
        name="chython-rxnmap, random weights",
        notes=f"Random tables N(0, 1) and maps U(−1/√n, 1/√n) for n inputs, seed 0. {_NOTES}",
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: reaction_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (_pretrained(), _random_twin())
