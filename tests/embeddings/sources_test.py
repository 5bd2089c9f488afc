"""Rows read in blocks are the rows of the whole array, wherever they lie."""

import numpy as np
import pytest

from jaxalign.embeddings.array_files import read_embeddings
from jaxalign.embeddings.manifest import EmbeddingStoreError
from jaxalign.embeddings.preprocess import NORMALIZATIONS, normalize_rows
from jaxalign.embeddings.sources import (
    ArrayRows,
    SelectedRows,
    StoredEmbeddings,
    StoreRows,
    model_rows,
    scan,
    stored_embeddings,
)
from jaxalign.embeddings.store import create_store, open_store
from jaxalign.models.card import ModelCard

N, D = 37, 5


@pytest.fixture
def x(rng):
    return rng.normal(size=(N, D)).astype(np.float32)


def make_store(path, x):
    card = ModelCard(id="m", name="m", family="", modality="", pretrained=True)
    ids = [f"s{i}" for i in range(len(x))]
    store = create_store(path, ids=ids, width=D, card=card, info={"layer": "last"}, chunk_rows=10)
    for start, stop in store.pending():
        store.write(start, x[start:stop])
    return store


@pytest.mark.parametrize("method", NORMALIZATIONS)
def test_blocks_normalize_as_the_whole_array(x, tmp_path, method):
    whole = normalize_rows(x, method)
    for raw in (x, ArrayRows(x), StoreRows(make_store(tmp_path / method, x))):
        rows = model_rows(raw, method)
        assert (rows.n, rows.d) == (N, D)
        np.testing.assert_array_equal(rows.load(), whole)
        parts = [rows.read(start, start + 8) for start in range(0, N, 8)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_standardize_reads_moments_in_blocks_of_one_definition(rng, monkeypatch):
    monkeypatch.setattr("jaxalign.parallel.blocks._ROWS", 16)
    x = (rng.normal(size=(50, 4)) * 3 + 1000).astype(np.float32)
    x[:, 2] = 0.1  # constant: zero, not noise over a rounded mean
    found, varied = normalize_rows(x, "standardize"), x[:, [0, 1, 3]].astype(np.float64)
    expected = (varied - varied.mean(0)) / varied.std(0)
    np.testing.assert_allclose(found[:, [0, 1, 3]], expected, rtol=2e-6, atol=1e-9)
    assert not found[:, 2].any()


def test_selected_rows_follow_the_index(x, rng, tmp_path):
    index = rng.permutation(N)[:20]
    for raw in (ArrayRows(x), StoreRows(make_store(tmp_path / "s", x))):
        chosen = SelectedRows(raw, index)
        assert chosen.shape == (20, D)
        np.testing.assert_array_equal(chosen.read(3, 9), x[index[3:9]])
        np.testing.assert_array_equal(chosen.take(np.array([5, 0])), x[index[[5, 0]]])
        again = SelectedRows(chosen, np.arange(20)[::-1])
        np.testing.assert_array_equal(again.read(0, 20), x[index[::-1]])


def test_scan_tells_content_and_non_finite_rows(x, tmp_path):
    digest, bad = scan(ArrayRows(x))
    assert not bad.any()
    assert scan(StoreRows(make_store(tmp_path / "s", x)))[0] == digest
    assert scan(ArrayRows(x.astype(np.float64)))[0] != digest
    assert scan(ArrayRows(x[::-1]))[0] != digest
    x[[4, 30], 2] = np.nan, np.inf
    np.testing.assert_array_equal(np.flatnonzero(scan(ArrayRows(x))[1]), [4, 30])


def test_files_and_stores_may_stay_on_disk(x, tmp_path):
    np.save(tmp_path / "a.npy", x)
    mapped = read_embeddings(tmp_path / "a.npy", in_memory=False)
    assert isinstance(mapped.values.base, np.memmap)
    np.testing.assert_array_equal(mapped.values, x)
    make_store(tmp_path / "b", x)
    stored = read_embeddings(tmp_path / "b", in_memory=False)
    assert isinstance(stored, StoredEmbeddings)
    assert (len(stored), stored.ids[0], stored.info["layer"]) == (N, "s0", "last")
    np.testing.assert_array_equal(stored.raw.read(0, N), x)
    assert stored.order_hash == read_embeddings(tmp_path / "b").order_hash


def test_a_damaged_or_unfinished_store_is_refused_before_use(x, tmp_path):
    make_store(tmp_path / "s", x)
    files = (tmp_path / "s" / "values").rglob("*")
    chunk = max(p for p in files if p.is_file() and p.name != "zarr.json")
    raw = bytearray(chunk.read_bytes())
    raw[3] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(EmbeddingStoreError, match="damaged"):
        stored_embeddings(open_store(tmp_path / "s"))
    store = make_store(tmp_path / "t", x)
    store.revoke(10)
    with pytest.raises(EmbeddingStoreError, match="not computed yet"):
        stored_embeddings(open_store(tmp_path / "t"))
    with pytest.raises(EmbeddingStoreError, match="not computed yet"):
        store.take(np.array([1]))
