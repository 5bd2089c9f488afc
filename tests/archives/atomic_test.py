import errno
import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxalign.archives import atomic
from jaxalign.archives.atomic import StorageError, atomic_write, write_json
from jaxalign.types import JaxalignError


def test_bytes_and_text_appear_whole(tmp_path):
    with atomic_write(tmp_path / "a" / "b.bin") as file:
        file.write(b"\x00\r\n")
        assert not (tmp_path / "a" / "b.bin").exists()
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\x00\r\n"
    with atomic_write(tmp_path / "c.txt", mode="w") as file:
        file.write("Å\n")
    assert (tmp_path / "c.txt").read_bytes() == "Å\n".encode()
    assert sorted(os.listdir(tmp_path)) == ["a", "c.txt"]


def test_numpy_writes_into_it(tmp_path, rng):
    values = rng.standard_normal((3, 4))
    with atomic_write(tmp_path / "x.npz") as file:
        np.savez(file, values=values)
    with np.load(tmp_path / "x.npz") as stored:
        np.testing.assert_array_equal(stored["values"], values)


def test_an_exception_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail_half_way():
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_an_error_of_the_block_that_is_not_about_the_disk_passes(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x"):
        (tmp_path / "missing").read_bytes()
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from jaxalign.archives.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_a_symbolic_link_stays_and_its_target_changes(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link", mode="w") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_the_file_obeys_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "x", {})
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_read_only_folder_is_one_clear_error(tmp_path):
    # In a child, which gives up root's right to write everywhere.
    code = """
        import os, sys
        from jaxalign.archives.atomic import StorageError, write_json
        os.chdir(sys.argv[1])
        os.chmod(".", 0o555)
        if os.geteuid() == 0:
            os.setgid(65534); os.setuid(65534)
        try:
            write_json("x", {})
        except StorageError as error:
            print(error)
            raise SystemExit(7)
    """
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() == 0:  # the child must be able to look up its working directory
        for parent in (folder, *list(folder.parents)[:3]):
            parent.chmod(0o755)
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    folder.chmod(0o755)
    assert done.returncode == 7, done.stderr
    assert re.search(r"cannot write .*x.*choose a place", done.stdout)
    assert not list(folder.iterdir())


def test_a_folder_or_file_in_the_way_is_one_clear_error(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Is a directory"):
        write_json(tmp_path / "folder", {})
    with pytest.raises(StorageError, match=r"cannot write .*file/x"):
        write_json(tmp_path / "file" / "x", {})
    assert issubclass(StorageError, JaxalignError)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_file_system_is_one_clear_error(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "open", refuse)
    with pytest.raises(StorageError, match=os.strerror(code)):
        write_json(tmp_path / "x", {})


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        write_json(tmp_path / "x", {})
    assert os.listdir(tmp_path) == []


def test_a_failed_rename_is_one_clear_error(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

    monkeypatch.setattr(atomic.os, "replace", refuse)
    with pytest.raises(StorageError, match="not permitted"):
        write_json(tmp_path / "x", {})
    assert os.listdir(tmp_path) == []


def test_other_modes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mode must be"), atomic_write(tmp_path / "x", mode="a"):
        pass


def test_json_takes_numpy_values_and_paths(tmp_path):
    record = {"n": np.int64(3), "x": np.array([1.5, 2.0]), "p": tmp_path, "s": "Å", "nan": np.nan}
    write_json(tmp_path / "x.json", record)
    stored = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert np.isnan(stored.pop("nan"))
    assert stored == {"n": 3, "x": [1.5, 2.0], "p": str(tmp_path), "s": "Å"}


def test_json_of_a_foreign_object_writes_nothing(tmp_path):
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(TypeError, match="cannot write a object as JSON"):
        write_json(tmp_path / "x.json", {"a": object()})
    assert (tmp_path / "x.json").read_text() == "old"
