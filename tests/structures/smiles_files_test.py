import gzip
from pathlib import Path

import pytest
from rdkit import Chem, RDConfig, rdBase

from jaxalign.structures.readers import StructureError, read_structures
from jaxalign.types import JaxalignError


def read(tmp_path, filename, text, **settings):
    path = tmp_path / filename
    data = text.encode()
    path.write_bytes(gzip.compress(data) if filename.endswith(".gz") else data)
    return read_structures(path, **settings)


TABLE = "mol,SMILES,id,y,note,group\na,OCC,x1,1.5,hi,g\nb,C(C)C,x2,-2e3,,\nc,c1ccccc1,x3,,nan,g\n"


@pytest.mark.parametrize("name", ["m.csv", "m.csv.gz", "m.CSV"])
def test_table(tmp_path, name):
    found = read(tmp_path, name, TABLE)
    assert found.ids == ("x1", "x2", "x3")
    assert [s.smiles for s in found] == ["OCC", "C(C)C", "c1ccccc1"]  # as given
    assert [dict(s.labels) for s in found] == [{"y": 1.5}, {"y": -2000.0}, {}]
    assert [s.group for s in found] == ["g", None, "g"]
    assert all(s.atomic_numbers is None and s.positions is None for s in found)
    assert found.name == "m"
    assert found.skipped == ()


def test_tsv_and_byte_order_mark(tmp_path):
    found = read(tmp_path, "m.tsv", "\ufeffsmiles\tid\r\nCCO\ta b\r\n")
    assert (found.ids, found[0].smiles) == (("a b",), "CCO")


def test_quoted_cells_and_blank_lines(tmp_path):
    found = read(tmp_path, "m.csv", 'note,smiles\n"a,\nb",CCO\n\nc,CCC\n')
    assert found.ids == ("m/0", "m/1")


@pytest.mark.parametrize(
    "column", ["smiles", "SMILES", "Smiles", "canonical_smiles", "isomeric_smiles"]
)
def test_column_is_detected(tmp_path, column):
    assert read(tmp_path, "m.csv", f"q,{column}\n1,CCO\n")[0].smiles == "CCO"


def test_columns_asked_for_win(tmp_path):
    text = "smiles,other,id,name,parent\nC,CC,1,n1,p\n"
    found = read(
        tmp_path,
        "m.csv",
        text,
        smiles_column="other",
        id_column="name",
        group_column="id",
        name="mine",
    )
    assert (found[0].smiles, found[0].id, found[0].group, found.name) == ("CC", "n1", "1", "mine")


def test_columns_that_are_not_there(tmp_path):
    with pytest.raises(StructureError, match=r"\['a', 'b'\].*smiles_column="):
        read(tmp_path, "m.csv", "a,b\n1,2\n")
    for setting in ("smiles_column", "id_column", "group_column"):
        with pytest.raises(StructureError, match=r"no field 'zz'.*\['smiles', 'b'\]"):
            read(tmp_path, "m.csv", "smiles,b\nC,2\n", **{setting: "zz"})
    with pytest.raises(StructureError, match="unique"):
        read(tmp_path, "m.csv", "smiles,b,b\nC,2,3\n")


def test_smi(tmp_path):
    text = "CCO x1\nCCC\n\nCCN\twith blanks \t7\nCCCl   last one\n"
    found = read(tmp_path, "m.smi", text)
    assert found.ids == ("x1", "m/1", "with blanks", "last one")
    assert [s.smiles for s in found] == ["CCO", "CCC", "CCN", "CCCl"]
    assert read(tmp_path, "h.smi.gz", "SMILES name\nC a\n").ids == ("a",)


def test_a_bad_record_is_named(tmp_path, capfd):
    text = "smiles\nCCO\n\nC1CC\n"
    with pytest.raises(StructureError) as caught:
        read(tmp_path, "m.csv", text)
    message = str(caught.value)
    for part in ("m.csv", "record 1", "line 4", "'C1CC'", 'on_error="skip"'):
        assert part in message
    assert isinstance(caught.value, JaxalignError | ValueError)
    assert capfd.readouterr().err == ""  # RDKit itself is silent


