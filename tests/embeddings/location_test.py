"""Stores away from the file system: everything goes through tensorstore's key-value stores."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.embeddings import location as places
from jaxalign.embeddings.formats import EmbeddingFileError, read_embedding_collection
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.store import create_store, open_store
from jaxalign.models.card import ModelCard
from jaxalign.types import JaxalignError
from tests.embeddings.object_server import object_server

CARD = ModelCard(id="toy", name="Toy", family="", modality="", pretrained=True)


@pytest.fixture(scope="module")
def server():
    with object_server() as running:
        yield running


@pytest.fixture(params=["memory", "s3", "gs"])
def root(request, server, monkeypatch, tmp_path):
    """A fresh remote folder; the working directory is an empty one that stays empty."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield f"{request.param}://bucket/{tmp_path.name}"
    assert list(tmp_path.iterdir()) == []


def make(path, *, n=10, chunk_rows=4, **changes):
    ids = [f"s{i}" for i in range(n)]
    settings = {"ids": ids, "width": 3, "card": CARD, "info": {}, **changes}
    return create_store(path, chunk_rows=chunk_rows, **settings)


def test_a_store_is_made_resumed_checked_and_read(root, rng):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(f"{root}/a")
    assert store.path == f"{root}/a"
    store.write(4, values[4:8])
    again = make(f"{root}/a")
    assert again.pending() == [(0, 4), (8, 10)]
    for start, stop in again.pending():
        again.write(start, values[start:stop])
    assert (open_store(f"{root}/a").complete, Location(f"{root}/a").names("commits")) == (True, [])
    np.testing.assert_array_equal(ja.read_embeddings(f"{root}/a").values, values)
    with pytest.raises(EmbeddingStoreError, match="holds other embeddings: width"):
        make(f"{root}/a", width=4)
    # Damage is found, named and mended.
    place, chunk = Location(f"{root}/a"), "values/c/1/0"
    content = bytearray(place.read(chunk))
    content[5] ^= 1
    place.write(chunk, bytes(content))
    with pytest.raises(EmbeddingStoreError, match="rows 4:8 is damaged"):
        ja.read_embeddings(f"{root}/a", in_memory=False)
    with pytest.warns(UserWarning, match="rows 4:8 no longer have"):
        assert make(f"{root}/a").pending() == [(4, 8)]


def test_embed_and_align_remote_stores(root):
    molecules = ja.load_dataset("qm9", n=30, seed=2)
    for computed in (30, 0):
        found = ja.embed("atom-count", molecules, store=f"{root}/m/atom-count")
        assert found.info["rows_computed"] == computed
    ja.embed("composition", molecules, store=f"{root}/m/composition", in_memory=False)
    models = read_embedding_collection(f"{root}/m", in_memory=False)
    assert list(models) == ["atom-count", "composition"]
    assert models["composition"].info["source"] == "composition"
    np.testing.assert_array_equal(models["atom-count"].raw.read(0, 30), found.values)
    assert ja.align(models, metrics=("mutual_knn",), k=3).table["value"].between(0, 1).all()
    with pytest.raises(EmbeddingFileError, match="no embedding store"):
        read_embedding_collection(f"{root}/other")


def test_foreign_objects_are_left_alone(root):
    Location(f"{root}/b").write("thesis.tex", b"x")
    with pytest.raises(EmbeddingStoreError, match=r"holds \['thesis.tex'\]"):
        make(f"{root}/b")
    assert Location(f"{root}/b").names() == ["thesis.tex"]
    with pytest.raises(EmbeddingStoreError, match=r"not an embedding store .*manifest.json"):
        open_store(f"{root}/b")


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_what_is_wrong_is_said_in_plain_words(server, monkeypatch, scheme):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(JaxalignError, match=rf"{scheme}://nowhere/a: there is no bucket 'nowhere'"):
        make(f"{scheme}://nowhere/a")
    for text in (f"{scheme}://bucket", f"{scheme}://bucket/", f"{scheme}:///a"):
        with pytest.raises(EmbeddingStoreError, match="name a bucket and a folder in it"):
            make(text)


def test_refused_and_unreachable_services(server, monkeypatch):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone-else")
    monkeypatch.setattr(places, "context", places.ts.Context)  # keys are read once a context
    with pytest.raises(EmbeddingStoreError, match=r"access was refused.*AWS_ACCESS_KEY_ID"):
        open_store("s3://bucket/a")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setattr(places, "_PATIENCE", 0.5)
        with pytest.raises(EmbeddingStoreError, match=r"cannot be reached.*endpoint.*credentials"):
            open_store("s3://bucket/a")


def test_paths_and_urls(tmp_path):
    assert Location(Path("s3://bucket/a/b")).path == "s3://bucket/a/b"  # pathlib drops a slash
    local = Location(f"file://{tmp_path}/a")
    assert (local.remote, local.path, local.name) == (False, tmp_path / "a", "a")
    assert Location("a").path == Path("a")
    assert Location("s3:a").path == Path("s3:a")
    assert str(Location("gs://b/c/") / "d") == "gs://b/c/d"
    here = os.getcwd()
    relative = Location("x")
    assert relative.kvstore("values") == {"driver": "file", "path": f"{here}/x/values/"}


def test_reading_what_is_not_there(tmp_path):
    place = Location(tmp_path)
    assert place.read("a") is None
    place.write("folder/b", b"1")
    place.write("folder/c", b"2")
    assert place.names() == ["folder/b", "folder/c"]
    assert place.read_all(["folder/c", "folder/d", "folder/b"]) == [b"2", None, b"1"]
    assert place.entries() == ["folder"]
    place.remove(["folder/b", "folder/z"])
    assert place.names("folder") == ["folder/c"]
    assert (Location(tmp_path / "none").names(), Location(tmp_path / "none").entries()) == ([], [])
