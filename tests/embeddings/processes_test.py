"""Two real processes embed into one store, and read it: the same numbers as one process."""

import json

import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.embeddings.preprocess import Normalizer
from jaxalign.embeddings.sources import ArrayRows, scan
from jaxalign.embeddings.store import open_store
from tests.embeddings import toys
from tests.embeddings.object_server import object_server
from tests.multiprocess.cluster import Cluster, run_cluster

# Each part prints one line of JSON; both processes must print the same.
WORK = """
    import json, sys, warnings
    import numpy as np
    from jaxalign.embeddings import preprocess, sources
    from jaxalign.embeddings.array_files import read_embeddings
    from jaxalign.embeddings.extract import embed_structures
    from jaxalign.embeddings.own_function import as_encoder
    from jaxalign.embeddings.store import open_store
    from jaxalign.parallel import blocks
    from tests.embeddings import toys

    folder, seed = sys.argv[1], int(sys.argv[2])
    blocks._ROWS = 16
    structures = toys.strings(103, seed)

    def embed(name, encoder, **options):
        path = name and f"{folder}/{name}"
        try:
            found = embed_structures(
                encoder, structures, store_path=path, chunk_rows=10, progress=False, **options
            )
        except Exception as error:
            return print(json.dumps([type(error).__name__, str(error)]))
        info = {k: found.info[k] for k in ("rows_computed", "compilations", "skipped")}
        values = found.raw.read(0, len(found)) if path else found.values
        print(json.dumps([info, values.tolist()]))

    embed("plain", toys.toy(), in_memory=False)
    embed("plain", toys.toy(), in_memory=False)           # finished: nothing is computed
    embed(None, toys.toy(), pooling="sum")                # no store: rows are exchanged
    embed("skip", toys.toy(foreign=["s2", "s77"]), on_error="skip", in_memory=False)
    embed("raise", toys.toy(foreign=["s77"]), in_memory=False)   # only one process meets it
    embed("poison", toys.toy(poison=["s95"]), in_memory=False)   # here too
    embed("host", as_encoder(toys.expected), in_memory=False)
    embed("host", toys.toy(), in_memory=False)            # another store is there
    embed(f"own-{process_id}", toys.toy(), in_memory=False)
    structures = structures[: 100 + process_id]
    embed("plain", toys.toy(), in_memory=False)

    raw = sources.StoreRows(open_store(f"{folder}/plain"))
    digest, bad = sources.scan(raw)
    moments = preprocess.Normalizer.of(raw, "standardize")
    print(json.dumps([digest, bad.tolist(), moments.mean.tolist(), moments.deviation.tolist()]))
    other = sources.ArrayRows(np.full((40, 3), float(process_id), np.float32))
    try:
        sources.scan(other)
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))

    structures = toys.strings(103, seed)
    # Damage in the last chunk, which process 1 looks at.
    if process_id == 0:
        chunk = f"{folder}/plain/values/c/10/0"
        data = bytearray(open(chunk, "rb").read())
        data[3] ^= 1
        open(chunk, "wb").write(data)
    from jaxalign.parallel.multihost import wait_for_all
    wait_for_all("damaged")
    try:
        read_embeddings(f"{folder}/plain", in_memory=False)
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embed("plain", toys.toy(), in_memory=False)
    print(json.dumps([str(w.message) for w in caught]))
"""


@pytest.mark.slow
def test_two_processes_share_the_work_and_agree(tmp_path, rng, monkeypatch):
    seed = int(rng.integers(2**31))
    both = run_cluster(WORK, args=[tmp_path, seed])
    assert both[0].stdout == both[1].stdout
    lines = iter([json.loads(line) for line in both[0].stdout.splitlines()])
    structures = toys.strings(103, seed)
    alone = embed_structures(toys.toy(), structures, chunk_rows=10, progress=False).values

    for computed in (103, 0):
        info, values = next(lines)
        assert info["rows_computed"] == computed
        np.testing.assert_allclose(values, alone, rtol=1e-6)
    assert open_store(tmp_path / "plain").complete
    assert not list((tmp_path / "plain/commits").iterdir())
    total = [[sum(s.smiles.encode())] for s in structures]
    np.testing.assert_allclose(np.array(next(lines)[1])[:, :1], total, rtol=1e-5)
    info, values = next(lines)
    assert [record["id"] for record in info["skipped"]] == ["s2", "s77"]
    np.testing.assert_allclose(values, np.delete(alone, [2, 77], axis=0), rtol=1e-6)
    kind, text = next(lines)
    assert (kind, "1 of 103" in text, "s77: foreign" in text) == (
        "UnsupportedStructureError",
        True,
        True,
    )
    kind, text = next(lines)
    assert (kind, "s95" in text) == ("NonFiniteEmbeddingError", True)
    assert (90, 100) in open_store(tmp_path / "poison").pending()
    np.testing.assert_allclose(next(lines)[1], toys.expected(structures), rtol=1e-6)
    kind, text = next(lines)
    assert (kind, "holds other embeddings" in text) == ("EmbeddingStoreError", True)
    for named in ("store (process 0", "content_hash (process 0"):
        kind, text = next(lines)
        assert (kind, named in text) == ("DisagreementError", True)
    _check_reading(lines, tmp_path, monkeypatch)
    kind, text = next(lines)
    assert (kind, "rows 100:103" in text) == ("EmbeddingStoreError", True)
    info, values = next(lines)
    assert info["rows_computed"] == 3
    np.testing.assert_allclose(values, alone, rtol=1e-6)
    assert "rows 100:103" in next(lines)[0]
    assert next(lines, None) is None


