import gzip
import importlib

import numpy as np
import pytest

from jaxalign.structures import chain_files
from jaxalign.structures.chains import residue_numbers
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.readers import StructureError, read_structures
from tests.structures.protein_texts import atom, atoms_of, mmcif_text, pdb_text

WRITERS = {"pdb": pdb_text, "cif": mmcif_text}


@pytest.fixture(scope="module")
def chains():
    return load_dataset("proteins", n=6, seed=0)


@pytest.fixture
def write(tmp_path):
    def written(text, name="1abc.pdb"):
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return written


@pytest.mark.parametrize("name", ["1abc.pdb", "1abc.ent.gz", "1abc.cif", "1abc.mmcif.gz"])
def test_chains_come_back_as_they_were_written(write, chains, name):
    text = WRITERS["cif" if "cif" in name else "pdb"]
    atoms = [
        a
        for key, c in zip("BxA", chains, strict=False)
        for a in atoms_of(c.sequence, c.backbone, chain=key)
    ]
    found = read_structures(write(text(atoms), name))
    assert found.ids == ("1abc/B", "1abc/x", "1abc/A")
    assert found.name == "1abc"
    for structure, chain in zip(found, chains, strict=False):
        assert structure.sequence == chain.sequence
        np.testing.assert_allclose(structure.backbone, chain.backbone, atol=1e-9)
        assert structure.residue_numbers.dtype == np.int32
        expected = np.arange(1, len(chain.sequence) + 1)
        np.testing.assert_array_equal(structure.residue_numbers, expected)
        assert structure.group == "1abc"
        assert structure.labels == {"residues": len(chain.sequence)}
        assert structure.atomic_numbers is None


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_atoms_are_nan(write, chains, kind):
    holes = chains[0].backbone.copy()
    holes[3, 0] = holes[5] = holes[-1, 3] = np.nan
    holes[5, 1] = chains[0].backbone[5, 1]
    found = read_structures(write(WRITERS[kind](atoms_of(chains[0].sequence, holes)), f"m.{kind}"))
    np.testing.assert_allclose(found[0].backbone, holes, atol=1e-9)
    assert found[0].sequence == chains[0].sequence
    np.testing.assert_array_equal(np.diff(found[0].residue_numbers), 1)


@pytest.mark.parametrize("kind", WRITERS)
def test_breaks_are_gaps(write, chains, kind):
    sequence, backbone = chains[0].sequence, chains[0].backbone
    kept = np.r_[0:20, 27 : len(sequence)]
    # Cut out and numbered as the author did; and numbered on over the hole.
    for numbers, gap in ((kept + 5, 8), (np.arange(len(kept)), 2)):
        letters = "".join(sequence[i] for i in kept)
        atoms = atoms_of(letters, backbone[kept], numbers=numbers.tolist())
        found = read_structures(write(WRITERS[kind](atoms), f"b.{kind}"))[0]
        steps = np.diff(found.residue_numbers)
        assert steps[19] == gap
        assert (np.delete(steps, 19) == 1).all()
        assert found.residue_numbers[0] == numbers[0]


def bonded(count):
    """Backbones in a row whose peptide bonds are 1.3 Å long."""
    row = np.zeros((4, 3))
    row[:, 0] = (0.0, 1.4, 2.5, 2.6)
    return row + np.array([3.8, 0.0, 0.0]) * np.arange(count)[:, None, None]


def test_numbers_by_rule():
    far, unknown = bonded(4), bonded(4)
    far[2:] += 10.0
    unknown[1, 2] = np.nan
    plain = [(7, ""), (8, ""), (9, ""), (10, "")]
    cases = [
        (plain, bonded(4), [7, 8, 9, 10]),
        ([(52, ""), (52, "A"), (52, "B"), (53, "")], bonded(4), [52, 53, 54, 55]),
        ([(31, ""), (35, ""), (36, ""), (37, "")], bonded(4), [31, 32, 33, 34]),  # Kabat's skips
        (plain, far, [7, 8, 10, 11]),
        ([(7, ""), (8, ""), (20, ""), (21, "")], far, [7, 8, 20, 21]),
        ([(-3, ""), (-2, ""), (-9, ""), (-8, "")], far, [-3, -2, 0, 1]),
        ([(7, ""), (8, ""), (12, ""), (13, "")], unknown, [7, 8, 12, 13]),
        ([(7, ""), (8, ""), (5, ""), (6, "")], unknown, [7, 8, 9, 10]),
        ([(None, ""), (None, ""), (3, ""), (4, "")], bonded(4), [0, 1, 2, 3]),
    ]
    for author, backbone, expected in cases:
        assert residue_numbers(author, backbone).tolist() == expected
    assert residue_numbers([(4, "")], bonded(1)).tolist() == [4]