def test_skipping_lists_and_never_renumbers(tmp_path, capfd):
    text = "smiles,id\nCCO,\nC1CC,bad1\n,bad2\nCN(C)(C)C,bad3\nCCC,\nC C,bad4\nCC,1,2\n"
    found = read(tmp_path, "m.csv", text, on_error="skip")
    assert found.ids == ("m/0", "m/4")
    assert [entry.where.split()[2] for entry in found.skipped] == ["1", "2", "3", "5", "6"]
    reasons = [entry.reason for entry in found.skipped]
    for reason, part in zip(
        reasons, ("syntax", "empty", "valence for atom # 1 N", "blanks", "3 cells"), strict=True
    ):
        assert part in reason
    assert capfd.readouterr().err == ""


def test_agrees_with_rdkit_on_what_is_readable(tmp_path):
    source = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    lines = source.read_text().splitlines()[2000:3400]
    found = read(tmp_path, "m.smi", "\n".join(lines), on_error="skip")
    with rdBase.BlockLogs():
        good = [line.split() for line in lines if Chem.MolFromSmiles(line.split()[0])]
    assert len(good) < len(lines)
    assert found.ids == tuple(identifier for _, identifier in good)
    assert [s.smiles for s in found] == [smiles for smiles, _ in good]


def test_duplicate_ids_name_both_records(tmp_path):
    text = "CCO a\nbad b\nCCC a\n"
    with pytest.raises(StructureError, match=r"'a' names record 0 .*record 2 \(line 3\)"):
        read(tmp_path, "m.smi", text, on_error="skip")


def test_nothing_usable(tmp_path):
    for text in ("", "\n \n"):
        with pytest.raises(StructureError, match="empty"):
            read(tmp_path, "m.smi", text)
    with pytest.raises(StructureError, match="no usable record"):
        read(tmp_path, "m.csv", "smiles,id\n")
    with pytest.raises(StructureError, match=r"all 2 were skipped, first: cannot read 'Q'"):
        read(tmp_path, "m.smi", "Q\nZ\n", on_error="skip")


def test_damaged_files(tmp_path):
    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress(b"smiles\n" + b"CCO\n" * 1000)[:-20])
    with pytest.raises(StructureError, match="damaged gzip"):
        read_structures(path)
    path.write_bytes(b"smiles\nCCO\n")
    with pytest.raises(StructureError, match="damaged gzip"):
        read_structures(path)
    binary = tmp_path / "m.csv"
    binary.write_bytes(b"\xff\xfe\x00smiles")
    with pytest.raises(StructureError, match="UTF-8"):
        read_structures(binary)


SELFIES = {"[C][C][O]": "CCO", "[C][=C][C][=C][C][=C][Ring1][=Branch1]": "C1=CC=CC=C1"}


def test_selfies_are_decoded(tmp_path):
    table, listed = tmp_path / "t.csv", tmp_path / "t.smi"
    table.write_text("id,SELFIES,mass\n" + "".join(f"m{i},{s},1\n" for i, s in enumerate(SELFIES)))
    listed.write_text("selfies id\n" + "".join(f"{s} m{i}\n" for i, s in enumerate(SELFIES)))
    for path in (table, listed):
        found = read_structures(path)
        assert [s.smiles for s in found] == list(SELFIES.values())
        assert found.ids == ("m0", "m1")
    assert read_structures(table)[0].labels == {"mass": 1.0}


def test_smiles_go_before_selfies_unless_asked_for(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("selfies,smiles\n[C][C][O],N\n")
    assert read_structures(path)[0].smiles == "N"
    assert read_structures(path, smiles_column="selfies")[0].smiles == "CCO"


def test_bad_selfies(tmp_path):
    path = tmp_path / "t.csv"
    for cell, reason in (("[C][Qq]", "not a SELFIES"), ('" "', "empty"), ("CCO", "not a SELFIES")):
        path.write_text(f"selfies\n[C]\n{cell}\n")
        with pytest.raises(StructureError, match=rf"record 1 \(line 3\).*{reason}"):
            read_structures(path)
        assert len(read_structures(path, on_error="skip")) == 1
