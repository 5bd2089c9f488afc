import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from jaxalign.embeddings.record import order_hash
from jaxalign.embeddings.store import EmbeddingStoreError, create_store, open_store
from jaxalign.models.card import ModelCard
from jaxalign.types import JaxalignError

CARD = ModelCard(
    id="toy", name="Toy", family="Toy", modality="graph", pretrained=True, layers=("a", "b")
)
INFO = {"layer": "a", "pooling": "mean", "dataset": "qm9", "skipped": [("r", "why")]}


def make(path, n=10, *, width=3, chunk_rows=4, **changes):
    settings = {"card": CARD, "info": INFO, "ids": [f"s/{i}" for i in range(n)], **changes}
    return create_store(path, width=width, chunk_rows=chunk_rows, **settings)


def fill(store, values):
    for start, stop in store.pending():
        store.write(start, values[start:stop])


def test_round_trip(tmp_path, rng):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(tmp_path / "new" / "store")
    assert store.pending() == [(0, 4), (4, 8), (8, 10)]
    assert not store.complete
    store.write(4, values[4:8])
    assert store.pending() == [(0, 4), (8, 10)]
    np.testing.assert_array_equal(store.read(5, 7), values[5:7])
    fill(store, values)
    assert store.complete
    loaded = open_store(store.path).load()
    np.testing.assert_array_equal(loaded.values, values)
    assert loaded.values.dtype == np.float32
    assert loaded.ids == tuple(f"s/{i}" for i in range(10))
    assert loaded.card == CARD
    assert loaded.info == {**INFO, "skipped": [["r", "why"]]}


def test_several_chunks_in_one_write(tmp_path, rng):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(tmp_path / "s")
    store.write(0, values[:8])
    store.write(8, values[8:])
    np.testing.assert_array_equal(open_store(tmp_path / "s").load().values, values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_and_special_values(tmp_path, dtype):
    values = np.array([[np.nan, -0.0], [np.inf, 1.5], [-np.nan, np.nan]], dtype=dtype)
    store = make(tmp_path / "s", n=3, width=2, chunk_rows=2, dtype=dtype)
    fill(store, values)
    assert open_store(tmp_path / "s").load().values.tobytes() == values.tobytes()


def test_files_are_plain_zarr_and_plain_hashes(tmp_path, rng):
    """Reads the store with json, hashlib and fromfile alone."""
    values = rng.normal(size=(10, 3)).astype(np.float32)
    fill(make(tmp_path / "s"), values)
    manifest = json.loads((tmp_path / "s/manifest.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("jaxalign-embeddings", 2)
    assert manifest["complete"] is True
    assert manifest["card"]["id"] == "toy"
    assert manifest["info"]["pooling"] == "mean"
    ids = json.loads((tmp_path / "s/ids.json").read_text())
    assert ids == [f"s/{i}" for i in range(10)]
    assert manifest["order_hash"] == order_hash(ids)
    for start in (0, 4, 8):
        digest = hashlib.sha256(values[start : start + 4].tobytes()).hexdigest()
        assert manifest["commits"][str(start)] == digest
    array = json.loads((tmp_path / "s/values/zarr.json").read_text())
    assert (array["zarr_format"], array["node_type"]) == (3, "array")
    assert (array["shape"], array["data_type"]) == ([10, 3], "float32")
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [4, 3]
    assert array["chunk_key_encoding"]["name"] == "default"
    assert array["codecs"] == [{"name": "bytes", "configuration": {"endian": "little"}}]
    chunks = [np.fromfile(tmp_path / f"s/values/c/{i}/0", dtype="<f4") for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(chunks).reshape(-1, 3)[:10], values)


def test_zarr_python_opens_it(tmp_path, rng):
    zarr = pytest.importorskip("zarr", minversion="3")
    values = rng.normal(size=(10, 3)).astype(np.float32)
    fill(make(tmp_path / "s"), values)
    array = zarr.open_array(str(tmp_path / "s" / "values"), mode="r")
    np.testing.assert_array_equal(array[:], values)


def test_resumes_where_it_stopped(tmp_path, rng):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    make(tmp_path / "s").write(4, values[4:8])
    again = make(tmp_path / "s")
    assert again.pending() == [(0, 4), (8, 10)]
    fill(again, values)
    assert make(tmp_path / "s").pending() == []
    np.testing.assert_array_equal(make(tmp_path / "s").load().values, values)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 4}, "width is 3 there, 4 now"),
        ({"chunk_rows": 5}, "chunk_rows is 4 there, 5 now"),
        ({"dtype": "float16"}, 'dtype is "float32" there, "float16" now'),
        ({"ids": [f"s/{i}" for i in range(9, -1, -1)]}, "order_hash is"),
        ({"info": {**INFO, "pooling": "sum"}}, 'info.pooling is "mean" there, "sum" now'),
        (
            {"card": ModelCard(**{**CARD.to_json(), "id": "toy-2", "layers": ("a", "b")})},
            'card.id is "toy" there, "toy-2" now',
        ),
    ],
)
def test_another_store_at_the_path_is_refused(tmp_path, change, named):
    make(tmp_path / "s")
    with pytest.raises(EmbeddingStoreError) as caught:
        make(tmp_path / "s", **change)
    assert named in str(caught.value)
    assert "pooling" in str(caught.value) or "pooling" not in named
    assert open_store(tmp_path / "s").pending()  # untouched


