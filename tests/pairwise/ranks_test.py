"""Rank sums equal a count over all float64 distances, ties and hostile data included."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise import ranks, row_products, row_ranks
from jaxalign.pairwise.full_rows import full_rows
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ranks import rank_rows, rank_sums
from jaxalign.pairwise.row_ranks import device_ranks, host_ranks
from jaxalign.pairwise.row_tiles import RowTile
from jaxalign.parallel.mesh import make_mesh

N, D, K, TILE = 260, 12, 5, 100
EXACT = ("integers", "integers far away", "signed zeros", "constant")


def hostile(rng):
    """Data of one shape that break ranks computed carelessly."""
    outlier = rng.normal(size=(N, D))
    outlier[3] *= 1e25
    counts = rng.integers(0, 3, size=(N, D))
    sets = {
        "isotropic": rng.normal(size=(N, D)),
        "anisotropic": oracles.anisotropic(rng, N, D, 0.998),
        "offset": rng.normal(size=(N, D)) + 1000,
        "integers": counts,
        "integers far away": counts + 4096,
        "grid of tenths": 0.1 * counts,
        "duplicates": rng.normal(size=(20, D))[rng.integers(0, 20, N)],
        "signed zeros": np.where(rng.integers(0, 2, (N, D)), 0.0, -0.0) + (counts[:, :1] > 1),
        "tiny": 1e-20 * rng.normal(size=(N, D)),
        "huge": 1e20 * rng.normal(size=(N, D)),
        "one outlier": outlier,
        "constant": np.ones((N, D)),
        "line": np.pad(rng.normal(size=(N, 1)), ((0, 0), (0, D - 1))),
    }
    return {name: x.astype(np.float32) for name, x in sets.items()}


def resident(x):
    mesh = make_mesh(jax.devices()[:1])
    return full_rows(model_rows(x, "none"), euclidean=True, mesh=mesh, memory_budget=2**30)


def graphs(data, k=K):
    return [oracles.knn(x, k, "euclidean").astype(np.int32) for x in data]


def test_sums_equal_the_count_over_all_distances(rng):
    data = hostile(rng)
    models = [model_rows(x, "none") for x in data.values()]
    ids = [neighbors(x, k=K, similarity="euclidean").indices for x in data.values()]
    sums = rank_sums(models, ids, tile_size=TILE)
    expected = reference.rank_sums(ids, [reference.rank_table(x) for x in data.values()])
    for b, name in enumerate(data):
        np.testing.assert_array_equal(sums[:, b], expected[:, b], err_msg=name)
        # A model ranks its own neighbors 1, 2, …: the order is that of neighbor lists, ties too.
        np.testing.assert_array_equal(sums[b, b], N * np.arange(1, K + 1), err_msg=name)


@pytest.mark.slow
def test_sums_do_not_depend_on_tiles_or_memory(rng, monkeypatch):
    data = hostile(rng)
    data = [data[name] for name in ("anisotropic", "duplicates")]
    models, ids = [model_rows(x, "none") for x in data], graphs(data)
    sums = rank_sums(models, ids, tile_size=TILE)
    np.testing.assert_array_equal(rank_sums(models, ids), sums)
    # Nothing is kept: rows are read again, in blocks of columns, for every tile.
    monkeypatch.setattr(row_products, "_COLUMNS", 128)
    np.testing.assert_array_equal(rank_sums(models, ids, memory_budget=1), sums)


def test_the_device_path_gives_the_same_ranks(rng):
    for name, x in hostile(rng).items():
        ids = np.stack([graphs([x])[0][TILE : 2 * TILE]] * 2)
        with jax.enable_x64(True):
            full = resident(x)
            tiles = [RowTile(TILE, full.products.keys(TILE, TILE))]
        found = [path(full, tiles, [ids])[0] for path in (host_ranks, device_ranks)]
        np.testing.assert_array_equal(*found, err_msg=name)
        np.testing.assert_array_equal(found[0][0, :, 0], 1, err_msg=name)


def test_looking_up_few_ids_and_placing_all_columns_give_the_same_ranks(rng, monkeypatch):
    data = hostile(rng)
    models, ids = [model_rows(x, "none") for x in data.values()], graphs(list(data.values()))
    monkeypatch.setattr(row_ranks, "_FEW", 0)
    looked_up = rank_sums(models, ids, tile_size=TILE)
    monkeypatch.setattr(row_ranks, "_FEW", N)
    np.testing.assert_array_equal(looked_up, rank_sums(models, ids, tile_size=TILE))


def test_wide_and_short_data(rng):
    for n, d in ((2, 1), (20, 300)):
        x, y = (rng.normal(size=(n, d)).astype(np.float32) for _ in range(2))
        k = min(3, n - 1)
        ids = graphs([x, y], k)
        sums = rank_sums([model_rows(v, "none") for v in (x, y)], ids)
        expected = reference.rank_sums(ids, [reference.rank_table(v) for v in (x, y)])
        np.testing.assert_array_equal(sums, expected)


def test_models_of_unequal_width_and_every_neighbor(rng):
    x, y = (rng.normal(size=(N, d)).astype(np.float32) for d in (D, 300))
    ids = graphs([x, y], N - 1)
    sums = rank_sums([model_rows(v, "none") for v in (x, y)], ids)
    expected = reference.rank_sums(ids, [reference.rank_table(v) for v in (x, y)])
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(sums.sum(-1), N * N * (N - 1) / 2)  # all ranks, each once


def test_only_pairs_of_new_models_are_counted(rng, monkeypatch):
    data = [rng.normal(size=(N, D)).astype(np.float32) for _ in range(4)]
    models, ids = [model_rows(x, "none") for x in data], graphs(data)
    whole = rank_sums(models, ids)
    ranked = []
    monkeypatch.setattr(
        ranks,
        "host_ranks",
        lambda full, tiles, ids: ranked.append(len(ids[0])) or host_ranks(full, tiles, ids),
    )
    part = rank_sums(models, ids, new=[2], tile_size=256)
    np.testing.assert_array_equal(part[2], whole[2])
    np.testing.assert_array_equal(part[:, 2], whole[:, 2])
    assert np.isnan(part[[0, 0, 1, 3], [0, 1, 3, 0]]).all()
    assert sorted(ranked) == [1, 1, 1, 1, 1, 1, 4, 4]  # lists looked up, in two tiles a model


def test_row_sums_add_up_to_the_sum_of_the_pair(rng):
    x, y = (rng.normal(size=(N, D)).astype(np.float32) for _ in range(2))
    ids = graphs([x])[0]
    rows = rank_rows(ids, model_rows(y, "none"))
    table = reference.rank_table(y)
    np.testing.assert_array_equal(rows, np.take_along_axis(table, ids.astype(int), 1).sum(1))


def test_computed_values_stay_within_their_bounds(rng):
    for name, x in hostile(rng).items():
        with jax.enable_x64(True):
            full = resident(x)
            keys = np.asarray(full.products.keys(0, N))  # unsorted: columns are in place
        found = np.stack([full.leading(row) for row in keys])
        # Long double: an order of magnitude below the errors that are to be bounded.
        wide = full.values.rows.astype(np.longdouble)
        true = np.stack([((row - wide) ** 2).sum(1) for row in wide])
        bound = full.values.intercept[:, None] + full.relative_margin * true.astype(float)
        error = np.abs(found - true)
        np.fill_diagonal(error, 0)  # a row itself has no value
        assert (error <= bound / (1 if full.values.exact else 2)).all(), name
        assert full.values.exact == (name in EXACT), name
        assert not full.values.exact or (error == 0).all(), name


def test_unequal_inputs_are_named(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    ids, model = graphs([x], 3)[0], model_rows(x, "none")
    with pytest.raises(ValueError, match="every model needs its neighbor lists: got 2 and 1"):
        rank_sums([model, model], [ids])
    with pytest.raises(ValueError, match=r"got shapes \[\(10, 3\), \(20, 3\)\]"):
        rank_rows(ids[:10], model)
    with pytest.raises(ValueError, match="tile_size must be a positive integer"):
        rank_rows(ids, model, tile_size=0)
