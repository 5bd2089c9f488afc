"""SOAP against DScribe's values, and the symmetries that its rows must and must not have."""

import dataclasses
from pathlib import Path

import ase.build
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from jaxalign.models.descriptors import descriptors, soap
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

GOLDEN = Path(__file__).parents[2] / "data" / "golden_soap.npz"
ENTRIES = {entry.card.id: entry for entry in descriptors.ENTRIES}


def golden_structures():
    """Structures by id, and the whole file."""
    data = np.load(GOLDEN, allow_pickle=False)
    edges = np.cumsum(data["atoms"])[:-1]
    numbers, positions = (np.split(data[key], edges) for key in ("atomic_numbers", "positions"))
    found = {}
    for i, name in enumerate(data["names"].tolist()):
        pbc = tuple(data["pbc"][i].tolist())
        cell = data["cells"][i] if any(pbc) else None
        found[name] = Structure(
            id=name, atomic_numbers=numbers[i], positions=positions[i], cell=cell, pbc=pbc
        )
    return found, data


def from_ase(atoms):
    pbc = tuple(bool(flag) for flag in atoms.pbc)
    return Structure(
        id=str(atoms.symbols),
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=np.array(atoms.positions),
        cell=np.array(atoms.cell) if any(pbc) else None,
        pbc=pbc,
    )


def assert_same(one, other, *, relative=1e-9):
    np.testing.assert_allclose(one, other, rtol=0, atol=relative * np.abs(other).max())


def test_rows_equal_those_of_dscribe():
    structures, data = golden_structures()
    assert len(structures) >= 8
    for structure, wanted in zip(structures.values(), data["soap"], strict=True):
        row = soap.soap(structure)
        assert row.shape == (soap.WIDTH,)
        assert_same(row[::7], wanted)


def test_harmonics_equal_those_of_scipy(rng):
    vectors = rng.normal(size=(20, 3)) * rng.uniform(0.1, 8, size=(20, 1))
    r = np.linalg.norm(vectors, axis=1)
    theta, phi = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    values = soap.solid_harmonics(vectors.T, 6).T
    for n in range(7):
        for m in range(n + 1):
            # The Condon-Shortley phase (−1)ᵐ is left out here.
            wanted = (-1) ** m * sph_harm_y(n, m, theta, phi) * r**n * (np.sqrt(2) if m else 1)
            place = n * n + n
            np.testing.assert_allclose(values[:, place + m], wanted.real, atol=1e-11 * r.max() ** n)
            if m:
                np.testing.assert_allclose(
                    values[:, place - m], wanted.imag, atol=1e-11 * r.max() ** n
                )
    origin = soap.solid_harmonics(np.zeros((3, 1)), 6)[:, 0]
    np.testing.assert_allclose(origin, np.eye(49)[0] / np.sqrt(4 * np.pi))


def test_groups_of_the_periodic_table():
    numbers = np.array([1, 2, 3, 4, 5, 10, 13, 20, 21, 26, 31, 36, 55, 57, 71, 72, 82, 86, 89, 96])
    groups = [1, 18, 1, 2, 13, 18, 13, 2, 3, 8, 13, 18, 1, 3, 3, 4, 14, 18, 3, 3]
    assert soap.periodic_group(numbers).tolist() == groups


@pytest.mark.parametrize(
    "atoms",
    [
        ase.build.molecule("CH3CONH2"),
        ase.build.bulk("ZnS", "wurtzite", a=3.81),
        ase.build.fcc111("Pt", (1, 1, 2), vacuum=5.0),
    ],
    ids=["molecule", "crystal", "slab"],
)
def test_rotation_numbering_origin_and_images_do_not_matter(atoms, rng):
    atoms.rattle(0.2, rng=rng)
    structure = from_ase(atoms)
    turn = Rotation.random(rng=rng).as_matrix()
    order = rng.permutation(len(atoms))
    positions = structure.positions
    if structure.cell is not None:
        flags = np.array(structure.pbc)
        positions = positions + (rng.integers(-3, 4, size=positions.shape) * flags) @ structure.cell
    changed = dataclasses.replace(
        structure,
        atomic_numbers=structure.atomic_numbers[order],
        positions=(positions @ turn.T + rng.normal(size=3))[order],
        cell=None if structure.cell is None else structure.cell @ turn.T,
    )
    assert_same(soap.soap(changed), soap.soap(structure))


def test_a_supercell_is_its_primitive_cell():
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.64)
    assert_same(soap.soap(from_ase(atoms.repeat((2, 1, 3)))), soap.soap(from_ase(atoms)))


def test_elements_and_distances_matter():
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.64)
    row = soap.soap(from_ase(atoms))
    swapped, strained = atoms.copy(), atoms.copy()
    swapped.symbols = "KCl"
    strained.set_cell(1.02 * atoms.cell, scale_atoms=True)
    for other in (swapped, strained):
        change = np.linalg.norm(soap.soap(from_ase(other)) - row)
        assert change > 0.01 * np.linalg.norm(row)


def test_atoms_far_apart_give_the_mean_of_isolated_ones():
    apart = ase.Atoms("HeU", positions=[[0, 0, 0], [0, 0, 30.0]])
    alone = [soap.soap(from_ase(ase.Atoms(symbol))) for symbol in ("He", "U")]
    assert_same(soap.soap(from_ase(apart)), np.mean(alone, axis=0))
    assert np.count_nonzero(alone[0]) == soap.WIDTH // 7  # l = 0 alone


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"atomic_numbers": None}, "none"),
        ({"atomic_numbers": np.array([97, 1], np.int32)}, r"'bad' .*\[97\].*1 to 96"),
        ({"atomic_numbers": np.array([0, 1], np.int32)}, r"\[0\]"),
        ({"positions": np.array([[0, 0, 0], [0, np.nan, 0]])}, "NaN"),
        ({"positions": np.zeros((2, 3))}, "0 Å apart"),
        ({"cell": np.zeros((3, 3)), "pbc": (True, True, True)}, "no volume"),
    ],
)
def test_refusals(fault, message):
    sound = Structure(id="bad", atomic_numbers=np.array([8, 1], np.int32), positions=np.eye(3)[:2])
    with pytest.raises(UnsupportedStructureError, match=message):
        soap.soap(dataclasses.replace(sound, **fault))


def test_rows_depend_on_their_structure_alone():
    structures, _ = golden_structures()
    listed = list(structures.values())
    encoder = ENTRIES["soap"].build(ENTRIES["soap"])
    rows = encoder.embed(listed)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(encoder.embed(listed[::-1]), rows[::-1])