def test_foreign_directories_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(EmbeddingStoreError, match=r"holds \['thesis.tex'\]"):
        make(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(EmbeddingStoreError, match="not an embedding store"):
        open_store(tmp_path)
    with pytest.raises(EmbeddingStoreError, match="not an embedding store"):
        open_store(tmp_path / "nothing")


def test_incomplete_rows_are_never_read(tmp_path, rng):
    store = make(tmp_path / "s")
    store.write(0, rng.normal(size=(4, 3)).astype(np.float32))
    store.read(0, 4)
    for read in (lambda: store.read(3, 5), lambda: open_store(tmp_path / "s").load()):
        with pytest.raises(EmbeddingStoreError, match=r"rows 4:8 are not computed yet.*resume"):
            read()


def test_bad_writes(tmp_path):
    store = make(tmp_path / "s")
    for start, rows in ((1, 4), (0, 3), (4, 6 + 1), (8, 4), (-4, 4), (0, 0)):
        with pytest.raises(ValueError, match=r"whole chunks of 4 rows"):
            store.write(start, np.zeros((rows, 3), np.float32))
    with pytest.raises(ValueError, match=r"expected \[rows, 3\] float32, got .* float64"):
        store.write(0, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"expected \[rows, 3\]"):
        store.write(0, np.zeros((4, 2), np.float32))
    assert store.pending() == [(0, 4), (4, 8), (8, 10)]
    for change in ({"ids": []}, {"ids": ["a", "a"]}, {"dtype": "int32"}, {"width": 0}):
        with pytest.raises(ValueError):
            make(tmp_path / "t", **change)
    with pytest.raises(ValueError, match="plain values"):
        make(tmp_path / "t", info={"x": object()})
    assert not (tmp_path / "t").exists()


def flip(path):
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


def truncate(path):
    os.truncate(path, path.stat().st_size - 7)


@pytest.mark.parametrize("damage", [flip, truncate, os.unlink])
def test_damage_is_found_named_and_mended(tmp_path, rng, damage):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(tmp_path / "s")
    fill(store, values)
    damage(tmp_path / "s/values/c/1/0")
    with pytest.raises(EmbeddingStoreError, match=r"chunk of rows 4:8 is damaged.*embed"):
        open_store(tmp_path / "s").load()
    assert open_store(tmp_path / "s").damaged_chunks() == [(4, 8)]
    with pytest.warns(UserWarning, match="rows 4:8 no longer have"):
        again = make(tmp_path / "s")
    assert again.pending() == [(4, 8)]
    fill(again, values)
    np.testing.assert_array_equal(open_store(tmp_path / "s").load().values, values)


def test_damaged_descriptions(tmp_path, rng):
    fill(make(tmp_path / "s"), rng.normal(size=(10, 3)).astype(np.float32))
    manifest, ids = tmp_path / "s/manifest.json", tmp_path / "s/ids.json"
    good = json.loads(manifest.read_text())
    for text, message in (
        (manifest.read_text()[:50], "damaged"),
        (json.dumps({**good, "version": 3}), "store written by a newer version .*version 3.*2"),
        (json.dumps({**good, "version": "x"}), "unknown store version 'x'"),
        (json.dumps({"a": 1}), "not the manifest"),
        (json.dumps({**good, "shape": 1, "rows": 11}), "not the array"),
    ):
        manifest.write_text(text)
        with pytest.raises(EmbeddingStoreError, match=message):
            open_store(tmp_path / "s")
    manifest.write_text(json.dumps(good))
    ids.write_text(json.dumps([f"t/{i}" for i in range(10)]))
    with pytest.raises(EmbeddingStoreError, match=r"ids.json: damaged.*embed again"):
        open_store(tmp_path / "s")


def test_stores_of_the_previous_layout_open_and_resume(tmp_path, rng):
    """Version 1 had all commits in the manifest, also those of an unfinished store."""
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(tmp_path / "s")
    store.write(0, values[:4])
    path = tmp_path / "s/manifest.json"
    old = json.loads(path.read_text()) | {"version": 1}
    old["commits"] = {"0": hashlib.sha256(values[:4].tobytes()).hexdigest()}
    path.write_text(json.dumps(old))
    shutil.rmtree(tmp_path / "s/commits")
    np.testing.assert_array_equal(open_store(tmp_path / "s").read(0, 4), values[:4])
    again = make(tmp_path / "s")
    assert again.pending() == [(4, 8), (8, 10)]
    fill(again, values)
    np.testing.assert_array_equal(open_store(tmp_path / "s").load().values, values)
    assert json.loads(path.read_text())["version"] == 2


def test_writers_do_not_touch_each_others_commits(tmp_path, rng):
    """Two stores that were opened at once, as two processes have them."""
    values = rng.normal(size=(10, 3)).astype(np.float32)
    one, other = make(tmp_path / "s"), make(tmp_path / "s")
    one.write(0, values[:4])
    other.write(8, values[8:])
    assert open_store(tmp_path / "s").pending() == [(4, 8)]
    assert json.loads((tmp_path / "s/manifest.json").read_text())["commits"] == {}
    one.write(4, values[4:8])
    assert not one.complete  # as far as it knows
    one.refresh()
    assert one.complete
    one.finish()
    assert json.loads((tmp_path / "s/manifest.json").read_text())["complete"] is True
    assert list((tmp_path / "s/commits").iterdir()) == []
    np.testing.assert_array_equal(open_store(tmp_path / "s").load().values, values)


def test_a_commit_that_cannot_be_read_commits_nothing(tmp_path, rng):
    store = make(tmp_path / "s")
    store.write(0, rng.normal(size=(8, 3)).astype(np.float32))
    for text in ("", "{", "[1]", '{"sha256": 3}'):
        (tmp_path / "s/commits/4.json").write_text(text)
        assert open_store(tmp_path / "s").pending() == [(4, 8), (8, 10)]


def test_revoke(tmp_path, rng):
    store = make(tmp_path / "s")
    fill(store, rng.normal(size=(10, 3)).astype(np.float32))
    store.revoke(4)
    assert open_store(tmp_path / "s").pending() == [(4, 8)]
    with pytest.raises(ValueError, match="row 5"):
        store.revoke(5)


def test_fifty_thousand_ids_stay_quick(tmp_path):
    ids = [f"qm9/{i}" for i in range(50_000)]
    began = time.perf_counter()
    store = make(tmp_path / "s", ids=ids, width=2, chunk_rows=1024)
    for start, stop in store.pending()[:10]:
        store.write(start, np.zeros((stop - start, 2), np.float32))
    seconds = time.perf_counter() - began
    assert (tmp_path / "s/manifest.json").stat().st_size < 20_000
    assert open_store(tmp_path / "s").ids == tuple(ids)
    assert seconds < 10


# Kills. The child writes a store and kills itself at a chosen point of a chosen commit.

CHILD = """
    import os, signal, sys
    import numpy as np
    path, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import jaxalign.embeddings.stored as stored
    from jaxalign.embeddings.location import Location
    from jaxalign.embeddings.store import create_store
    from jaxalign.models.card import ModelCard

    def at(call, function, last_act):
        # the given call is replaced by a last act and death
        state = {"left": call}
        def wrapped(*args, **kwargs):
            state["left"] -= 1
            if state["left"] == 0:
                last_act(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return wrapped

    def nothing(*args, **kwargs):
        pass

    def start_writing(array, start, values):
        array._array[start : start + len(values)].write(values)  # not waited for

    def start_putting(location, name, content):
        location._store.write(name, content)  # not waited for

    def half(location, name, content):
        # what dies with its writer: a file under the name that the key-value store uses meanwhile
        with open(f"{location}/{name}.__lock", "wb") as file:
            file.write(content[: len(content) // 2])

    if where == "before-commit":
        stored.write_commits = at(count, stored.write_commits, nothing)
    elif where == "during-data":
        stored.ChunkedArray.write = at(count, stored.ChunkedArray.write, start_writing)
    elif where == "before-gathering":
        stored.clear_commits = at(count, stored.clear_commits, nothing)
    elif where == "half-gathered":
        half_of = lambda location: location.remove(location.names("commits")[:3])
        stored.clear_commits = at(count, stored.clear_commits, half_of)
    else:
        act = {"before-put": nothing, "during-put": start_putting, "half-put": half}
        act["after-put"] = Location.write
        if where in act:
            Location.write = at(count, Location.write, act[where])

    values = np.random.default_rng(7).normal(size=(50, 64)).astype(np.float32)
    store = create_store(
        path, ids=[str(i) for i in range(50)], width=64, info={}, chunk_rows=8,
        card=ModelCard(id="m", name="m", family="m", modality="graph", pretrained=True),
    )
    for start, stop in store.pending():
        store.write(start, values[start:stop])
"""


def run_child(path, where, count):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(path), where, str(count)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("before-commit", 3),
        ("during-data", 3),
        ("before-put", 1),  # ids
        ("before-put", 2),  # first manifest, the array exists
        ("half-put", 5),
        ("after-put", 5),
        ("during-put", 10),  # the manifest that gathers all commits
        ("before-gathering", 1),  # that manifest stands, and the commits still have their files
        ("half-gathered", 1),
    ],
)
def test_a_kill_leaves_the_old_or_the_new_state(tmp_path, where, count):
    values = np.random.default_rng(7).normal(size=(50, 64)).astype(np.float32)
    path = tmp_path / "s"
    killed = run_child(path, where, count)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if (path / "manifest.json").exists():
        store = open_store(path)
        assert store.pending() or where in ("during-put", "before-gathering", "half-gathered")
        assert store.damaged_chunks() == []
        for start, stop in set(store._manifest.chunks()) - set(store.pending()):
            np.testing.assert_array_equal(store.read(start, stop), values[start:stop])
    for folder in (path, tmp_path / "whole"):
        card = ModelCard(id="m", name="m", family="m", modality="graph", pretrained=True)
        ids = [str(i) for i in range(50)]
        fill(create_store(folder, ids=ids, width=64, info={}, chunk_rows=8, card=card), values)
    assert open_store(path).load().values.tobytes() == values.tobytes()
    # What a whole run leaves and a resumed one leaves are the same.
    assert files(path) == files(tmp_path / "whole")


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    # A lock that a killed writer left is of no account.
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not path.name.endswith("__lock")
    }


