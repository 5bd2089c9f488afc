"""The neighbor search gives the same lists on every mesh, round the ring and gathered."""

import hashlib

import jax
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._pair import model_graph
from jaxalign.pairwise import duplicates, row_blocks, search_calls, sweep
from jaxalign.pairwise.model_neighbors import neighbors_of_rows
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.search import search_program, search_shapes
from jaxalign.pairwise.search_plan import search_plan
from jaxalign.parallel import blocks
from jaxalign.parallel.mesh import make_mesh
from tests.multiprocess.cluster import run_cluster

N, D, K = 1501, 24, 12  # no multiple of any number of devices

# devices, models, gather
MESHES = [(1, 1, False), (8, 2, False), (4, 1, True)]
# One model takes all devices, whatever the columns; see columns_test for several.
ALL = [(8, 4, False), *((d, 1, g) for d in (2, 4, 8) for g in (False, True))]


def crowded(rng, n=N):
    """Rows of mean cosine .998, with copies, and a crowd that float32 products cannot resolve."""
    x = oracles.anisotropic(rng, n, D, 0.998).astype(np.float32)
    x[rng.integers(0, n, 200)] = x[rng.integers(0, n, 200)]
    x[700:760] = x[7] * (1 + 1e-6 * rng.normal(size=(60, D)))
    return x


def mesh_of(devices, models):
    return make_mesh(jax.devices()[:devices], models=models)


def guarded(mesh, plan, **settings):
    program = search_program(mesh, plan, **settings)

    def run(*arguments):
        with jax.transfer_guard("disallow"):
            return program(*arguments)

    return run


@pytest.fixture
def on_devices(monkeypatch):
    """Searches on the devices however few the rows; only explicit transfers are allowed."""
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)
    monkeypatch.setattr(search_calls, "search_program", guarded)


