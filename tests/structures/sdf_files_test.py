import gzip

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from jaxalign.structures.readers import StructureError, read_structures


def embedded(smiles, *, seed=1, hydrogens=True):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=seed)
    return molecule if hydrogens else Chem.RemoveHs(molecule)


def write(path, molecules):
    with Chem.SDWriter(str(path)) as writer:
        for molecule in molecules:
            writer.write(molecule)
    return path


SMILES = ["C[C@H](N)C(=O)O", "C/C=C/C", "[NH4+]", "c1ccncc1"]


def test_agrees_with_rdkit(tmp_path):
    molecules = [embedded(smiles) for smiles in SMILES]
    for number, molecule in enumerate(molecules):
        molecule.SetProp("_Name", "" if number == 1 else f"m{number}")
        molecule.SetProp("code", f"00{number}")
        molecule.SetProp("note", "text")
        molecule.SetProp("parent", "P")
    path = write(tmp_path / "a.sdf", molecules)
    found = read_structures(path)
    assert found.ids == ("m0", "a/1", "m2", "m3")
    supplier = Chem.SDMolSupplier(str(path), removeHs=False)
    for structure, molecule, smiles in zip(found, supplier, SMILES, strict=True):
        assert structure.smiles == Chem.CanonSmiles(smiles)
        expected = molecule.GetConformer().GetPositions()
        np.testing.assert_array_equal(structure.positions, expected)
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        assert structure.atomic_numbers.tolist() == numbers
        assert 1 in numbers
        assert structure.group == "P"
    assert found[1].labels == {"code": 1.0}
    assert read_structures(path, id_column="code").ids == ("000", "001", "002", "003")
    packed = tmp_path / "a.sdf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_structures(packed).content_hash == found.content_hash


def test_drawings_give_no_geometry(tmp_path):
    molecule = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    AllChem.Compute2DCoords(molecule)
    found = read_structures(write(tmp_path / "flat.sdf", [molecule]))
    assert found[0].positions is None
    assert found[0].atomic_numbers is None
    assert found[0].smiles == Chem.CanonSmiles("C[C@H](N)C(=O)O")


def test_no_hydrogens_are_added(tmp_path):
    path = write(tmp_path / "heavy.sdf", [embedded("CCO", hydrogens=False)])
    assert read_structures(path)[0].atomic_numbers.tolist() == [6, 6, 8]


def damaged(tmp_path, line):
    """Three molecules, the middle one with its first atom line replaced."""
    blocks = [Chem.MolToMolBlock(embedded("CO", seed=seed)) for seed in (1, 2, 3)]
    lines = blocks[1].splitlines()
    lines[0], lines[4] = "bad one", line
    blocks[1] = "\n".join(lines) + "\n"
    path = tmp_path / "b.sdf"
    path.write_text("".join(block + "$$$$\n" for block in blocks))
    return path


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "       nan    0.0000    0.0000 C   0  0",
        "    0.0000    0.0000    0.0000 F   0  0  0  0  0  0  0  0  0  0  0  0",  # valence
    ],
)
def test_bad_records(tmp_path, line, capfd):
    path = damaged(tmp_path, line)
    with pytest.raises(StructureError, match=r"b.sdf: record 1 .*'bad one'"):
        read_structures(path)
    found = read_structures(path, on_error="skip")
    assert found.ids == ("b/0", "b/2")
    assert len(found.skipped) == 1
    assert capfd.readouterr().err == ""


def test_no_smiles_column(tmp_path):
    path = write(tmp_path / "a.sdf", [embedded("CO")])
    with pytest.raises(ValueError, match="no use for smiles_column"):
        read_structures(path, smiles_column="x")
    with pytest.raises(StructureError, match="no data field 'x'"):
        read_structures(path, id_column="x")
