"""The reaction language models of rxnfp and rxnmapper, and their random-initialized twins."""

from __future__ import annotations

import dataclasses
import functools

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.language.albert_bert import bert_encoder, convert_params
from jaxalign.models.language.tokens import SmilesTokenizer
from jaxalign.models.language.transformer import TransformerConfig, init_params
from jaxalign.models.weight_files.weights import read_weights

RXNFP_BERT = TransformerConfig(vocabulary=591, hidden=256, depth=12, heads=4, intermediate=512)
RXNMAPPER_ALBERT = dataclasses.replace(RXNFP_BERT, heads=8, embedding=128, shared=True)

# One vocabulary for all of them, shipped in both packages.
VOCABULARY_SHA256 = "399868a653e85549ce150af4a1f6cd2776240c6a3d951ced2120565f00f027fd"
MAX_VOCABULARY_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class _Checkpoint:
    """Where a checkpoint lies in its archive, and the sizes of its network."""

    config: TransformerConfig
    folder: str
    sha256: str
    parameters: int


_RXNFP_FOLDER = "rxnfp/models/transformers"
_PRETRAINED = _Checkpoint(
    config=RXNFP_BERT,
    folder=f"{_RXNFP_FOLDER}/bert_pretrained",
    sha256="50a6ed263d33ae759affa82c1e85554cc5ea9f56145f5c7fb39b6c25d4356437",
    parameters=6_608_640,
)
_FINE_TUNED = dataclasses.replace(
    _PRETRAINED,
    folder=f"{_RXNFP_FOLDER}/bert_ft",
    sha256="5bb7f9f5831ec16a4b90545f95394853caf19ff9a8272291c86e0b231e0ff2ba",
)
_FINE_TUNED_10K = dataclasses.replace(
    _PRETRAINED,
    folder=f"{_RXNFP_FOLDER}/bert_ft_10k_25s",
    sha256="f9bcac41c7c09eb0ca2c0b355494fe92ca03aa5085e0f2b7a44f716212e61c71",
)
_ALBERT = _Checkpoint(
    config=RXNMAPPER_ALBERT,
    folder="rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k",
    sha256="8541f3f500dae71abe678d546bd035ca946e2d1c819f6b2cf41a97faedd7e6a2",
    parameters=701_824,
)

_INPUT_NOTE = (
    "Input: RDKit's canonical SMILES of the molecule. Mean pooling runs over all tokens, [CLS] and "
    "[SEP] included; pooling 'cls' takes [CLS] alone. Trained on reactions, fed single molecules."
)
_RANDOM_NOTE = "Random weights: normal(0, 0.02), biases 0, norm scales 1, seed 0; own tokenizer. "


def _read_tokenizer(archive: Archive, checkpoint: _Checkpoint) -> SmilesTokenizer:
    data = read_entry(
        fetch(archive),
        f"{checkpoint.folder}/vocab.txt",
        max_bytes=MAX_VOCABULARY_BYTES,
        sha256=VOCABULARY_SHA256,
    )
    return SmilesTokenizer.from_text(data.decode("utf-8"))


def _build_pretrained(entry: ModelEntry, *, checkpoint: _Checkpoint) -> Encoder:
    (archive,) = entry.archives
    weights = f"{checkpoint.folder}/pytorch_model.bin"
    arrays = read_weights(archive, weights, sha256=checkpoint.sha256)
    params = convert_params(checkpoint.config, arrays)
    tokenizer = _read_tokenizer(archive, checkpoint)
    return bert_encoder(entry.card, checkpoint.config, params, tokenizer.featurize)


def _build_random(entry: ModelEntry, *, checkpoint: _Checkpoint) -> Encoder:
    (archive,) = entry.archives
    params = init_params(checkpoint.config, seed=0)
    tokenizer = _read_tokenizer(archive, checkpoint)
    return bert_encoder(entry.card, checkpoint.config, params, tokenizer.featurize)


def _pretrained(archive: Archive, checkpoint: _Checkpoint, **facts) -> ModelEntry:
    layers = checkpoint.config.layer_names
    card = ModelCard(
        modality="string",
        pretrained=True,
        width=checkpoint.config.hidden,
        layer=layers[-1],
        layers=layers,
        pooling="mean",
        parameters=checkpoint.parameters,
        symmetry="invariant",  # a string has no coordinates to rotate
        licence=archive.licence,
        citation=archive.citation,
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        notes=_INPUT_NOTE,
        **facts,
    )
    build = functools.partial(_build_pretrained, checkpoint=checkpoint)
    return ModelEntry(card=card, archives=(archive,), build=build)


def _random_twin(entry: ModelEntry, checkpoint: _Checkpoint, *, id: str, name: str) -> ModelEntry:
    card = entry.card.random_twin(id=id, name=name, notes=_RANDOM_NOTE + _INPUT_NOTE)
    build = functools.partial(_build_random, checkpoint=checkpoint)
    return ModelEntry(card=card, archives=entry.archives, build=build)


_BERT_PRETRAINED = _pretrained(
    ARCHIVES["rxnfp"],
    _PRETRAINED,
    id="rxnfp-bert-pretrained",
    name="RXNFP BERT, pretrained",
    family="BERT (rxnfp)",
    training_data="reaction SMILES from patents (Pistachio)",
    label_level="none (masked tokens)",
)
_BERT_FINE_TUNED = _pretrained(
    ARCHIVES["rxnfp"],
    _FINE_TUNED,
    id="rxnfp-bert-ft",
    name="RXNFP BERT, fine-tuned",
    family="BERT (rxnfp)",
    training_data="reaction SMILES from patents (Pistachio)",
    label_level="reaction class",
)
_BERT_FINE_TUNED_10K = _pretrained(
    ARCHIVES["rxnfp"],
    _FINE_TUNED_10K,
    id="rxnfp-bert-ft-10k",
    name="RXNFP BERT, fine-tuned on 10k reactions",
    family="BERT (rxnfp)",
    training_data="reaction SMILES from patents (Pistachio; 10,000 of the 50-class Schneider set)",
    label_level="reaction class (50 classes)",
)
_RXNMAPPER = _pretrained(
    ARCHIVES["rxnmapper"],
    _ALBERT,
    id="rxnmapper-albert",
    name="RXNMapper ALBERT",
    family="ALBERT (rxnmapper)",
    training_data="reaction SMILES from US patents (USPTO)",
    label_level="none (masked tokens)",
)

ENTRIES: tuple[ModelEntry, ...] = (
    _BERT_PRETRAINED,
    _BERT_FINE_TUNED,
    _BERT_FINE_TUNED_10K,
    _RXNMAPPER,
    _random_twin(
        _BERT_PRETRAINED, _PRETRAINED, id="rxnfp-bert-random", name="RXNFP BERT, random weights"
    ),
    _random_twin(
        _RXNMAPPER, _ALBERT, id="rxnmapper-albert-random", name="RXNMapper ALBERT, random weights"
    ),
)
