import os
from pathlib import Path

import pytest

from jaxalign.archives.atomic import StorageError
from jaxalign.archives.cache import cache_folder, cache_root


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.delenv("JAXALIGN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_the_variables_in_their_order(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "jaxalign"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "jaxalign"
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    assert os.listdir(tmp_path) == []  # asking creates nothing


def test_empty_and_relative_values(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAXALIGN_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == tmp_path / ".cache" / "jaxalign"
    monkeypatch.setenv("JAXALIGN_CACHE", "~/own")
    assert cache_root() == tmp_path / "own"
    monkeypatch.setenv("JAXALIGN_CACHE", "own")
    assert cache_root() == Path.cwd() / "own"


def test_no_home_names_the_variable(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(StorageError, match="set JAXALIGN_CACHE"):
        cache_root()


def test_the_folder_is_created(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_folder("archives") == tmp_path / "deep" / "cache" / "archives"
    assert cache_folder("archives").is_dir()


def test_a_file_in_the_way_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StorageError, match=r"cache/archives: .*set JAXALIGN_CACHE"):
        cache_folder("archives")


def test_a_folder_without_write_permission_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(StorageError, match=r"permission denied; set JAXALIGN_CACHE"):
        cache_folder("archives")