def check(rng, meshes, similarity, grouped):
    x = crowded(rng)
    rows = model_rows(x, "l2" if similarity == "inner" else "none")
    groups = rng.integers(0, N // 3, N) if grouped else None
    stored = rows.load()
    for devices, models, gather in meshes:
        graph, facts = model_graph(
            rows,
            k=K,
            similarity=similarity,
            groups=groups,
            mesh=mesh_of(devices, models),
            gather=gather,
        )
        if (devices, models, gather) == meshes[0]:
            first = graph
            # The oracle's last bit may differ between rows that tie.
            keys = oracles.order_keys(stored, similarity)
            if grouped:
                keys[groups[:, None] == groups] = -np.inf
            chosen = np.take_along_axis(keys, graph.ids.astype(int), 1)
            np.testing.assert_allclose(chosen, -np.sort(-keys, axis=1)[:, :K], rtol=1e-10)
            whole = stored.astype(np.float64) @ stored.T.astype(np.float64)
            centered = whole - whole.mean(1, keepdims=True)
            expected = np.take_along_axis(centered, graph.ids.astype(int), 1)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(graph.centered, expected, rtol=1e-6, atol=1e-7 * scale)
        assert facts["rows_searched_fully"] == 0
        assert facts["rows_rechecked_float64"] > 0
        for one, other in zip(graph, first, strict=True):
            np.testing.assert_array_equal(one, other)
    return x, groups, first


@pytest.mark.slow
def test_every_mesh_gives_the_lists_of_the_host(rng, on_devices, monkeypatch):
    x, _, graph = check(rng, MESHES, "euclidean", False)
    monkeypatch.setattr(sweep, "HOST_ROWS", N)
    host = neighbors(x, k=K, similarity="euclidean")
    np.testing.assert_array_equal(graph.ids, host.indices)
    np.testing.assert_array_equal(graph.scores, host.scores)
    assert host.diagnostics["rows_searched_fully"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["inner", "euclidean"])
@pytest.mark.parametrize("grouped", [False, True])
def test_all_meshes_give_the_same_graph(rng, on_devices, similarity, grouped):
    check(rng, ALL, similarity, grouped)


def test_few_query_rows_a_call_and_many_steps_on_two_devices(rng, on_devices, monkeypatch):
    monkeypatch.setattr("jaxalign.pairwise.search_plan._CALL_ROWS_OF_MANY", 64)
    monkeypatch.setattr("jaxalign.pairwise.search_plan._TILE_ENTRIES", 1)
    x = oracles.anisotropic(rng, 2 * N, D, 0.998).astype(np.float32)
    found = neighbors(x, k=K, similarity="inner", tile_size=64, mesh="rows:2")
    np.testing.assert_array_equal(found.indices, oracles.knn(x, K, "inner"))
    assert found.diagnostics["mesh"] == {"rows": 2, "models": 1}
    assert found.diagnostics["devices"] == [str(device) for device in jax.devices()[:2]]


def test_last_devices_without_rows(rng, on_devices):
    # 65 rows on 8 devices: 9 each, and 2 on the last; 57 values leave it none.
    x = rng.normal(size=(65, 5)).astype(np.float32)
    x[57:] = x[:8]
    mesh = mesh_of(8, 1)
    found = neighbors_of_rows(row_blocks.row_blocks(x), k=3, similarity="inner", mesh=mesh)
    np.testing.assert_array_equal(found.indices, neighbors(x, k=3, similarity="inner").indices)
    assert found.diagnostics["rows_searched_fully"] == 0


def test_more_devices_than_rows_are_refused(rng):
    with pytest.raises(ValueError, match="8 devices for 5 structures"):
        neighbors(rng.normal(size=(5, 2)).astype(np.float32), k=2, mesh="rows:8")


def test_rows_of_equal_hash_are_told_apart(rng, monkeypatch):
    x = crowded(rng)
    truth = duplicates.distinct_rows(x)
    assert len(truth.first) == len(np.unique(x, axis=0))
    monkeypatch.setattr(duplicates, "_weights", lambda d: np.zeros(d, np.uint64))
    for one, other in zip(duplicates.distinct_rows(x), truth, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_of_the_program_are_those_of_a_search(rng, on_devices, monkeypatch):
    seen = {}

    def note(mesh, plan, **settings):
        def run(*arguments):
            seen["plan"], seen["arguments"] = plan, arguments
            return search_program(mesh, plan, **settings)(*arguments)

        return run

    monkeypatch.setattr(search_calls, "search_program", note)
    mesh = mesh_of(2, 1)
    neighbors(crowded(rng), k=K, similarity="euclidean", mesh=mesh)
    d = 24
    plan = search_plan(seen["plan"].shards.n, d, k=K, mesh=mesh)
    assert plan == seen["plan"]
    wanted = search_shapes(mesh, d, plan, precision="float32")
    leaves = zip(jax.tree.leaves(wanted), jax.tree.leaves(seen["arguments"]), strict=True)
    for one, other in leaves:
        assert (one.shape, one.dtype, one.sharding) == (other.shape, other.dtype, other.sharding)


SOURCE = """
import hashlib
import json
import sys

import numpy as np

from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._pair import model_graph
from jaxalign.pairwise import sweep
from jaxalign.parallel import blocks

blocks._ROWS = 256
x = np.load(sys.argv[1])


class Reader:
    shape, dtype, seen = x.shape, x.dtype, set()

    def read(self, start, stop):
        self.seen.update(range(start, stop))
        return x[start:stop]

    def take(self, index):
        self.seen.update(index.tolist())
        return x[index]


def digest(rows, **settings):
    graph, facts = model_graph(rows, k=12, similarity="euclidean", **settings)
    parts = [np.ascontiguousarray(part).tobytes() for part in graph]
    return hashlib.sha256(b"".join(parts)).hexdigest(), facts["rows_rechecked_float64"]


reader = Reader()
host, _ = digest(model_rows(x, "none"))
sweep.HOST_ROWS = 0
ring, rechecked = digest(model_rows(reader, "none"), gather=False)
print(json.dumps([host, ring, rechecked, len(reader.seen)]))
"""


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one_and_read_their_own_rows(rng, tmp_path, monkeypatch):
    import json

    x = crowded(rng)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(blocks, "_ROWS", 256)
    graph, _ = model_graph(model_rows(x, "none"), k=12, similarity="euclidean", mesh=mesh_of(1, 1))
    parts = [np.ascontiguousarray(part).tobytes() for part in graph]
    expected = hashlib.sha256(b"".join(parts)).hexdigest()
    for result in run_cluster(SOURCE, args=[tmp_path / "x.npy"], timeout=120):
        host, ring, rechecked, read = json.loads(result.stdout)
        assert host == ring == expected
        assert rechecked > 0
        # Half of the rows, and those that occur in both halves.
        assert read < 0.7 * N
