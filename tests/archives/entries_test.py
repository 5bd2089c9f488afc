import hashlib
import io
import os
import struct
import tracemalloc
import zipfile

import pytest

from jaxalign.archives.entries import list_entries, read_entry
from jaxalign.archives.fetch import ArchiveError


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/folder/", "")
        archive.writestr("pkg/models/model_0.pt", b"0123456789")
        archive.writestr("pkg/models/model_1.pt", b"abc")
    return path


def test_reads_and_lists(wheel):
    assert read_entry(wheel, "pkg/models/model_0.pt") == b"0123456789"
    assert read_entry(str(wheel), "pkg/models/model_0.pt", max_bytes=10) == b"0123456789"
    names = ("pkg/models/model_0.pt", "pkg/models/model_1.pt")
    assert list_entries(wheel) == names


def test_nothing_is_ever_extracted(wheel, tmp_path):
    for name in list_entries(wheel):
        read_entry(wheel, name)
    assert os.listdir(tmp_path) == ["a.whl"]


def test_an_absent_entry_names_the_nearest(wheel):
    with pytest.raises(ArchiveError, match=r"no entry 'model_1.pt'; .*pkg/models/model_1.pt$"):
        read_entry(wheel, "model_1.pt")
    with pytest.raises(ArchiveError, match=r"nearest are pkg/models/model_\d.pt"):
        read_entry(wheel, "pkg/models/model_7.pt")
    with pytest.raises(ArchiveError, match="it holds 3 others"):
        read_entry(wheel, "zzz")


def test_a_large_entry_is_refused(wheel):
    with pytest.raises(ArchiveError, match=r"has 10 bytes, at most 9 .*max_bytes"):
        read_entry(wheel, "pkg/models/model_0.pt", max_bytes=9)


def test_the_hash_of_an_entry(wheel):
    right = hashlib.sha256(b"abc").hexdigest()
    assert read_entry(wheel, "pkg/models/model_1.pt", sha256=right) == b"abc"
    with pytest.raises(ArchiveError, match=f"has SHA-256 {right}, expected 00"):
        read_entry(wheel, "pkg/models/model_1.pt", sha256="0" * 64)


def test_a_bomb_that_lies_about_its_size(tmp_path):
    """100 MB of zeros whose headers claim 1,000 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x", "w", force_zip64=False) as entry:
            for _ in range(100):
                entry.write(bytes(2**20))
        size = archive.getinfo("x").file_size
    data = buffer.getvalue().replace(struct.pack("<L", size), struct.pack("<L", 1000))
    path = tmp_path / "bomb.whl"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ArchiveError):
        read_entry(path, "x", max_bytes=10**6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_a_bomb_that_tells_its_size(tmp_path):
    path = tmp_path / "bomb.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(50 * 2**20))
    with pytest.raises(ArchiveError, match="52,428,800 bytes"):
        read_entry(path, "x", max_bytes=10**6)


def test_an_absent_or_foreign_file(tmp_path):
    with pytest.raises(ArchiveError, match="there is no archive"):
        read_entry(tmp_path / "x.whl", "x")
    (tmp_path / "x.whl").write_bytes(b"not a zip file")
    with pytest.raises(ArchiveError, match="as a zip archive"):
        read_entry(tmp_path / "x.whl", "x")


def test_every_damaged_byte_is_an_error_or_harmless(wheel, tmp_path, rng):
    """The CRC guards the content; flips elsewhere may move or rename what is not asked for."""
    good = wheel.read_bytes()
    name, content = "pkg/models/model_0.pt", b"0123456789"
    damaged = 0
    for position in range(len(good)):
        data = bytearray(good)
        data[position] ^= 1 << int(rng.integers(8))
        path = tmp_path / "bad.whl"
        path.write_bytes(data)
        try:
            assert read_entry(path, name) == content
        except ArchiveError:
            damaged += 1
    assert damaged > 50
    for length in range(len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(ArchiveError):
            read_entry(path, name)