@pytest.mark.parametrize("kind", WRITERS)
def test_locations_of_the_highest_occupancy(write, kind):
    rows = bonded(3)
    atoms = atoms_of("GAG", rows)[:4] + atoms_of("GAG", rows)[8:]
    for letter, occupancy, shift in (("A", 0.3, 0.1), ("B", 0.7, 0.2)):
        for name, xyz in zip(("N", "CA", "C", "O"), rows[1] + shift, strict=True):
            if (name, letter) == ("O", "B"):
                continue  # the better location lacks O: that of the other one is taken
            where = {"residue": "ALA", "number": 2, "alt": letter, "occupancy": occupancy}
            atoms.insert(-4, atom(name, xyz, **where))
    found = read_structures(write(WRITERS[kind](atoms), f"a.{kind}"))[0]
    expected = rows.copy()
    expected[1, :3] += 0.2
    expected[1, 3] += 0.1
    np.testing.assert_allclose(found.backbone, expected, atol=1e-9)
    assert found.sequence == "GAG"


@pytest.mark.parametrize("kind", WRITERS)
def test_two_residues_at_one_place(write, kind):
    rows = bonded(2)
    atoms = atoms_of("G", rows[:1])
    for residue, letter, occupancy in (("SER", "A", 0.4), ("THR", "B", 0.6)):
        where = {"residue": residue, "number": 2, "alt": letter, "occupancy": occupancy}
        atoms += [atom(n, xyz, **where) for n, xyz in zip(("N", "CA"), rows[1], strict=False)]
    assert read_structures(write(WRITERS[kind](atoms), f"p.{kind}"))[0].sequence == "GT"


@pytest.mark.parametrize("kind", WRITERS)
def test_residues_beyond_the_twenty(write, kind):
    names = ["ACE", "MSE", "SEP", "SEC", "PYL", "UNK", "HID", "CYX", "XYZ", "GLY", "NH2"]
    atoms = atoms_of("G" * 11, bonded(11), names=names)
    atoms = [a for a in atoms if a["residue"] not in ("ACE", "NH2") or a["name"] == "C"]
    for a in atoms:
        a["hetero"] = a["residue"] != "GLY"
    found = read_structures(write(WRITERS[kind](atoms), f"r.{kind}"))[0]
    assert found.sequence == "MSXXXHCXG"
    np.testing.assert_allclose(found.backbone, bonded(11)[1:-1], atol=1e-9)


@pytest.mark.parametrize("kind", WRITERS)
def test_solvent_and_caps_of_simulations_in_one_chain(write, kind):
    names = ["ACE", "GLY", "HSD", "ALA", "NMA"]
    atoms = atoms_of("XGHAX", bonded(5), names=names)
    water = {"residue": "SOL", "chain": "A"}
    atoms += [atom("OW", (9, i, 9), number=6 + i, **water) for i in range(40)]
    found = read_structures(write(WRITERS[kind](atoms), f"md.{kind}"))
    assert [s.sequence for s in found] == ["GHA"]
    np.testing.assert_allclose(found[0].backbone, bonded(5)[1:4], atol=1e-9)


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_no_protein_is_listed_and_never_an_error(write, kind):
    atoms = atoms_of("GAG", bonded(3))
    atoms += [
        atom("P", (i, 0, 0), residue=r, chain="D", number=i) for i, r in ((1, "DA"), (2, "DC"))
    ]
    water = {"residue": "HOH", "hetero": True}
    atoms += [atom("O", (9, 9, i), chain="A", number=100 + i, **water) for i in range(3)]
    atoms += [atom("O", (9, i, 9), chain="W", number=i, **water) for i in range(5)]
    atoms += [atom("C1", (5, 5, 5), residue="LIG", chain="A", number=300, hetero=True)]
    found = read_structures(write(WRITERS[kind](atoms), f"n.{kind}"))
    assert found.ids == ("n/A",)
    assert found[0].sequence == "GAG"
    reasons = {skipped.where: skipped.reason for skipped in found.skipped}
    assert reasons[f"n.{kind}: chain D"] == "not a protein: 2 residues of Dna"
    assert reasons[f"n.{kind}: chain W"] == "not a protein: 5 residues HOH"
    only = [a for a in atoms if a["chain"] != "A"]
    with pytest.raises(StructureError, match=r"no usable record: all 2 were .*not a protein"):
        read_structures(write(WRITERS[kind](only), f"o.{kind}"))


def test_first_model_alone(write, chains):
    atoms = atoms_of(chains[0].sequence, chains[0].backbone)
    found = read_structures(write(pdb_text(atoms, models=3)))
    assert len(found) == 1
    np.testing.assert_allclose(found[0].backbone, chains[0].backbone, atol=1e-9)


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "cif" else pytest.param(kind, marks=pytest.mark.slow) for kind in WRITERS],
)
def test_ten_thousand_residues(write, rng, kind):
    sequence = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 10_500))
    backbone = bonded(100)[np.arange(10_500) % 100]  # coordinates of the PDB format have 4 digits
    backbone[:, [0, 2, 3]] = np.nan
    found = read_structures(write(WRITERS[kind](atoms_of(sequence, backbone)), f"l.{kind}"))[0]
    assert found.sequence == sequence
    np.testing.assert_allclose(found.backbone, backbone, atol=1e-9)
    np.testing.assert_array_equal(found.residue_numbers, np.arange(1, 10_501))


