"""The tokenizer of a model's folder, in whichever of its file formats it comes.

`tokenizer.json` is taken as it is. Older folders hold the vocabulary alone: `vocab.json` and
`merges.txt` (byte-level BPE of RoBERTa), `vocab.txt` (one letter a token for ESM, WordPiece else),
`spiece.model` (T5). From these the same tokenizer is built as transformers builds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jaxalign.models.huggingface.config import ModelConfig
from jaxalign.models.huggingface.folder import ModelFolder
from jaxalign.models.huggingface.sentencepiece import read_pieces
from jaxalign.models.language.text_tokenizer import MAX_TOKENIZER_BYTES, parse_tokenizer
from jaxalign.models.language.text_views import strings_module
from jaxalign.models.weight_files.weights import WeightsError

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
FILES = (TOKENIZER, SETTINGS, "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
_ADDED = "added_tokens.json"
# Vocabularies of SELFIES are small; those of languages hold these words by chance.
_SELFIES_LIMIT = 4096
_SELFIES_WORDS = ("Branch1", "Ring1")


def read_tokenizer(folder: ModelFolder, model_type: str) -> Any:
    """The tokenizer that belongs to the weights.

    Args:
      folder: with the files.
      model_type: decides what a vocabulary without a tokenizer means.

    Returns:
      A `tokenizers.Tokenizer`.

    Raises:
      WeightsError: if there is none.
      JaxalignError: if it cannot be read, or the package `tokenizers` is missing.
    """
    if folder.has(TOKENIZER):
        return parse_tokenizer(folder.read(TOKENIZER, max_bytes=MAX_TOKENIZER_BYTES))
    name, build = _FALLBACKS.get(model_type, ("", None))
    if build is None or not folder.has(name):
        wanted = f"{TOKENIZER} or {name}" if name else TOKENIZER
        raise WeightsError(
            f"the folder {folder.path} holds no tokenizer; wanted is {wanted} (a fast tokenizer of "
            f"transformers writes {TOKENIZER} with `save_pretrained`)"
        )
    try:
        return build(folder, name)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"cannot read {folder.path / name} as a vocabulary: {error}") from error


def reads_selfies(tokenizer: Any) -> bool:
    """Whether a vocabulary is one of SELFIES: small, with the symbols of branches and rings."""
    vocabulary = tokenizer.get_vocab()
    return len(vocabulary) < _SELFIES_LIMIT and all(
        any(word in token for token in vocabulary) for word in _SELFIES_WORDS
    )


def _settings(folder: ModelFolder) -> ModelConfig:
    if not folder.has(SETTINGS):
        return ModelConfig({})
    return ModelConfig.from_json(folder.read(SETTINGS), source=str(folder.path / SETTINGS))


def _lines(folder: ModelFolder, name: str) -> dict[str, int]:
    text = folder.read(name, max_bytes=MAX_TOKENIZER_BYTES).decode("utf-8")
    return {token.strip(): number for number, token in enumerate(text.rstrip("\n").split("\n"))}


def _letters(folder: ModelFolder, name: str) -> Any:
    """ESM: one letter a token, between <cls> and <eos>."""
    tokenizers, vocabulary = strings_module("tokenizers"), _lines(folder, name)
    model = tokenizers.models.BPE(vocabulary, [], unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.post_processor = _between(vocabulary, "<cls>", "<eos>")
    _require(vocabulary, "<unk>")
    tokenizer.add_special_tokens([t for t in vocabulary if t.startswith("<") and t.endswith(">")])
    return tokenizer


def _word_pieces(folder: ModelFolder, name: str) -> Any:
    """BERT: pieces of words, between [CLS] and [SEP]."""
    tokenizers, vocabulary, settings = (
        strings_module("tokenizers"),
        _lines(folder, name),
        _settings(folder),
    )
    _require(vocabulary, "[UNK]")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    stripped = settings.get("strip_accents")
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=settings.flag("do_lower_case", True),
        strip_accents=stripped if isinstance(stripped, bool) else None,
        handle_chinese_chars=settings.flag("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = _between(vocabulary, "[CLS]", "[SEP]")
    known = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.add_special_tokens([token for token in known if token in vocabulary])
    return tokenizer


def _byte_pairs(folder: ModelFolder, name: str) -> Any:
    """RoBERTa: pairs of bytes merged, between <s> and </s>."""
    tokenizers = strings_module("tokenizers")
    vocabulary = json.loads(folder.read(name, max_bytes=MAX_TOKENIZER_BYTES))
    text = folder.read("merges.txt", max_bytes=MAX_TOKENIZER_BYTES).decode("utf-8")
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#version")]
    pairs = [tuple(line.split()) for line in lines]
    if not isinstance(vocabulary, dict) or any(len(pair) != 2 for pair in pairs):
        raise ValueError("wanted are an object of tokens, and two pieces a line in merges.txt")
    _require(vocabulary, "<s>", "</s>")
    spaced = _settings(folder).flag("add_prefix_space")
    tokenizer = tokenizers.Tokenizer(_model(tokenizers.models.BPE, vocabulary, pairs))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", vocabulary["</s>"]),
        ("<s>", vocabulary["<s>"]),
        trim_offsets=True,
        add_prefix_space=spaced,
    )
    known = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer.add_special_tokens([token for token in known if token in vocabulary])
    return tokenizer


def _sentence_pieces(folder: ModelFolder, name: str) -> Any:
    """T5: pieces of a unigram model, before </s>."""
    tokenizers = strings_module("tokenizers")
    pieces = read_pieces(folder.read(name, max_bytes=MAX_TOKENIZER_BYTES))
    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    _require(numbers, "<unk>", "</s>")
    tokenizer = tokenizers.Tokenizer(
        _model(tokenizers.models.Unigram, pieces, unk_id=numbers["<unk>"])
    )
    # Runs of blanks count as one, and each word begins with the mark of a blank.
    blanks = tokenizers.Regex(" {2,}")
    tokenizer.normalizer = tokenizers.normalizers.Replace(blanks, " ")
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", numbers["</s>"])]
    )
    tokenizer.add_special_tokens([t for t in ("<pad>", "</s>", "<unk>") if t in numbers])
    tokenizer.add_special_tokens(_added(folder, len(pieces)))
    return tokenizer


def _added(folder: ModelFolder, first: int) -> list[str]:
    """Tokens behind those of the model, in the order of their numbers."""
    if not folder.has(_ADDED):
        return []
    added = json.loads(folder.read(_ADDED, max_bytes=MAX_TOKENIZER_BYTES))
    names = sorted(added, key=added.__getitem__)
    if [added[name] for name in names] != list(range(first, first + len(names))):
        raise ValueError(f"the numbers in {_ADDED} do not follow the {first} pieces of the model")
    return names


def _model(kind: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    try:
        return kind(*arguments, **settings)
    except Exception as error:  # the package raises bare exceptions
        raise ValueError(str(error)) from error


def _between(vocabulary: Mapping[str, int], first: str, last: str) -> Any:
    _require(vocabulary, first, last)
    return strings_module("tokenizers").processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )


def _require(vocabulary: Mapping[str, int], *tokens: str) -> None:
    missing = [token for token in tokens if token not in vocabulary]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")


# Model type → file that must be there, and what is made of it.
_FALLBACKS: Mapping[str, tuple[str, Callable[[ModelFolder, str], Any]]] = MappingProxyType(
    {
        "bert": ("vocab.txt", _word_pieces),
        "roberta": ("vocab.json", _byte_pairs),
        "esm": ("vocab.txt", _letters),
        "t5": ("spiece.model", _sentence_pieces),
    }
)