def test_an_uncommitted_half_written_chunk_is_computed_again(tmp_path, rng):
    values = rng.normal(size=(10, 3)).astype(np.float32)
    store = make(tmp_path / "s")
    store.write(0, values[:4])
    half = tmp_path / "s/values/c/1"
    half.mkdir(parents=True)
    (half / "0").write_bytes(b"\x00" * 17)
    (half / "0.__lock").write_bytes(b"\x00" * 5)  # what a killed writer may leave
    again = make(tmp_path / "s")
    assert again.pending() == [(4, 8), (8, 10)]
    fill(again, values)
    np.testing.assert_array_equal(open_store(tmp_path / "s").load().values, values)


def test_places_that_cannot_be_written(tmp_path, rng):
    (tmp_path / "file").write_text("x")
    with pytest.raises(JaxalignError, match="cannot"):
        make(tmp_path / "file" / "store")
    store = make(tmp_path / "s")
    (tmp_path / "s/values/c").write_text("a file where a folder should be")
    with pytest.raises(JaxalignError, match=r"cannot write .*Not a directory.*choose"):
        store.write(0, rng.normal(size=(4, 3)).astype(np.float32))
    assert len(store.pending()) == 3
    assert len(open_store(tmp_path / "s").pending()) == 3
    os.unlink(tmp_path / "s/values/c")
    (tmp_path / "s/commits").write_text("another")
    with pytest.raises(JaxalignError, match=r"cannot write .*Not a directory"):
        store.write(0, rng.normal(size=(4, 3)).astype(np.float32))
    os.unlink(tmp_path / "s/commits")
    assert len(open_store(tmp_path / "s").pending()) == 3


def test_read_only_directory(tmp_path):
    """A child without privileges, since the superuser may write everywhere."""
    code = """
        import os, sys
        import tensorstore
        from jaxalign.embeddings.store import create_store
        from jaxalign.models.card import ModelCard
        from jaxalign.types import JaxalignError
        os.chdir(sys.argv[1])
        os.chmod(".", 0o555)
        if os.geteuid() == 0:
            os.setgid(65534); os.setuid(65534)
        card = ModelCard(id="m", name="m", family="m", modality="graph", pretrained=True)
        try:
            create_store("s", ids=["a"], width=1, card=card, info={})
        except JaxalignError as error:
            print(error)
            raise SystemExit(7)
    """
    target = tmp_path / "read-only"
    target.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(code), str(target)]
    if os.geteuid() == 0:  # the child must be able to look up its working directory
        shared = Path(tempfile.gettempdir()).resolve()
        for folder in (target, *target.parents):
            if shared in folder.resolve().parents:
                folder.chmod(0o755)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot write" in done.stdout
    assert "choose" in done.stdout
    assert not list(target.iterdir())
