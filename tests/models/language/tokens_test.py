"""SMILES tokens: published examples, round trips, hostile strings."""

import re

import numpy as np
import pytest
from rdkit import Chem

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.language.tokens import (
    MAX_TOKENS,
    SmilesTokenizer,
    canonical_smiles,
    collate_tokens,
    split_smiles,
)
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

# The expression as the literature prints it, in one line, to check the commented form against.
PUBLISHED = re.compile(
    r"(\%\([0-9]{3}\)|\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\||\(|\)|\.|=|#|-|\+|\\|\/|:|~|@"
    r"|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])"
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "C", "c", "O", "1", "(", ")", "=", "N"]


@pytest.fixture
def tokenizer():
    return SmilesTokenizer.from_text("\n".join(VOCABULARY) + "\n")


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("BrCCl", ["Br", "C", "Cl"]),
        ("C[C@H](N)C%12", ["C", "[C@H]", "(", "N", ")", "C", "%12"]),
        ("C%(123)C", ["C", "%(123)", "C"]),
        ("CO>>C.O", ["C", "O", ">>", "C", ".", "O"]),
        ("[13CH3]\\C=C/F", ["[13CH3]", "\\", "C", "=", "C", "/", "F"]),
        ("Bc1ccsc1I", list("Bc1ccsc1I")),
    ],
)
def test_splits(smiles, tokens):
    assert split_smiles(smiles) == tokens


def test_agrees_with_the_published_expression_on_random_strings(rng):
    alphabet = list("BCNOSPFIbcnosp|().=#-+\\/:~@?>*$%0123456789[]rlHx")
    agreed = 0
    for _ in range(3000):
        text = "".join(rng.choice(alphabet, rng.integers(1, 12)))
        tokens = PUBLISHED.findall(text)
        if "".join(tokens) == text:
            assert split_smiles(text) == tokens
            agreed += 1
        else:
            with pytest.raises(UnsupportedStructureError):
                split_smiles(text)
    assert agreed > 100


@pytest.mark.parametrize("smiles", ["", "C C", "ethanol", "C[C@H", "CÀ", "C٣"])
def test_refuses_what_is_no_smiles(smiles):
    with pytest.raises(UnsupportedStructureError, match="SMILES"):
        split_smiles(smiles)


def test_canonical_form_does_not_depend_on_writing(rng):
    for smiles in ("C1=CC=CC=C1O", "C[C@H](N)C(=O)O", "OC1CC2CC1N2", "[CH3:7]CO"):
        molecule = Chem.MolFromSmiles(smiles)
        seed = int(rng.integers(1, 2**31))
        other = Chem.MolToRandomSmilesVect(molecule, 1, randomSeed=seed)[0]
        assert canonical_smiles(smiles) == canonical_smiles(other)
    assert canonical_smiles("[CH3:7]CO") == "CCO"
    assert canonical_smiles("CO>>C=O") == "CO>>C=O"


@pytest.mark.parametrize("smiles", ["C1CC", "not", ""])
def test_unreadable_smiles(smiles):
    with pytest.raises(UnsupportedStructureError, match="RDKit cannot read"):
        canonical_smiles(smiles)


def test_encodes_with_special_and_unknown_tokens(tokenizer):
    example = tokenizer.encode("CCS")
    assert example["ids"].tolist() == [2, 4, 4, 1, 3]
    assert int(example["unknown"]) == 1
    benzene = tokenizer.featurize(Structure(id="b", smiles="C1=CC=CC=C1"))
    assert benzene["ids"].tolist() == [2, 5, 7, 5, 5, 5, 5, 5, 7, 3]


def test_length_limit(tokenizer):
    assert len(tokenizer.encode("C" * (MAX_TOKENS - 2))["ids"]) == MAX_TOKENS
    with pytest.raises(UnsupportedStructureError, match="limit is 510"):
        tokenizer.encode("C" * (MAX_TOKENS - 1))


def test_structure_without_smiles(tokenizer):
    with pytest.raises(UnsupportedStructureError, match="has none"):
        tokenizer.featurize(Structure(id="x"))


def test_vocabulary_without_special_tokens():
    with pytest.raises(JaxalignError, match=r"lacks \[CLS\], \[SEP\]"):
        SmilesTokenizer(["[PAD]", "[UNK]", "C"])


def test_collate_pads_to_one_shape(tokenizer):
    examples = [tokenizer.encode("C"), tokenizer.encode("CC=O")]
    batch = collate_tokens(examples, 8, 3)
    assert batch["ids"].shape == batch["mask"].shape == (3, 8)
    np.testing.assert_array_equal(batch["mask"].sum(1), [3, 6, 0])
    np.testing.assert_array_equal(batch["ids"][1, :6], examples[1]["ids"])
    assert not batch["ids"][~batch["mask"]].any()
