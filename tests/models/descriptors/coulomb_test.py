"""Coulomb and sine matrices against DScribe's values and closed forms."""

import dataclasses

import ase.build
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxalign.models.descriptors.coulomb import WIDTH, coulomb_spectrum, sine_spectrum
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.models.descriptors.soap_test import from_ase, golden_structures

ROWS = {"coulomb-matrix": coulomb_spectrum, "sine-matrix": sine_spectrum}


def test_rows_equal_those_of_dscribe():
    structures, data = golden_structures()
    checked = []
    for kind, row in ROWS.items():
        for name, structure in structures.items():
            if f"{kind}/{name}" in data.files:
                wanted = data[f"{kind}/{name}"]
                values = row(structure)
                np.testing.assert_allclose(values[: len(wanted)], wanted, rtol=1e-9)
                assert values.shape == (WIDTH,)
                assert not values[len(wanted) :].any()
                checked.append(kind)
    assert checked.count("coulomb-matrix") >= 3
    assert checked.count("sine-matrix") >= 4


def test_hydrogen_molecule_and_simple_cubic_crystal():
    pair = Structure(
        id="H2", atomic_numbers=np.array([1, 1]), positions=np.array([[0, 0, 0], [0, 0, 0.8]])
    )
    np.testing.assert_allclose(coulomb_spectrum(pair)[:2], [0.5 + 1.25, 0.5 - 1.25])
    # CsCl structure: sin² = 1 along all three vectors of length a, so φ = √3 a.
    cubic = from_ase(ase.build.bulk("HH", "cesiumchloride", a=2.0))
    off = 1 / (2 * np.sqrt(3))
    np.testing.assert_allclose(sine_spectrum(cubic)[:2], [0.5 + off, 0.5 - off])


def test_rotation_and_numbering_do_not_matter(rng):
    turn = Rotation.random(rng=rng).as_matrix()
    for row, atoms in (
        (coulomb_spectrum, ase.build.molecule("CH3CONH2")),
        (sine_spectrum, ase.build.bulk("ZnS", "wurtzite", a=3.81)),
    ):
        structure = from_ase(atoms)
        order, shift = rng.permutation(len(atoms)), np.zeros((len(atoms), 3))
        if structure.cell is not None:  # any image of an atom
            shift = rng.integers(-3, 4, size=shift.shape) @ structure.cell
        changed = dataclasses.replace(
            structure,
            atomic_numbers=structure.atomic_numbers[order],
            positions=((structure.positions + shift) @ turn.T)[order],
            cell=None if structure.cell is None else structure.cell @ turn.T,
        )
        np.testing.assert_allclose(row(changed), row(structure), rtol=1e-8, atol=1e-8)


def test_molecules_and_crystals_are_told_apart():
    molecule, crystal = (
        from_ase(a) for a in (ase.build.molecule("H2O"), ase.build.bulk("NaCl", "rocksalt", 5.64))
    )
    with pytest.raises(UnsupportedStructureError, match=r"periodic.*'sine-matrix'"):
        coulomb_spectrum(crystal)
    for pbc in ((False,) * 3, (True, True, False)):
        with pytest.raises(UnsupportedStructureError, match="'coulomb-matrix'"):
            sine_spectrum(dataclasses.replace(crystal, pbc=pbc))
    with pytest.raises(UnsupportedStructureError, match="'coulomb-matrix'"):
        sine_spectrum(molecule)


def test_refusals(rng):
    crowd = from_ase(ase.build.bulk("Cu", "fcc", a=3.6, cubic=True).repeat(5))
    with pytest.raises(UnsupportedStructureError, match=r"500 atoms.*256.*primitive cell"):
        sine_spectrum(crowd)
    twice = Structure(id="t", atomic_numbers=np.array([1, 1]), positions=np.zeros((2, 3)))
    with pytest.raises(UnsupportedStructureError, match="duplicate atom"):
        coulomb_spectrum(twice)
    with pytest.raises(UnsupportedStructureError, match="no"):
        coulomb_spectrum(Structure(id="smiles", smiles="CCO"))