def test_damaged_files(write, chains):
    atoms = atoms_of(chains[0].sequence, chains[0].backbone)
    pdb, cif = pdb_text(atoms), mmcif_text(atoms)
    lines = pdb.splitlines(keepends=True)
    starred = lines[9][:30] + "********" + lines[9][38:]
    cases = [
        ("".join(lines[:5]) + lines[5][:36], "t.pdb", r"line 6: '.*' is no coordinate.*cut off"),
        ("".join([*lines[:9], starred, *lines[10:]]), "s.pdb", r"line 10: '\*+'"),
        (cif[: len(cif) // 2].rsplit(" ", 3)[0], "t.cif", "Wrong number of values"),
        ("HEADER    A PROTEIN\nEND\n", "e.pdb", "no atoms in it"),
        ("data_X\n_entity_poly.type 'polypeptide(L)'\n", "e.cif", "0 data blocks have atoms"),
        (cif + mmcif_text(atoms, block="TWO"), "two.cif", "2 data blocks have atoms"),
        (pdb, "p.mmcif", "cannot be read"),
    ]
    for text, name, message in cases:
        for on_error in ("raise", "skip"):
            with pytest.raises(StructureError, match=message):
                read_structures(write(text, name), on_error=on_error)
    for name in ("g.pdb.gz", "g.cif.gz"):
        path = write(pdb, name)
        path.write_bytes(path.read_bytes()[:400])
        with pytest.raises(StructureError, match="damaged gzip"):
            read_structures(path)


def test_no_cut_of_a_file_gives_anything_but_structures_or_one_error(write, chains, rng):
    atoms = atoms_of(chains[0].sequence[:12], chains[0].backbone[:12])
    for name, text in (("c.pdb", pdb_text(atoms)), ("c.mmcif", mmcif_text(atoms))):
        for end in rng.choice(len(text), 60, replace=False).tolist():
            try:
                found = read_structures(write(text[:end] or "\n", name))
            except StructureError:
                continue
            rest = found[0].backbone
            assert np.isfinite(rest[:-1]).all()
            np.testing.assert_allclose(rest[:-1], chains[0].backbone[: len(rest) - 1], atol=1e-9)


def test_crystals_and_macromolecules_have_one_extension(write, monkeypatch):
    crystal = (
        "data_NaCl\n_symmetry_space_group_name_H-M 'P 1'\n_cell_length_a 4\n_cell_length_b 4\n"
        "_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "Na 0 0 0\nCl .5 .5 .5\n"
    )
    found = read_structures(write(crystal, "c.cif"))
    assert found[0].atomic_numbers.tolist() == [11, 17]
    protein = mmcif_text(atoms_of("GAG", bonded(3)))
    monkeypatch.setattr(chain_files, "_PIECE", 64)  # the mark lies across two pieces somewhere
    for padding in range(0, 64, 13):
        text = protein.replace("#", "#" + "x" * (500 + padding), 1)
        assert read_structures(write(text, "p.cif"))[0].sequence == "GAG"


def test_folders(write, tmp_path, chains):
    atoms = atoms_of("GAG", bonded(3))
    write(pdb_text(atoms), "b.pdb.gz")
    write(mmcif_text(atoms_of("AAA", bonded(3), chain="Z")), "a.cif")
    write("nothing of ours", "README.txt")
    write("data_x\n_cell_length_a 4\n", "crystal.cif")
    found = read_structures(tmp_path)
    assert found.ids == ("a/Z", "b/A")
    assert [s.group for s in found] == ["a", "b"]
    assert found.name == tmp_path.name
    lines = pdb_text(atoms).splitlines()
    write("\n".join([*lines[:3], lines[3][:40]]), "c.pdb")
    with pytest.raises(StructureError, match=r"c\.pdb: the file: line 4.*no coordinate.*on_error"):
        read_structures(tmp_path)
    found = read_structures(tmp_path, on_error="skip")
    assert found.ids == ("a/Z", "b/A")
    assert [s.where for s in found.skipped] == [f"{tmp_path.name}: c.pdb: the file"]
    with pytest.raises(ValueError, match="leave format out"):
        read_structures(tmp_path, format="pdb")
    write(pdb_text(atoms), "b.ent")
    with pytest.raises(StructureError, match=r"'b/A' names b\.ent: chain A and b\.pdb\.gz: chain"):
        read_structures(tmp_path, on_error="skip")


def test_without_gemmi_the_error_names_the_extra(write, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    for name in ("x.pdb", "x.mmcif"):
        with pytest.raises(StructureError, match=r"pip install 'jaxalign\[proteins\]'"):
            read_structures(write("ATOM", name))
