"""Strata against formulas of ASE, sets of k-mers in plain Python, and planted families."""

import ase.formula
import numpy as np
import pytest
import scipy.sparse

from jaxalign.analysis.confounding.families import sequence_families
from jaxalign.analysis.confounding.strata import KINDS, Strata, reduced_formula, scaffold, strata
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure, StructureSet

RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def atoms(name, numbers, **facts):
    return Structure(id=name, atomic_numbers=np.array(numbers, np.int32), **facts)


def text(letters):
    return "".join(letters)


def test_formulas_are_those_of_ase(rng):
    for count in rng.integers(1, 30, size=20):
        numbers = rng.choice([1, 6, 8, 26, 92], size=count) if count > 1 else [18]
        wanted, _ = ase.formula.Formula.from_list(
            [ase.data.chemical_symbols[z] for z in np.repeat(numbers, 2)]
        ).reduce()
        found = ase.formula.Formula(reduced_formula(atoms("a", numbers)))
        assert found.count() == wanted.count()
    ethanol = Structure(id="b", smiles="CCO")
    assert reduced_formula(ethanol) == reduced_formula(atoms("c", [6, 6, 8] + [1] * 6)) == "H6C2O"


def test_molecules_of_one_scaffold_are_together():
    smiles = ("Cc1ccccc1", "CCCc1ccccc1O", "C1CCCCC1C", "CCO", "C", "c1ccccc1CCc1ccccc1")
    found = strata([Structure(id=s, smiles=s) for s in smiles], "scaffold")
    assert found.labels[0] == found.labels[1] == "c1ccccc1"
    assert found.labels[2] == "C1CCCCC1"
    assert found.labels[3] == found.labels[4] == "acyclic"
    assert list(found.sizes.values()) == [2, 1, 2, 1]
    assert found.movable == pytest.approx(4 / 6)
    assert found.by_id()["CCO"] == "acyclic"
    assert "exchangeable" in found.assumption
    assert scaffold(Structure(id="a", smiles="Cc1ccccc1")) == "c1ccccc1"


def test_bins_of_sizes_hold_whole_sizes_and_about_equal_numbers(rng):
    sizes = rng.integers(3, 60, size=400)
    found = strata([atoms(str(i), [6] * n) for i, n in enumerate(sizes)], "atom_count")
    for size in np.unique(sizes):
        assert len({found.labels[i] for i in np.flatnonzero(sizes == size)}) == 1
    assert len(found.sizes) == 10
    assert max(found.sizes.values()) < 80
    for label, size in zip(found.labels, sizes, strict=True):
        low, _, high = label.partition("-")
        assert int(low) <= size <= int(high or low)
    assert set(strata([atoms(i, [1, 1]) for i in "abc"], "atom_count").labels) == {"2"}
    chains = [Structure(id=s, sequence=s) for s in ("ACD", "AC", "DCA")]
    assert strata(chains, "atom_count").labels == ("3", "2", "3")


def test_parents_are_the_recorded_groups():
    found = strata(
        [atoms("a", [1], group="p"), atoms("b", [1], group="p"), atoms("c", [1])], "parent"
    )
    assert found.labels == ("p", "p", "c")


def planted(rng, families, members, length):
    """Families of chains of which 86 % of the residues are those of an ancestor."""
    found = []
    for _ in range(families):
        ancestor = rng.choice(RESIDUES, size=length)
        for _ in range(members):
            changed = rng.random(length) < 0.15
            found.append(text(np.where(changed, rng.choice(RESIDUES, size=length), ancestor)))
    return found


def partition(labels):
    return {tuple(np.flatnonzero(labels == label)) for label in np.unique(labels)}


def test_planted_families_are_found_in_any_order(rng):
    sequences = planted(rng, 8, 4, 300)
    family = sequence_families(sequences)
    assert (family == np.repeat(np.arange(0, 32, 4), 4)).all()
    order = rng.permutation(32)
    again = sequence_families([sequences[i] for i in order])
    assert partition(family[order]) == partition(again)


def test_links_are_those_of_sets_of_kmers(rng):
    alphabet = list("ACDX")  # so few that links abound
    sequences = [text(rng.choice(alphabet, size=n)) for n in rng.integers(0, 14, size=60)]
    sequences += ["AC", "AC", ""]
    kmers = [
        {s[i : i + 3] for i in range(len(s) - 2) if "X" not in s[i : i + 3]} for s in sequences
    ]
    linked = [
        [a == b or (bool(s | t) and len(s & t) >= 0.4 * len(s | t))
         for b, t in zip(sequences, kmers, strict=True)]
        for a, s in zip(sequences, kmers, strict=True)
    ]  # fmt: skip
    _, wanted = scipy.sparse.csgraph.connected_components(np.array(linked), directed=False)
    found = sequence_families(sequences, k=3, threshold=0.4)
    assert partition(found) == partition(wanted)
    assert all(row <= i for i, row in enumerate(found))  # named after the first member


def test_unrelated_chains_stay_apart():
    chains = load_dataset("proteins")
    rng = np.random.default_rng(0)
    shuffled = [text(rng.permutation(list(s.sequence))) for s in chains]
    assert len(set(sequence_families(shuffled).tolist())) > 1990
    found = strata(chains, "protein_family")
    assert set(found.labels) <= set(chains.ids)
    assert 0.01 < found.movable < 0.1  # the set was made of dissimilar chains


@pytest.mark.parametrize("by", [kind for kind in KINDS if kind != "parent"])
def test_structures_that_lack_what_a_kind_needs_are_named(by):
    with pytest.raises(ValueError, match=f"no strata by {by}.*'odd'"):
        strata([Structure(id="odd")], by)


def test_bad_requests():
    with pytest.raises(ValueError, match="choose one of composition"):
        strata(StructureSet([]), "size")
    with pytest.raises(ValueError, match="2 labels and 1 ids"):
        Strata("own", ("a",), ("x", "y"), "")
    with pytest.raises(ValueError, match="1 to 8"):
        sequence_families(["AC"], k=9)
    with pytest.raises(ValueError, match="threshold"):
        sequence_families(["AC"], threshold=0.0)
