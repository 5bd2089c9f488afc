"""Zip files with tricks: each is refused with one clear error, and costs little."""

import io
import stat
import struct
import tracemalloc
import zipfile

import pytest

from jaxalign.archives import zip_files
from jaxalign.archives.entries import list_entries, read_entry
from jaxalign.archives.fetch import ArchiveError
from jaxalign.archives.zip_files import ZipError, open_zip, printable
from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint


def zipped(*entries, method=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_mode(mode: int) -> bytes:
    info = zipfile.ZipInfo("pkg/weights.bin")
    info.external_attr = mode << 16
    return zipped((info, b"/etc/passwd"))


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """Overwrites a field of the directory's only record."""
    start = data.index(b"PK\x01\x02")
    return data[: start + offset] + value + data[start + offset + len(value) :]


ONE = zipped(("pkg/weights.bin", b"0123456789"))
HOSTILE = {
    "parent": (zipped(("../../weights.bin", b"x")), "leads out"),
    "parent inside": (zipped(("pkg/../../weights.bin", b"x")), "leads out"),
    "absolute": (zipped(("/etc/passwd", b"x")), "leads out"),
    "backslashes": (ONE.replace(b"pkg/weights.bin", b"..\\aweights.bin"), "leads out"),
    "drive": (ONE.replace(b"pkg/weights.bin", b"C:g/weights.bin"), "leads out"),
    "link": (with_mode(stat.S_IFLNK | 0o777), "link or a device"),
    "device": (with_mode(stat.S_IFCHR | 0o666), "link or a device"),
    "encrypted": (patched(ONE, 8, b"\x01\x00"), "encrypted"),
    "bzip2": (zipped(("pkg/weights.bin", b"x" * 99), method=zipfile.ZIP_BZIP2), "method 12"),
    "lzma": (zipped(("pkg/weights.bin", b"x" * 99), method=zipfile.ZIP_LZMA), "method 14"),
    "larger than the archive": (patched(ONE, 20, struct.pack("<L", 2**31)), "claims more bytes"),
    "a longer entry": (patched(ONE, 24, struct.pack("<L", 11)), "damaged"),
    "a shorter entry": (patched(ONE, 24, struct.pack("<L", 9)), "damaged"),
    "another checksum": (patched(ONE, 16, b"abcd"), "damaged"),
    "cut": (ONE[:-1], "no sound zip file"),
    "nothing": (b"", "no sound zip file"),
}


@pytest.mark.parametrize(("data", "match"), HOSTILE.values(), ids=HOSTILE)
def test_tricks_are_refused(data, match, tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=match):
        _ = [read_entry(path, name) for name in list_entries(path)]
    # The same trick in a weight file.
    with pytest.raises(CheckpointError):
        read_checkpoint(data, format="npz")


def test_two_entries_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a", b"1"), ("a", b"2"))
    (tmp_path / "a.whl").write_bytes(data)
    with pytest.raises(ArchiveError, match="same name, 'a'"):
        read_entry(tmp_path / "a.whl", "a")


def test_a_bomb_that_lies_makes_no_more_than_it_declares():
    """50 MB of zeros whose directory declares 1,000 bytes."""
    data = zipped(("x.npy", bytes(50 * 2**20)), method=zipfile.ZIP_DEFLATED)
    data = data.replace(struct.pack("<L", 50 * 2**20), struct.pack("<L", 1000))
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_checkpoint(data, format="npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_an_endless_directory_is_not_listed(monkeypatch):
    data = zipped(*((f"entry{number}", b"") for number in range(50)))
    with open_zip(data) as archive:
        assert len(archive.entries) == 50
    monkeypatch.setattr(zip_files, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(ZipError, match="directory claims"), open_zip(data):
        pass


def test_a_message_is_one_line_without_control_characters():
    assert printable("a\x1b[31m\nb\ud800c") == "a [31m b c"
    assert len(printable("x" * 10_000)) < 500
