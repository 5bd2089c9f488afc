"""Neighbor ids equal the float64 truth, for every tile size, also where float32 cannot decide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.pairwise import search_plan as plans
from jaxalign.pairwise import sweep
from jaxalign.pairwise.database import Member, make_database
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.proposals import propose, settle
from jaxalign.pairwise.row_blocks import column_means, row_blocks
from jaxalign.pairwise.search_plan import search_plan
from jaxalign.parallel.columns import make_columns
from jaxalign.parallel.mesh import SPLIT, make_mesh

SIMILARITIES = ("cosine", "inner", "euclidean")
N, D = 1000, 96


def stored(x, similarity):
    return oracles.l2_rows(x) if similarity == "cosine" else x


@pytest.fixture(
    params=[
        pytest.param(True, id="bfloat16", marks=pytest.mark.slow),
        pytest.param(False, id="float32"),
    ]
)
def device(request, monkeypatch):
    """Searches on the device however few the rows, with and without fast bfloat16 products."""
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)
    monkeypatch.setattr(sweep, "_MEASURED_ROWS", 0)
    monkeypatch.setattr(sweep, "fast_bfloat16", lambda: request.param)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("mean_cosine", [0.0, 0.96, 0.998])
def test_ids_equal_float64_truth(rng, similarity, mean_cosine):
    x = oracles.anisotropic(rng, N, D, mean_cosine)
    found = neighbors(x, k=25, similarity=similarity)
    np.testing.assert_array_equal(found.indices, oracles.knn(stored(x, similarity), 25, similarity))
    assert found.indices.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.diagnostics["rows_searched_fully"] == N


@pytest.mark.parametrize("mean_cosine", [pytest.param(0.0, marks=pytest.mark.slow), 0.998])
def test_devices_and_tile_sizes_give_the_same_ids_as_the_host(rng, device, mean_cosine):
    x = oracles.anisotropic(rng, N, D, mean_cosine)
    # Each tile size is a compilation: all of them run with the slow case.
    tiles = {"cosine": (64,), "euclidean": (257,)} if mean_cosine else {}
    for similarity in ("cosine", "euclidean"):
        truth = oracles.knn(stored(x, similarity), 25, similarity)
        for tile in tiles.get(similarity, (64, 257)):
            found = neighbors(x, k=25, similarity=similarity, tile_size=tile)
            np.testing.assert_array_equal(found.indices, truth)
            assert found.diagnostics["rows_searched_fully"] == 0
            assert found.diagnostics["rows_rechecked_float64"] < N / 5


@pytest.mark.slow
def test_many_column_steps_give_the_same_ids(rng, monkeypatch):
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)
    monkeypatch.setattr(plans, "_TILE_ENTRIES", 1)  # one group of columns a step
    x = oracles.anisotropic(rng, 2500, 16, 0.96)
    found = neighbors(x, k=300)
    np.testing.assert_array_equal(found.indices, oracles.knn(oracles.l2_rows(x), 300))


@pytest.mark.parametrize(
    ("kind", "grouped"),
    [
        ("half duplicates", False),
        ("two values", True),
        ("few values", False),
        pytest.param("half duplicates", True, marks=pytest.mark.slow),
        pytest.param("two values", False, marks=pytest.mark.slow),
        pytest.param("few values", True, marks=pytest.mark.slow),
    ],
)
def test_duplicates_give_the_same_ids_on_device_and_host(rng, monkeypatch, kind, grouped):
    x = {
        "half duplicates": np.repeat(oracles.anisotropic(rng, N // 2, 32, 0.5), 2, axis=0),
        "two values": rng.integers(0, 2, size=(N, 14)).astype(np.float32),
        "few values": rng.integers(0, 2, size=(N, 2)).astype(np.float32),
    }[kind][rng.permutation(N)]
    groups = rng.integers(0, N // 4, N) if grouped else None
    for similarity in ("euclidean",) if grouped else ("inner",):
        monkeypatch.setattr(sweep, "HOST_ROWS", N)
        host = neighbors(x, k=12, similarity=similarity, groups=groups)
        keys = oracles.order_keys(x, similarity)
        if grouped:
            keys[groups[:, None] == groups] = -np.inf
        if kind == "half duplicates":  # the oracle's last bit may differ between equal rows
            chosen = np.take_along_axis(keys, host.indices.astype(int), 1)
            np.testing.assert_allclose(chosen, -np.sort(-keys, axis=1)[:, :12], rtol=1e-12)
        else:
            truth = np.argsort(-keys, axis=1, kind="stable")[:, :12]
            np.testing.assert_array_equal(host.indices, truth)
        monkeypatch.setattr(sweep, "HOST_ROWS", 0)
        device = neighbors(x, k=12, similarity=similarity, groups=groups)
        np.testing.assert_array_equal(device.indices, host.indices)
        np.testing.assert_array_equal(device.scores, host.scores)
        assert device.diagnostics["tie_fraction"] == host.diagnostics["tie_fraction"]
    if not grouped:
        assert host.diagnostics["duplicate_rows_skipped"] == N - len(np.unique(x, axis=0))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16x3"])
@pytest.mark.parametrize("euclidean", [False, True])
def test_proposed_values_stay_within_their_bound(rng, precision, euclidean):
    x = (oracles.anisotropic(rng, 300, 40, 0.5) * 0.4).astype(np.float32)
    codes = np.arange(len(x), dtype=np.int32)
    k, mesh = 40, make_mesh(jax.devices()[:1])
    plan = search_plan(*x.shape, k=3, mesh=mesh)
    rows = row_blocks(x)
    (column,) = make_columns(mesh, [len(x)])
    member = Member(rows, codes, column_means(rows), column)
    database, (bounds,) = make_database(
        [member], plan, mesh, euclidean=euclidean, precision=precision
    )

    def local(left, columns):
        return settle(propose(left, jnp.asarray(codes), columns, candidates=k, steps=1, block=32))

    program = jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT)
    values, ids, limits = jax.jit(program)(*database)
    values, ids = np.asarray(values, np.float64), np.asarray(ids)
    keys = oracles.order_keys(x, "euclidean" if euclidean else "inner")
    shifts = bounds.shifts[:, None]
    s = (shifts + keys) / 2 if euclidean else keys - shifts
    proposed = np.isfinite(values)
    assert proposed.sum() >= 30 * len(x)
    row, _ = np.nonzero(proposed)
    errors = np.abs(values[proposed] - s[row, ids[proposed]])
    assert (errors <= bounds.errors[row]).all()
    s[row, ids[proposed]] = -np.inf
    assert (s.max(axis=1) <= np.asarray(limits) + bounds.errors).all()


@pytest.mark.parametrize("similarity", ["inner", "euclidean"])
def test_representable_ties_follow_value_then_index(rng, similarity):
    x = rng.integers(-2, 3, size=(500, 5)).astype(np.float32)
    truth = oracles.knn(x, 12, similarity)
    for tile in (64, 257, 500):
        found = neighbors(x, k=12, similarity=similarity, tile_size=tile)
        np.testing.assert_array_equal(found.indices, truth)
    assert found.diagnostics["tie_fraction"] > 0


def test_what_float32_cannot_resolve_is_searched_again(rng, monkeypatch):
    # Tight crowds: inside them, float32 products differ by less than their error.
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)
    crowd = rng.normal(size=(8, 16))[rng.integers(0, 8, N)]
    x = (crowd + 1e-5 * rng.normal(size=(N, 16))).astype(np.float32)
    found = neighbors(x, k=8, similarity="euclidean")
    assert found.diagnostics["rows_rechecked_float64"] > 0
    np.testing.assert_array_equal(found.indices, oracles.knn(x, 8, "euclidean"))


def test_large_offset_keeps_the_true_neighbors(rng):
    x = (rng.normal(size=(400, 32)) + 1000).astype(np.float32)
    found = neighbors(x, k=10, similarity="euclidean")
    np.testing.assert_array_equal(found.indices, oracles.knn(x, 10, "euclidean"))


def test_scores_are_similarities_or_distances(rng):
    x = rng.normal(size=(60, 7)).astype(np.float32)
    cosine = neighbors(x, k=5)
    unit = oracles.l2_rows(x).astype(np.float64)
    expected = np.take_along_axis(unit @ unit.T, cosine.indices.astype(int), 1)
    np.testing.assert_allclose(cosine.scores, expected, rtol=1e-6)
    assert (np.diff(cosine.scores, axis=1) <= 0).all()
    euclidean = neighbors(x, k=5, similarity="euclidean")
    distances = np.linalg.norm(x[:, None].astype(float) - x[None], axis=-1)
    expected = np.take_along_axis(distances, euclidean.indices.astype(int), 1)
    np.testing.assert_allclose(euclidean.scores, expected, rtol=1e-6)


def test_groups_are_never_neighbors_of_each_other(rng):
    x = rng.normal(size=(300, 12)).astype(np.float32)
    groups = np.repeat(np.arange(60), 5)[rng.permutation(300)]
    found = neighbors(x, k=20, groups=[f"molecule {g}" for g in groups], tile_size=70)
    np.testing.assert_array_equal(found.indices, oracles.knn(oracles.l2_rows(x), 20, groups=groups))
    assert not (groups[found.indices] == groups[:, None]).any()


def test_rows_without_a_group_are_groups_of_their_own(rng):
    x = rng.normal(size=(300, 12)).astype(np.float32)
    alone = neighbors(x, k=20, groups=[None] * 300, tile_size=70)
    np.testing.assert_array_equal(alone.indices, neighbors(x, k=20, tile_size=70).indices)


@pytest.mark.parametrize("similarity", ["inner", "euclidean"])
@pytest.mark.parametrize("scale", [1e-22, 1e19, 1e37])
def test_values_whose_squares_leave_float32_are_ordered_right(rng, similarity, scale):
    x = rng.normal(size=(200, 16)).astype(np.float32) * np.float32(scale)
    found = neighbors(x, k=5, similarity=similarity)
    np.testing.assert_array_equal(found.indices, oracles.knn(x, 5, similarity))


def test_one_huge_row_does_not_blur_the_others(rng):
    x = rng.normal(size=(200, 16)).astype(np.float32)
    x[3] *= 1e25
    for similarity in ("inner", "euclidean"):
        found = neighbors(x, k=5, similarity=similarity)
        chosen = np.take_along_axis(oracles.order_keys(x, similarity), found.indices.astype(int), 1)
        best = -np.sort(-oracles.order_keys(x, similarity), axis=1)[:, :5]
        np.testing.assert_allclose(chosen, best, rtol=1e-9)


def test_all_rows_equal_gives_the_lowest_ids():
    found = neighbors(np.ones((90, 4), np.float32), k=3, similarity="euclidean")
    np.testing.assert_array_equal(found.indices[0], [1, 2, 3])
    np.testing.assert_array_equal(found.indices[2], [0, 1, 3])
    np.testing.assert_array_equal(found.indices[50], [0, 1, 2])
    assert found.diagnostics["tie_fraction"] == 1.0


@pytest.mark.parametrize("n", [2, 3, 33, 65])
def test_every_other_row_is_a_neighbor_at_k_n_minus_1(rng, n):
    found = neighbors(rng.normal(size=(n, 3)).astype(np.float32), k=n - 1)
    for row, ids in enumerate(found.indices):
        assert sorted(ids) == [i for i in range(n) if i != row]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, "bfloat16"])
def test_other_float_inputs_are_taken_as_their_float32_values(rng, dtype):
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x = rng.normal(size=(80, 6)).astype(dtype)
    found = neighbors(x, k=5, similarity="inner")
    truth = neighbors(x.astype(np.float32), k=5, similarity="inner")
    np.testing.assert_array_equal(found.indices, truth.indices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 10}, r"k must be smaller .* got k=10, n=10; pass k <= 9"),
        ({"k": 0}, "k must be at least 1"),
        ({"similarity": "dot"}, "unknown similarity 'dot'"),
        ({"groups": [0] * 10}, "leaves 0 possible neighbors"),
        ({"groups": [0, 1]}, "one label a row"),
        ({"x": np.arange(20).reshape(10, 2)}, "floating-point array: got dtype int64"),
        ({"x": np.ones((10, 2), complex)}, "got dtype complex128"),
        ({"x": np.ones(10, np.float32)}, r"shape \[n, d\]"),
        ({"x": np.full((10, 2), np.nan, np.float32)}, "NaN or infinity in 10 of 10 rows: 0, 1"),
    ],
)
def test_bad_arguments_are_named(rng, change, message):
    arguments = {"x": rng.normal(size=(10, 2)).astype(np.float32), "k": 3} | change
    with pytest.raises(ValueError, match=message):
        neighbors(arguments.pop("x"), **arguments)
