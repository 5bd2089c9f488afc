"""Stored graphs: whole or absent, read by rows, written in parts, replaced by larger ones."""

import numpy as np
import pytest

from jaxalign.alignment import graph_cache as module
from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.pairwise.edges import GraphStatistics

N, K = 23, 5


def graph(rng, k=K):
    ids = rng.integers(0, N, (N, k)).astype(np.int32)
    values = rng.normal(size=(2, N, k)).astype(np.float32)
    reverse = rng.integers(-1, k, (N, k)).astype(np.int16)
    return GraphStatistics(ids, reverse, *values, rng.normal(size=N))


def assert_equal(one, other):
    for field in GraphStatistics._fields:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


@pytest.fixture(params=["folder", "temporary", "memory"])
def cache(request, tmp_path):
    folder = tmp_path / "graphs" if request.param == "folder" else None
    return GraphCache(folder, temporary=request.param == "temporary")


def test_what_is_stored_comes_back(rng, cache):
    assert cache.get("a", k=1) is None
    stored = graph(rng)
    cache.put("a", stored, {"n": N})
    found, diagnostics = cache.get("a", k=K)
    assert_equal(found, stored)
    assert diagnostics == {"n": N}
    assert_equal(cache.get("a", k=2)[0], stored.first(2))
    assert cache.get("a", k=K + 1) is None


def test_ids_are_read_by_rows(rng, cache):
    stored = graph(rng)
    cache.put("a", stored, {})
    ids = cache.ids("a", k=3)
    assert ids.shape == (N, 3)
    rows = ids[4:9] if isinstance(ids, np.ndarray) else ids.read(4, 9)
    np.testing.assert_array_equal(rows, stored.ids[4:9, :3])


def test_a_larger_graph_replaces_the_files_of_a_smaller_one(rng, tmp_path):
    cache = GraphCache(tmp_path)
    cache.put("a", graph(rng), {})
    larger = graph(rng, 9)
    cache.put("a", larger, {})
    assert_equal(cache.get("a", k=9)[0], larger)
    assert {file.name.split(".")[0] for file in (tmp_path / "a").iterdir()} == {"k9"}


def test_parts_of_several_processes_are_one_graph(rng, tmp_path, monkeypatch):
    """Each process writes its rows; the first one commits what all have written."""
    stored, written = graph(rng), []
    shares = [range(0, 9), range(9, 9), range(9, N)]
    monkeypatch.setattr(module, "wait_for_all", lambda name: None)
    for number, share in enumerate(shares[::-1]):
        monkeypatch.setattr(module, "my_share", lambda rows, share=share: share)
        monkeypatch.setattr(module, "is_primary_process", lambda last=number == 2: last)
        monkeypatch.setattr(module, "exchange_objects", lambda own: written.append(own) or written)
        cache = GraphCache(tmp_path)
        assert cache.get("a", k=1) is None
        cache.put("a", stored, {})
    assert_equal(cache.get("a", k=K)[0], stored)
    ids = cache.ids("a", k=K)
    for start, stop in ((0, N), (3, 12), (9, 10), (5, 5)):
        np.testing.assert_array_equal(ids.read(start, stop), stored.ids[start:stop])


def test_nobody_has_a_graph_that_one_process_cannot_read(rng, tmp_path, monkeypatch):
    cache = GraphCache(tmp_path)
    cache.put("a", graph(rng), {})
    monkeypatch.setattr(module, "all_true", lambda mine: False)
    assert cache.get("a", k=1) is None
