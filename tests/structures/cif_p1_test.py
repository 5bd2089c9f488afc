import io

import ase.io
import numpy as np
import pytest

from jaxalign.structures.cif_p1 import parse_p1
from jaxalign.structures.datasets import load_dataset

TEXT = """data_X_clean\\(2)
_symmetry_space_group_name_H-M    'P1'
_cell_length_a 4.0(2)
_cell_length_b 5.0
_cell_length_c 6.0
_cell_angle_alpha 90
_cell_angle_beta 95.5
_cell_angle_gamma 100.0000
loop_
_symmetry_equiv_pos_as_xyz
  x,y,z
# atoms
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Co1    Co    0.62243   -0.88012(7)   1.24882    1.00
D2     D    .5   0.5   0.5  1.00
loop_
_geom_bond_distance
1.5
"""


def test_reads_cell_elements_and_positions():
    found = parse_p1(TEXT)
    assert found.atomic_numbers.tolist() == [27, 1]
    expected = [[0.62243, -0.88012, 1.24882], [0.5, 0.5, 0.5]]
    np.testing.assert_array_equal(found.scaled_positions, expected)
    lengths = np.linalg.norm(found.cell, axis=1)
    np.testing.assert_allclose(lengths, [4, 5, 6])
    np.testing.assert_allclose(found.cell[0] @ found.cell[1] / 20, np.cos(np.radians(100)))


def test_agrees_with_ase(rng):
    crystals = load_dataset("crystals")
    for row in rng.choice(len(crystals), 15, replace=False).tolist():
        file = io.BytesIO()
        atoms = ase.Atoms(
            crystals[row].atomic_numbers, crystals[row].positions, cell=crystals[row].cell, pbc=True
        )
        ase.io.write(file, atoms, format="cif")
        found = parse_p1(file.getvalue().decode())
        other = ase.io.read(io.StringIO(file.getvalue().decode()), format="cif")
        np.testing.assert_array_equal(found.atomic_numbers, other.numbers)
        np.testing.assert_allclose(found.cell, other.cell.array, atol=1e-12)
        apart = found.scaled_positions - other.get_scaled_positions(wrap=False)
        np.testing.assert_allclose(apart, np.rint(apart), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  x,y,z\n", "  x,y,z\n  -x,-y,-z\n"),
        ("  x,y,z\n", "  x+1/2,y,z\n"),
        ("1.00\nloop_", "0.50\nloop_"),
        ("data_X", "data_W\n_cell_length_a 3.0\ndata_X"),
        ("_cell_length_c 6.0\n", ""),
        ("0.62243", "?"),
        ("  D  ", "  Qq  "),
        (".5   0.5   0.5  1.00", ".5   0.5   0.5"),
        ("_symmetry_equiv_pos_as_xyz\n", "_other\n"),
    ],
)
def test_leaves_other_files_to_others(old, new):
    assert old in TEXT
    assert parse_p1(TEXT.replace(old, new)) is None


def test_text_that_is_no_cif():
    for text in ("", "\n", "hello", "data_x\nhello\n", "data_x\nloop_\n"):
        assert parse_p1(text) is None