def _check_reading(lines, folder, monkeypatch):
    """Digest, non-finite rows and column moments are those of one process, bit for bit."""
    monkeypatch.setattr("jaxalign.parallel.blocks._ROWS", 16)
    values = np.array(open_store(folder / "host").load().values)
    assert len(values) == 103
    digest, bad, mean, deviation = next(lines)
    raw = ArrayRows(_repaired(folder))
    assert (digest, bad) == (scan(raw)[0], [False] * 103)
    moments = Normalizer.of(raw, "standardize")
    assert mean == moments.mean.tolist()
    assert deviation == moments.deviation.tolist()
    kind, text = next(lines)
    assert (kind, "the first rows" in text) == ("DisagreementError", True)


def _repaired(folder):
    return open_store(folder / "plain").load().values


KILLED = """
    import os, signal, sys
    from jaxalign.embeddings.extract import embed_structures
    from jaxalign.embeddings.store import EmbeddingStore
    from tests.embeddings import toys

    real, written = EmbeddingStore.write, []

    def write(store, start, values):
        if process_id == 1 and len(written) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        real(store, start, values)
        written.append(start)

    EmbeddingStore.write = write
    structures = toys.strings(103, int(sys.argv[2]))
    embed_structures(
        toys.toy(), structures, store_path=sys.argv[1], chunk_rows=10, progress=False
    )
"""


@pytest.mark.parametrize("after", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_writer_costs_its_unfinished_chunks(tmp_path, rng, after):
    """One of two processes dies; any number of processes finishes the store."""
    seed, path = int(rng.integers(2**31)), tmp_path / "s"
    with Cluster(KILLED, args=[path, seed]) as cluster:
        cluster.wait_until(lambda: not cluster.alive(1))
        # Both have written what they had finished by then; the other may now end as it likes.
        cluster.kill(0)
    store = open_store(path)
    left = store.pending()
    assert 0 < len(left) < 11 - 2
    assert store.damaged_chunks() == []
    structures = toys.strings(103, seed)
    if after == 1:
        resumed = embed_structures(
            toys.toy(), structures, store_path=path, chunk_rows=10, progress=False
        )
        computed = resumed.info["rows_computed"]
    else:
        code = KILLED.replace("process_id == 1", "process_id == 7")
        both = run_cluster(code + "    print(sum(written))\n", args=[path, seed])
        computed = sum(stop - start for start, stop in left)
        assert sum(int(r.stdout) for r in both) == sum(start for start, _ in left)
    assert computed == sum(stop - start for start, stop in left)
    done = open_store(path)
    assert done.complete
    np.testing.assert_allclose(done.load().values, toys.expected(structures), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_two_processes_write_one_remote_store(rng, monkeypatch, scheme):
    seed, path = int(rng.integers(2**31)), f"{scheme}://bucket/s"
    code = KILLED.replace("process_id == 1", "process_id == 7")
    with object_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        run_cluster(code, args=[path, seed])
        store = open_store(path)
        assert store.complete
        puts = [
            p for m, p in server.requests if m in ("PUT", "POST") and "values" in p and "c" in p
        ]
        loaded = store.load().values
    structures = toys.strings(103, seed)
    np.testing.assert_allclose(loaded, toys.expected(structures), rtol=1e-5)
    assert len(puts) == len(set(puts)) == 11 + 1  # each chunk once, and the array's description
