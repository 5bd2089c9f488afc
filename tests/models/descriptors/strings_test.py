"""Controls on strings, counted here once more with plain Python."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

from jaxalign.models.descriptors.strings import (
    ENTRIES,
    RESIDUES,
    SMILES_VOCABULARY,
    smiles_composition,
)
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

ENCODERS = {entry.card.id: entry.build(entry) for entry in ENTRIES}
OF_SMILES = ("smiles-tokens", "smiles-length")


@pytest.fixture(scope="module")
def chains():
    found = [*load_dataset("proteins", n=20, seed=2)]
    return [*found, Structure(id="x", sequence="AXXA-bAC"), Structure(id="two", sequence="MK")]


@pytest.fixture(scope="module")
def molecules():
    return list(load_dataset("moses-scaffolds", n=40, seed=2))


def test_residues_and_pairs(chains):
    composition = ENCODERS["residue-composition"].embed(chains)
    pairs = ENCODERS["dipeptide-composition"].embed(chains)
    for row, pair_row, chain in zip(composition, pairs, chains, strict=True):
        letters = [letter if letter in RESIDUES else "X" for letter in chain.sequence]
        counts = Counter(letters)
        np.testing.assert_allclose(row, [counts[a] / len(letters) for a in RESIDUES], rtol=1e-6)
        found = Counter(a + b for a, b in itertools.pairwise(letters) if "X" not in (a, b))
        expected = [found[a + b] / found.total() for a in RESIDUES[:20] for b in RESIDUES[:20]]
        np.testing.assert_allclose(pair_row, expected, rtol=1e-6)
    lengths = ENCODERS["sequence-length"].embed(chains)
    np.testing.assert_array_equal(lengths, [[len(c.sequence), 1] for c in chains])


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("C", "C"),
        ("CCO", "C C O"),
        ("c1ccccc1Cl", "c c c c c c ring ring Cl"),
        ("C#N", "C # N"),
        ("C[C@H](N)C(=O)O", "C bracket C @ H ( N ) C ( = O ) O"),
        ("[Na+].[Cl-]", "bracket element [+] . bracket Cl [-]"),
        ("c1cc[nH]c1", "c c c bracket n H c ring ring"),
        ("[13CH4]", "bracket C H H H H"),
        ("[Fe+2]", "bracket element [+] [+]"),
        ("[H][H]", "bracket H bracket H"),
        (r"F/C=C/F", "F / C = C / F"),
        ("C[Si](C)(C)C", "C bracket element ( C ) ( C ) C"),
        ("c1cc[se]c1", "c c c bracket element c ring ring"),
    ],
)
def test_smiles_tokens(smiles, tokens):
    counts = Counter(tokens.split())
    expected = np.array([counts[token] for token in SMILES_VOCABULARY], float)
    assert expected.sum() == len(tokens.split())
    row = smiles_composition(Structure(id="m", smiles=smiles))
    np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-12)


def test_smiles_are_made_canonical_first():
    spelled = [Structure(id=s, smiles=s) for s in ("OCC", "C(O)C", "CCO")]
    for name in OF_SMILES:
        rows = ENCODERS[name].embed(spelled)
        np.testing.assert_array_equal(rows, rows[[0, 0, 0]])


def test_smiles_length():
    molecules = [Structure(id=s, smiles=s) for s in ("CCO", "[Na+].[Cl-]", "BrCl")]
    np.testing.assert_array_equal(
        ENCODERS["smiles-length"].embed(molecules), [[3, 1], [3, 1], [2, 1]]
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_do_not_depend_on_batch_or_id(name, chains, molecules, rng):
    structures = molecules if name in OF_SMILES else chains
    encoder = ENCODERS[name]
    values = encoder.embed(structures)
    assert values.shape == (len(structures), encoder.card.width)
    order = rng.permutation(len(structures))
    again = [dataclasses.replace(structures[i], id=str(i)) for i in order]
    np.testing.assert_array_equal(encoder.embed(again), values[order])
    assert len(np.unique(values, axis=0)) > 5


def test_refusals():
    for name in ENCODERS:
        for bad in (Structure(id="bad"), Structure(id="bad", sequence="", smiles="C1CC")):
            with pytest.raises(UnsupportedStructureError):
                ENCODERS[name].embed([bad])
    with pytest.raises(UnsupportedStructureError, match="'one' has no two successive residues"):
        ENCODERS["dipeptide-composition"].embed([Structure(id="one", sequence="MXK")])


def test_cards():
    for entry in ENTRIES:
        assert entry.card.modality == "control"
        assert not entry.card.pretrained
        assert entry.archives == ()
