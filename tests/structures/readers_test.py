import pytest

from jaxalign.structures.readers import FORMATS, StructureError, read_structures


def test_unknown_extension_lists_the_known(tmp_path):
    path = tmp_path / "m.docx"
    path.write_text("x")
    with pytest.raises(StructureError) as caught:
        read_structures(path)
    for part in ("'.docx'", ".csv", ".smi", ".sdf", ".extxyz", "POSCAR", ".gz", "format="):
        assert part in str(caught.value)


def test_format_overrides_the_name(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text("CCO a\n")
    assert read_structures(path, format="smi").ids == ("a",)
    with pytest.raises(ValueError, match="unknown format 'docx'") as caught:
        read_structures(path, format="docx")
    assert all(format in str(caught.value) for format in FORMATS)


@pytest.mark.parametrize("extension", [".pkl", ".pickle", ".pt", ".pth", ".lmdb"])
def test_pickles_are_refused_unopened(tmp_path, extension):
    path = tmp_path / f"m{extension}"
    path.write_bytes(b"\x80\x04.")
    for target in (path, path.with_name(f"folder{extension}")):
        target.mkdir(exist_ok=True) if target != path else None
        with pytest.raises(StructureError, match=r"runs whatever code.*extended xyz"):
            read_structures(target)


def test_missing_empty_and_directory(tmp_path):
    with pytest.raises(StructureError, match="no such file"):
        read_structures(tmp_path / "m.csv")
    (tmp_path / "m.xyz").touch()
    with pytest.raises(StructureError, match="the file is empty"):
        read_structures(tmp_path / "m.xyz")
    with pytest.raises(StructureError, match="this is a directory without PDB"):
        read_structures(tmp_path)


def test_arguments(tmp_path):
    path = tmp_path / "m.smi"
    path.write_text("C\n")
    with pytest.raises(ValueError, match=r'"raise" or "skip": got \'ignore\''):
        read_structures(path, on_error="ignore")
    with pytest.raises(ValueError, match="smi files have no use for id_column"):
        read_structures(path, id_column="x")


def test_accepts_strings(tmp_path):
    path = tmp_path / "m.smi"
    path.write_text("C\n")
    assert read_structures(str(path)).ids == ("m/0",)
