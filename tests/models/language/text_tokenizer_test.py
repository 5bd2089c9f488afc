"""Text of a structure to token ids: special tokens, unknown letters, limits, prompts."""

import numpy as np
import pytest
import tokenizers

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.language.text_tokenizer import (
    MAX_TOKENIZER_BYTES,
    TextTokenizer,
    parse_tokenizer,
)
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError


def _letters(unknown="<unk>"):
    words = ["<cls>", "<eos>", "<unk>", *"CNO=()[]LAGX"]
    model = tokenizers.models.BPE({w: i for i, w in enumerate(words)}, [], unk_token=unknown)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 1)]
    )
    return tokenizer


def test_stored_cutting_and_padding_are_switched_off():
    tokenizer = _letters()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=12)
    text = TextTokenizer.from_json(tokenizer.to_str().encode(), view="smiles")
    example = text.featurize(Structure(id="a", smiles="OCCCCCCN"))
    assert example["ids"].tolist() == [0, 4, *[3] * 6, 5, 1]  # canonical: NCCCCCCO
    assert example["special"].sum() == 2
    assert (example["unknown"], example["truncated"]) == (0, 0)
    assert example["ids"].dtype == np.int32


def test_sequences_are_cut_and_molecules_refused():
    sequence = TextTokenizer(_letters(), view="sequence", max_tokens=6, prompt="A{sequence}")
    example = sequence.encode("LLGGX")
    assert example["ids"].tolist() == [0, 12, 11, 11, 13, 1]
    assert example["truncated"] == 2
    fits = TextTokenizer(_letters(), view="smiles", max_tokens=6)
    assert len(fits.encode("CCCC")["ids"]) == 6
    with pytest.raises(UnsupportedStructureError, match=r"smiles of 5 tokens: the limit .* is 4"):
        fits.encode("CCCCC")


def test_unknown_letters_count_with_and_without_a_token_for_them():
    known = TextTokenizer(_letters(), view="smiles").encode("C§F§")
    assert known["ids"].tolist() == [0, 3, 2, 2, 2, 1]
    dropped = TextTokenizer(_letters(unknown=None), view="smiles").encode("C§F§ ")
    assert dropped["ids"].tolist() == [0, 3, 1]
    assert known["unknown"] == dropped["unknown"] == 3


def test_selfies_of_the_canonical_smiles():
    text = TextTokenizer(_letters(unknown=None), view="selfies")
    assert text.featurize(Structure(id="a", smiles="OC"))["ids"].tolist() == [
        0, 9, 3, 10, 9, 5, 10, 1,
    ]  # fmt: skip
    # A vocabulary without brackets loses nothing by it: they only separate the symbols.
    bare = tokenizers.Tokenizer(tokenizers.models.BPE({"C": 0, "O": 1}, []))
    assert TextTokenizer(bare, view="selfies").encode("[C][O]")["unknown"] == 0
    with pytest.raises(UnsupportedStructureError, match="SELFIES cannot express"):
        text.featurize(Structure(id="a", smiles="*CC"))


@pytest.mark.parametrize(
    ("structure", "view", "message"),
    [
        (Structure(id="a"), "smiles", "reads SMILES, and the structure has none"),
        (Structure(id="a", smiles=""), "smiles", "cannot read the SMILES"),
        (Structure(id="a", smiles="c1cccc1"), "smiles", "cannot read the SMILES"),
        (Structure(id="a"), "sequence", "the structure has none"),
        (Structure(id="a", sequence=""), "sequence", "an empty one"),
    ],
)
def test_structures_without_the_view_are_refused(structure, view, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        TextTokenizer(_letters(), view=view).featurize(structure)


def test_bad_settings_and_files():
    with pytest.raises(ValueError, match="pass one of smiles, selfies, sequence"):
        TextTokenizer(_letters(), view="image")
    with pytest.raises(ValueError, match=r"holds \{smiles\} 0 times"):
        TextTokenizer(_letters(), view="smiles", prompt="nothing")
    for data in (b"", b"{}", b"\xff\xfe", b'{"model": {"type": "BPE"}}'):
        with pytest.raises(JaxalignError, match="cannot read the tokenizer"):
            parse_tokenizer(data)
    with pytest.raises(JaxalignError, match="above the limit"):
        parse_tokenizer(b" " * (MAX_TOKENIZER_BYTES + 1))
