"""Tokenizers built from bare vocabularies, against hand-made ids."""

import json
import struct

import pytest
import tokenizers

from jaxalign.models.huggingface.folder import ModelFolder
from jaxalign.models.huggingface.sentencepiece import read_pieces
from jaxalign.models.huggingface.tokenizer import read_tokenizer, reads_selfies
from jaxalign.models.language.text_tokenizer import TextTokenizer
from jaxalign.models.weight_files.weights import WeightsError
from jaxalign.types import JaxalignError
from tests.models.huggingface.folders import RESIDUES, letters


def _folder(path, **files):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text("{}")
    for name, content in files.items():
        name = name.replace("_", ".") if name != "tokenizer_config" else "tokenizer_config.json"
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return ModelFolder(path)


def _ids(tokenizer, text):
    return tokenizer.encode(text).ids


def test_letters_of_esm(tmp_path):
    words = ["<cls>", "<pad>", "<eos>", "<unk>", *RESIDUES, "<mask>"]
    folder = _folder(tmp_path / "esm", vocab_txt="\n".join(words))
    tokenizer = read_tokenizer(folder, "esm")
    assert _ids(tokenizer, "LAGX") == [0, 4, 5, 6, 24, 2]
    example = TextTokenizer(tokenizer, view="sequence").encode("LJJA<mask>")
    assert example["ids"].tolist() == [0, 4, 3, 3, 5, 25, 2]
    assert example["unknown"] == 2
    assert example["special"].tolist() == [True, False, False, False, False, True, True]
    with pytest.raises(WeightsError, match=r"vocab\.txt as a vocabulary: it lacks <cls>, <eos>"):
        read_tokenizer(_folder(tmp_path / "bad", vocab_txt="<unk>\nL"), "esm")


def test_word_pieces_of_bert(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cc", "##o", "(", ")", "CC", "##O"]
    folder = _folder(tmp_path / "lower", vocab_txt="\n".join(words) + "\n")
    assert _ids(read_tokenizer(folder, "bert"), "CCO (zz)") == [2, 4, 5, 6, 1, 7, 3]
    settings = json.dumps({"do_lower_case": False})
    cased = _folder(tmp_path / "cased", vocab_txt="\n".join(words), tokenizer_config=settings)
    assert _ids(read_tokenizer(cased, "bert"), "CCO(") == [2, 8, 9, 6, 3]


def test_byte_pairs_of_roberta(tmp_path):
    words = ["<s>", "<pad>", "</s>", "<unk>", "C", "O", "CC", "<mask>", "l"]
    vocabulary = json.dumps({word: number for number, word in enumerate(words)})
    merges = "#version: 0.2\nC C\n"
    folder = _folder(tmp_path / "chem", vocab_json=vocabulary, merges_txt=merges)
    tokenizer = read_tokenizer(folder, "roberta")
    assert _ids(tokenizer, "CCCO") == [0, 6, 4, 5, 2]
    # Without a token for unknown bytes such letters vanish: they are counted all the same.
    example = TextTokenizer(tokenizer, view="smiles").encode("CN=O")
    assert example["ids"].tolist() == [0, 4, 5, 2]
    assert example["unknown"] == 2
    bad = [("merges_txt", "C C C\n"), ("merges_txt", "C Br\n")]
    for name, content in (*bad, ("vocab_json", "[]"), ("vocab_json", "{")):
        files = {"vocab_json": vocabulary, "merges_txt": merges, name: content}
        with pytest.raises(WeightsError, match="as a vocabulary"):
            read_tokenizer(_folder(tmp_path / "bad", **files), "roberta")


def _message(*fields):
    """Fields of a protocol buffer: numbers as varints, floats fixed, text with its length."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += bytes([number << 3 | 5]) + struct.pack("<f", value)
        elif isinstance(value, int):
            out += bytes([number << 3, value])
        else:
            out += bytes([number << 3 | 2, len(value)]) + value
    return out


def test_sentence_pieces_of_t5(tmp_path):
    words = ["<pad>", "</s>", "<unk>", "▁L", "▁A", "▁", "L"]
    pieces = [(1, _message((1, word.encode()), (2, -float(i)))) for i, word in enumerate(words)]
    data = _message(*pieces, (2, _message((3, 1), (4, 7))))
    assert read_pieces(data) == [(word, -float(i)) for i, word in enumerate(words)]
    folder = _folder(tmp_path / "t5", spiece_model=data)
    (folder.path / "added_tokens.json").write_text('{"<fold2AA>": 8, "<AA2fold>": 7}')
    tokenizer = read_tokenizer(folder, "t5")
    assert _ids(tokenizer, "<AA2fold> L A  L") == [7, 3, 4, 3, 1]
    text = TextTokenizer(tokenizer, view="sequence", prompt="<AA2fold> {sequence}", separator=" ")
    example = text.encode("LAW")
    assert example["ids"][:3].tolist() == [7, 3, 4]
    assert example["special"].tolist() == [True, *[False] * (len(example["ids"]) - 2), True]
    assert example["unknown"] == 1
    for damaged in (data[:-3], b"", _message((2, _message((3, 2)))), b"\xff" * 20, b"\x0f"):
        with pytest.raises(ValueError, match=r"cut off|no pieces|kind"):
            read_pieces(damaged)
    (folder.path / "added_tokens.json").write_text('{"<AA2fold>": 99}')
    with pytest.raises(WeightsError, match="do not follow"):
        read_tokenizer(folder, "t5")


def test_a_stored_tokenizer_comes_first_and_selfies_are_recognized(tmp_path):
    folder = _folder(tmp_path / "mine", tokenizer_json=letters().to_str(), vocab_txt="bad")
    tokenizer = read_tokenizer(folder, "esm")
    assert _ids(tokenizer, "CN") == [1, 5, 6, 2]
    assert not reads_selfies(tokenizer)
    symbols = {"[C]": 0, "[=Branch1]": 1, "[Ring1]": 2, "<unk>": 3}
    assert reads_selfies(tokenizers.Tokenizer(tokenizers.models.WordLevel(symbols, "<unk>")))
    (folder.path / "tokenizer.json").write_text("{}")
    with pytest.raises(JaxalignError, match="cannot read the tokenizer"):
        read_tokenizer(folder, "esm")
    with pytest.raises(WeightsError, match=r"wanted is tokenizer\.json \("):
        read_tokenizer(_folder(tmp_path / "none"), "llama")
