"""Ranks are the same integers on one device and on many, whichever way rows meet."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise import ranks, row_ranks
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ranks import rank_rows, rank_sums
from jaxalign.parallel.mesh import make_mesh

N, D, K, TILE = 301, 12, 5, 30
# Devices, columns of the mesh, gather, budget; one of nothing: rows are read for every tile.
WAYS = [
    (1, 1, False, None),
    (2, 1, True, None),
    (4, 1, False, 1),
    (8, 1, True, None),
    (8, 2, False, None),
]


def hard_data(rng):
    near = oracles.anisotropic(rng, N, D, 0.998)
    sets = {
        "anisotropic": near,
        "duplicates": near[rng.integers(0, 40, N)],
        "grid": rng.integers(0, 3, size=(N, D)),
        "grid of tenths": 0.1 * rng.integers(0, 3, size=(N, D)),
    }
    return {name: x.astype(np.float32) for name, x in sets.items()}


class OnDisk:
    """Lists that can only be read."""

    def __init__(self, ids):
        self.ids, self.shape, self.most = ids, ids.shape, 0

    def read(self, start, stop):
        self.most = max(self.most, stop - start)
        return self.ids[start:stop]


def case(rng):
    data = hard_data(rng)
    models = [model_rows(x, "none") for x in data.values()]
    ids = [neighbors(x, k=K, similarity="euclidean").indices for x in data.values()]
    return models, ids, list(data.values())


@pytest.mark.slow  # the information imbalance of a mesh is compared exactly in align_test
def test_sums_do_not_depend_on_devices(rng):
    models, ids, data = case(rng)
    expected = reference.rank_sums(ids, [reference.rank_table(x) for x in data])
    for devices, columns, gather, budget in WAYS:
        mesh = make_mesh(jax.devices()[:devices], models=columns)
        settings = {"mesh": mesh, "gather": gather, "memory_budget": budget}
        found = rank_sums(models, ids, tile_size=TILE, **settings)
        np.testing.assert_array_equal(found, expected, err_msg=str(settings))


def test_lists_are_read_by_rows(rng):
    models, ids, _ = case(rng)
    lists = [OnDisk(part) for part in ids]
    mesh = make_mesh(jax.devices()[:2])
    found = rank_sums(models, lists, mesh=mesh, tile_size=TILE)
    np.testing.assert_array_equal(found, rank_sums(models, ids, mesh=mesh, tile_size=TILE))
    assert max(part.most for part in lists) <= TILE


def test_sums_of_rows_come_in_order(rng):
    models, ids, _ = case(rng)
    meshes = [make_mesh(jax.devices()[:count]) for count in (1, 2)]
    one, many = (rank_rows(ids[0], models[1], mesh=mesh, tile_size=TILE) for mesh in meshes)
    np.testing.assert_array_equal(one, many)


@pytest.mark.slow
def test_sorting_on_every_device_gives_the_same_ranks(rng, monkeypatch):
    models, ids, _ = case(rng)
    settings = {"mesh": make_mesh(jax.devices()[:2]), "tile_size": N}
    expected = rank_sums(models, ids, **settings)
    monkeypatch.setattr(ranks, "host_ranks", row_ranks.device_ranks)
    np.testing.assert_array_equal(rank_sums(models, ids, **settings), expected)


def test_fewer_rows_than_whole_shards(rng):
    x, y = (rng.normal(size=(9, 3)).astype(np.float32) for _ in range(2))
    ids = [oracles.knn(v, 2, "euclidean").astype(np.int32) for v in (x, y)]
    mesh = make_mesh(jax.devices()[:8])  # shards of two rows: three of them are empty
    sums = rank_sums([model_rows(v, "none") for v in (x, y)], ids, mesh=mesh)
    expected = reference.rank_sums(ids, [reference.rank_table(v) for v in (x, y)])
    np.testing.assert_array_equal(sums, expected)
