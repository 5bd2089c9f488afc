import importlib.resources
from collections import Counter

import numpy as np
import pytest

from jaxalign.structures.datasets import load_dataset

RESIDUES = set("ACDEFGHIKLMNPQRSTVWY")


@pytest.fixture(scope="module")
def proteins():
    return load_dataset("proteins")


def test_all_are_chains_with_both_views(proteins):
    assert len(proteins) == len(set(proteins.ids)) == 2_000
    assert proteins[0].id == "proteins/1VQS_B"
    for chain in proteins:
        assert chain.atomic_numbers is None
        assert chain.smiles is None
        assert chain.residue_numbers is None  # no chain has a break
        assert set(chain.sequence) <= RESIDUES
        assert 50 <= len(chain.sequence) <= 256
        assert chain.backbone.shape == (len(chain.sequence), 4, 3)
        assert chain.backbone.dtype == np.float64
        assert chain.labels["residues"] == len(chain.sequence)


def test_backbones_are_what_the_file_says_residue_by_residue(proteins):
    """Decoded once more with Python integers: the running sum goes over chains without a stop."""
    path = importlib.resources.files("jaxalign") / "data" / "proteins_2k.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        steps, sequences = data["backbone_delta_1e2A"].tolist(), data["sequence"].tolist()
    at = [0] * 12
    rows = iter(steps)
    for chain, sequence in zip(proteins, sequences, strict=True):
        assert chain.sequence == sequence
        found = []
        for _ in sequence:
            at = [old + step for old, step in zip(at, next(rows), strict=True)]
            found.append(at)
        np.testing.assert_array_equal(chain.backbone.reshape(-1, 12), np.array(found) / 100)
    assert next(rows, None) is None


def test_geometry_is_that_of_peptides(proteins):
    every = np.concatenate([chain.backbone for chain in proteins]).transpose(1, 0, 2)
    peptides, steps = [], []
    for chain in proteins:
        n, ca, c, _ = chain.backbone.transpose(1, 0, 2)
        peptides.append(np.linalg.norm(c[:-1] - n[1:], axis=1))
        steps.append(np.linalg.norm(ca[1:] - ca[:-1], axis=1))
    n, ca, c, o = every
    for first, second, length in ((n, ca, 1.459), (ca, c, 1.525), (c, o, 1.231)):
        bonds = np.linalg.norm(first - second, axis=1)
        assert abs(np.median(bonds) - length) < 0.005
        assert np.mean(abs(bonds - length) < 0.1) > 0.998
    peptides, steps = np.concatenate(peptides), np.concatenate(steps)
    assert peptides.max() < 1.8  # no breaks
    assert abs(np.median(peptides) - 1.33) < 0.005
    assert np.mean(abs(steps - 3.8) < 0.2) > 0.995  # trans peptides, and few cis ones
    assert np.mean((abs(steps - 3.8) < 0.2) | (abs(steps - 2.95) < 0.25)) > 0.9997


def test_backbones_are_of_left_handed_amino_acids(proteins):
    """Helices turn right: the signed volume of four successive CA is positive in them."""
    signs = []
    for chain in proteins:
        if chain.labels["helix_fraction"] > 0.7:
            a, b, c = (np.diff(chain.backbone[:, 1], axis=0)[i : i - 2 or None] for i in range(3))
            signs.append(np.mean(np.einsum("ik,ik->i", np.cross(a, b), c) > 0))
    assert len(signs) > 50
    assert min(signs) > 0.6


def test_fractions_of_secondary_structure(proteins):
    helix = [chain.labels["helix_fraction"] for chain in proteins]
    strand = [chain.labels["strand_fraction"] for chain in proteins]
    assert (np.add(helix, strand) <= 1).all()
    assert 0.3 < np.mean(helix) < 0.45
    assert 0.2 < np.mean(strand) < 0.3
    first = proteins[0]  # DSSP: 38 E, 1 B, 32 H, 5 I, 3 G of 111
    assert first.labels["helix_fraction"] * 111 == pytest.approx(40)
    assert first.labels["strand_fraction"] * 111 == pytest.approx(39)


def test_chains_of_one_entry_are_a_group(proteins):
    groups = Counter(chain.group for chain in proteins)
    assert sorted(groups.values())[-13:] == [2] * 13
    assert len(groups) == 1_987
    for chain in proteins:
        assert chain.id.startswith(f"{chain.group}_")


def test_draws_and_elements():
    drawn = load_dataset("proteins", n=30, seed=4)
    assert load_dataset("proteins", n=7, seed=4).content_hash == drawn[:7].content_hash
    with pytest.raises(ValueError, match=r"proteins has sequence and backbone, no atoms.*leave"):
        load_dataset("proteins", n=5, elements=("H", "C"))
