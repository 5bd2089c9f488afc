"""AntiBERTy, and a random-initialized twin."""

from __future__ import annotations

from typing import Any

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.language.albert_bert import bert_encoder, convert_params
from jaxalign.models.language.antiberty import BATCHING, CONFIG, TOKENS
from jaxalign.models.language.transformer import init_params
from jaxalign.models.weight_files.weights import read_weights

_FILE = "antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin"
_SHA256 = "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137"
_NOTES = (
    "Trained on antibodies alone: other proteins lie outside its training data. Input: the residue "
    f"sequence; of longer ones the first {TOKENS.max_residues} residues, for the network has "
    f"{CONFIG.positions} learned positions ([CLS] and [SEP] take two). Mean pooling runs over all "
    "tokens, [CLS] and [SEP] included, as the original returns them. Letters that are none of the "
    "twenty residues are [UNK]; lower case counts as upper case (in the original it is [UNK])."
)


def _build(entry: ModelEntry) -> Encoder:
    (archive,) = entry.archives
    arrays = read_weights(archive, _FILE, sha256=_SHA256, format="torch-zip")
    return _encoder(entry, convert_params(CONFIG, arrays))


def _encoder(entry: ModelEntry, params: Any) -> Encoder:
    return bert_encoder(entry.card, CONFIG, params, TOKENS.featurize, batching=BATCHING)


def _card() -> ModelCard:
    archive = ARCHIVES["antiberty"]
    return ModelCard(
        id="antiberty",
        name="AntiBERTy",
        family="BERT (AntiBERTy)",
        modality="protein-sequence",
        pretrained=True,
        width=CONFIG.hidden,
        layer=CONFIG.layer_names[-1],
        layers=CONFIG.layer_names,
        pooling="mean",
        training_data="558 million natural antibody sequences (Observed Antibody Space)",
        label_level="none (masked residues), species and chain type",
        parameters=25_496_064,
        symmetry="invariant",  # a sequence has no coordinates to rotate
        licence=archive.licence,
        citation=archive.citation,
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        notes=_NOTES,
    )


def _random_entry() -> ModelEntry:
    card = _card().random_twin(
        id="antiberty-random",
        name="AntiBERTy, random weights",
        notes=f"Random weights: normal(0, 0.02), biases 0, norm scales 1, seed 0. {_NOTES}",
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card,
        archives=(),
        build=lambda entry: _encoder(entry, init_params(CONFIG, seed=0)),
    )


ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(card=_card(), archives=(ARCHIVES["antiberty"],), build=_build),
    _random_entry(),
)
