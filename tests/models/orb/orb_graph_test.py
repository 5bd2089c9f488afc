import ase.build
import numpy as np
import pytest

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.orb.orb_graph import featurize_orb
from jaxalign.structures.structure import Structure

KNOWN = range(1, 84)


def random_crystal(rng, *, atoms, length):
    cell = np.eye(3) * length + rng.normal(scale=0.04 * length, size=(3, 3))
    # Points of a jittered grid, some cells away, so that no two are close.
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    chosen = rng.permutation(len(grid))[:atoms]
    places = (grid[chosen] + rng.uniform(-0.2, 0.2, (atoms, 3))) / 3 + rng.integers(-3, 4, 3)
    return Structure(
        id="random",
        atomic_numbers=rng.integers(1, 80, atoms).astype(np.int32),
        positions=places @ cell,
        cell=cell,
        pbc=(True, True, True),
    )


@pytest.mark.parametrize(("atoms", "length"), [(1, 2.2), (4, 5.0), (6, 14.0)])
def test_edges_are_the_nearest_pairs_within_the_cutoff(rng, atoms, length):
    """The oracle is a list of all pairs, sorted by length."""
    structure = random_crystal(rng, atoms=atoms, length=length)
    pairs = neighbor_pairs(structure, cutoff=6.0)
    for limit in (5, 20, 1000):
        example = featurize_orb(structure, neighbors=limit, known=KNOWN)
        senders, lengths = example["senders"], np.linalg.norm(example["vectors"], axis=1)
        assert (np.diff(senders) >= 0).all()
        for atom in range(atoms):
            own = pairs.centers == atom
            expected = np.sort(pairs.lengths()[own])[:limit]
            np.testing.assert_allclose(np.sort(lengths[senders == atom]), expected, atol=1e-5)
        fractions = np.linalg.solve(structure.cell.T, example["vectors"].T).T
        ends = structure.positions[example["receivers"]] - structure.positions[senders]
        shifts = fractions - np.linalg.solve(structure.cell.T, ends.T).T
        np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-6)


def test_molecules_have_edges_between_near_atoms_only():
    atoms = ase.build.molecule("CH4")
    positions = np.concatenate([atoms.positions, [[30.0, 0, 0]]])
    structure = Structure(
        id="far", atomic_numbers=np.array([*atoms.numbers, 2], np.int32), positions=positions
    )
    example = featurize_orb(structure, neighbors=20, known=KNOWN)
    assert len(example["senders"]) == 20
    assert 5 not in {*example["senders"], *example["receivers"]}
    np.testing.assert_allclose(
        example["vectors"], positions[example["receivers"]] - positions[example["senders"]]
    )
    alone = Structure(id="He", atomic_numbers=np.array([2], np.int32), positions=np.zeros((1, 3)))
    assert featurize_orb(alone, neighbors=20, known=KNOWN)["vectors"].shape == (0, 3)


def test_what_orb_cannot_represent_is_refused(rng):
    def refused(match, **changes):
        crystal = random_crystal(rng, atoms=2, length=5.0)
        facts = {"atomic_numbers": crystal.atomic_numbers, "positions": crystal.positions}
        facts |= {"cell": crystal.cell, "pbc": crystal.pbc} | changes
        with pytest.raises(UnsupportedStructureError, match=match):
            featurize_orb(Structure(id="bad", **facts), neighbors=20, known=KNOWN)

    refused("vacuum", pbc=(True, True, False))
    refused("Rn", atomic_numbers=np.array([6, 86], np.int32))
    refused("apart", positions=np.zeros((2, 3)))
    refused("NaN", positions=np.full((2, 3), np.nan))
    refused("no volume", cell=np.ones((3, 3)))
