import gzip
import shutil

import ase
import ase.build
import ase.db
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from jaxalign.structures.readers import StructureError, read_structures


def frames(rng):
    copper = ase.build.bulk("Cu", cubic=True) * (2, 1, 1)
    slab = ase.build.fcc111("Pt", (2, 2, 3), vacuum=5.0)
    methane = ase.build.molecule("CH4")
    for number, atoms in enumerate((copper, slab, methane)):
        atoms.rattle(0.1, rng=rng)
        atoms.info = {"id": f"f{number}", "gap": 1.5 * number, "stable": True, "note": "hello"}
    methane.info["parent"] = "P"
    methane.info["smiles"] = "C"
    copper.calc = SinglePointCalculator(copper, energy=-3.25)
    return [copper, slab, methane]


def assert_same(structure, atoms):
    np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-8)
    assert structure.atomic_numbers.tolist() == atoms.numbers.tolist()
    assert structure.pbc == tuple(atoms.pbc.tolist())
    if structure.cell is None:
        assert not atoms.cell.array.any()
    else:
        np.testing.assert_allclose(structure.cell, atoms.cell.array, atol=1e-8)


class NumpyRandom:
    """The rattle interface of ASE over a Generator."""

    def __init__(self, generator):
        self.normal = generator.normal


@pytest.fixture
def atoms_list(rng):
    return frames(NumpyRandom(rng))


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.traj", "a.xyz.gz"])
def test_frames_agree_with_ase(tmp_path, atoms_list, name):
    path = tmp_path / name
    if name.endswith("traj"):
        ase.io.write(path, atoms_list)
    else:
        ase.io.write(tmp_path / "plain.extxyz", atoms_list)
        data = (tmp_path / "plain.extxyz").read_bytes()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = read_structures(path)
    assert found.ids == ("f0", "f1", "f2")
    for structure, atoms in zip(found, atoms_list, strict=True):
        assert_same(structure, atoms)
    assert found[0].labels == {"energy": -3.25, "gap": 0.0}
    assert found[1].labels == {"gap": 1.5}
    assert [s.group for s in found] == [None, None, "P"]
    assert [s.smiles for s in found] == [None, None, "C"]
    assert found[2].cell is None
    assert found[1].pbc == (True, True, False)


def test_database(tmp_path, atoms_list):
    path = tmp_path / "a.db"
    with ase.db.connect(path) as database:
        for atoms in atoms_list:
            database.write(atoms, gap=2.5, parent="Q", code=f"c{len(atoms)}")
    rows = list(ase.db.connect(path).select())
    before = sorted(tmp_path.iterdir())
    found = read_structures(path)
    assert sorted(tmp_path.iterdir()) == before
    assert found.ids == tuple(row.unique_id for row in rows)
    for structure, atoms in zip(found, atoms_list, strict=True):
        assert_same(structure, atoms)
        assert structure.labels["gap"] == 2.5
        assert structure.group == "Q"
    assert read_structures(path, id_column="code").ids == ("c8", "c12", "c5")


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR_final", "x.vasp", "a.poscar", "POSCAR.gz"])
def test_vasp(tmp_path, atoms_list, name):
    plain = tmp_path / "written"
    ase.io.write(plain, atoms_list[0], format="vasp", direct=True)
    data = plain.read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = read_structures(path)
    assert_same(found[0], ase.io.read(plain, format="vasp"))
    assert found.ids == (f"{name.removesuffix('.gz')}/0",)


def test_cif(tmp_path):
    crystals = [ase.build.bulk("NaCl", "rocksalt", a=5.64), ase.build.bulk("Si")]
    path = tmp_path / "c.cif"
    ase.io.write(path, crystals)
    found = read_structures(path)
    assert found.ids == ("c/0", "c/1")
    for structure, atoms in zip(found, ase.io.read(path, index=":"), strict=True):
        assert_same(structure, atoms)
    text = path.read_text()
    partial = text.replace("1.0000\n", "0.5000\n", 1)
    assert partial != text
    path.write_text(partial)
    with pytest.raises(StructureError, match=r"record 0: .*partial occupancy"):
        read_structures(path)
    assert read_structures(path, on_error="skip").ids == ("c/1",)


GOOD = "2\ncomment\nH 0 0 0\nH 0 0 0.74\n"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("2\nx\nH 0 0 0\nH 0 0 nan\n", "not finite"),
        ("2\nx\nH 0 0 0\nH 0 inf 0\n", "not finite"),
        ("2\nx\nH 0 0 0\nQq 0 0 1\n", "Qq"),
        ("2\nx\nH 0 0 0\nH 0 0\n", "parser stopped"),
        ("0\nx\n", "no atoms"),
        ('1\nLattice="0 0 0 0 0 0 0 0 0" pbc="T T T"\nH 0 0 0\n', "periodic along 3"),
        ('1\nLattice="1 0 0 2 0 0 0 0 1" pbc="T T T"\nH 0 0 0\n', "zero or dependent"),
        ('1\nLattice="nan 0 0 0 1 0 0 0 1"\nH 0 0 0\n', "not finite"),
        ("1\nsmiles=C1CC\nC 0 0 0\n", "syntax"),
    ],
)
def test_one_bad_frame_does_not_hide_the_next(tmp_path, bad, reason):
    path = tmp_path / "m.xyz"
    path.write_text(GOOD + bad + "\n" + GOOD)
    with pytest.raises(StructureError, match=rf"m.xyz: record 1 \(line 5\): .*{reason}"):
        read_structures(path)
    found = read_structures(path, on_error="skip")
    assert found.ids == ("m/0", "m/2")
    assert reason in found.skipped[0].reason


def test_truncated_and_misaligned_xyz(tmp_path):
    path = tmp_path / "m.xyz"
    path.write_text(GOOD + "3\nx\nH 0 0 0\n")
    with pytest.raises(StructureError, match="ends after 1 of 3 atoms"):
        read_structures(path)
    assert read_structures(path, on_error="skip").ids == ("m/0",)
    path.write_text(GOOD + "H 0 0 0\n" + GOOD)
    for on_error in ("raise", "skip"):
        with pytest.raises(StructureError, match=r"line 5: expected the number of atoms"):
            read_structures(path, on_error=on_error)


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.cif", "POSCAR"])
def test_garbage(tmp_path, name):
    path = tmp_path / name
    path.write_text("hello, world\n1 2 3\n")
    with pytest.raises(StructureError, match=name):
        read_structures(path)


def test_duplicate_ids(tmp_path, atoms_list):
    atoms_list[2].info["id"] = "f0"
    ase.io.write(tmp_path / "a.extxyz", atoms_list)
    with pytest.raises(StructureError, match=r"'f0' names record 0 .*record 2"):
        read_structures(tmp_path / "a.extxyz")


def test_fields_asked_for(tmp_path, atoms_list):
    path = tmp_path / "a.extxyz"
    for number, atoms in enumerate(atoms_list):
        atoms.info["mp"] = f"mp-{number}"
    ase.io.write(path, atoms_list)
    found = read_structures(path, id_column="mp", group_column="note")
    assert found.ids == ("mp-0", "mp-1", "mp-2")
    assert found[0].group == "hello"
    with pytest.raises(StructureError, match="no field 'zz'"):
        read_structures(path, id_column="zz")


def test_compressed_binary_files_are_refused(tmp_path, atoms_list):
    ase.io.write(tmp_path / "a.traj", atoms_list)
    shutil.copy(tmp_path / "a.traj", tmp_path / "a.traj.gz")
    with pytest.raises(StructureError, match="decompress it first"):
        read_structures(tmp_path / "a.traj.gz")
