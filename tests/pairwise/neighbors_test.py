"""Neighbor ids equal the float64 truth, for every tile size, also where float32 cannot decide."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.pairwise import neighbors as module
from jaxalign.pairwise.neighbors import neighbors

SIMILARITIES = ("cosine", "inner", "euclidean")


def stored(x, similarity):
    return oracles.l2_rows(x) if similarity == "cosine" else x


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("mean_cosine", [0.0, 0.96, 0.998])
def test_ids_equal_float64_truth_for_every_tile_size(rng, similarity, mean_cosine):
    x = oracles.anisotropic(rng, 1000, 96, mean_cosine)
    truth = oracles.knn(stored(x, similarity), 25, similarity)
    for tile in (64, 257, len(x)):
        found = neighbors(x, k=25, similarity=similarity, tile_size=tile)
        np.testing.assert_array_equal(found.indices, truth)
    assert found.indices.dtype == np.int32
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize("similarity", ["inner", "euclidean"])
def test_representable_ties_follow_value_then_index(rng, similarity):
    x = rng.integers(-2, 3, size=(500, 5)).astype(np.float32)
    truth = oracles.knn(x, 12, similarity)
    for tile in (64, 257, 500):
        found = neighbors(x, k=12, similarity=similarity, tile_size=tile)
        np.testing.assert_array_equal(found.indices, truth)
    assert found.diagnostics["tie_fraction"] > 0


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_duplicates_beyond_the_candidates_are_searched_fully(rng, similarity):
    # 150 equal rows: more ties than candidates, so no proposal can be certain.
    # Unit rows, so that by every similarity nothing is nearer to a row than its equals.
    x = oracles.l2_rows(oracles.anisotropic(rng, 400, 24, 0.96))
    x[rng.permutation(400)[:150]] = x[7]
    found = neighbors(x, k=10, similarity=similarity, tile_size=128)
    keys = oracles.order_keys(stored(x, similarity), similarity)
    # Equal rows may differ in the last bit of the oracle's products: compare values, then order.
    chosen = np.take_along_axis(keys, found.indices.astype(int), 1)
    best = -np.sort(-keys, axis=1)[:, :10]
    np.testing.assert_allclose(chosen, best, rtol=1e-12, atol=1e-12)
    copies = np.flatnonzero((x == x[7]).all(1))
    for row in copies[:5]:
        np.testing.assert_array_equal(found.indices[row], copies[copies != row][:10])
    assert found.diagnostics["rows_searched_fully"] >= 150


def test_float64_recheck_resolves_what_float32_cannot(rng, monkeypatch):
    # A one-dimensional curve with hardly a spare candidate: float32 products cannot certify it.
    monkeypatch.setattr(module, "_SPARE", 2)
    t = np.sort(rng.uniform(0, 1, 2000))
    x = np.stack([np.cos(t), np.sin(t), t**2], 1).astype(np.float32)
    found = neighbors(x, k=8, similarity="euclidean", tile_size=500)
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


def test_many_column_tiles_give_the_same_ids(rng, monkeypatch):
    x = oracles.anisotropic(rng, 700, 16, 0.96)
    monkeypatch.setattr(module, "_COLUMN_TILES", 1)  # columns in steps of at most 96
    found = neighbors(x, k=40, tile_size=96)
    np.testing.assert_array_equal(found.indices, oracles.knn(oracles.l2_rows(x), 40))


def test_block_selection_is_exact_where_it_is_used(rng):
    from jaxalign.pairwise.proposals import _select

    s = rng.integers(0, 5000, size=(3, 8192)).astype(np.float32)
    values, columns = _select(jax.numpy.asarray(s), 57)
    np.testing.assert_array_equal(values, -np.sort(-s, axis=1)[:, :57])
    np.testing.assert_array_equal(np.take_along_axis(s, np.asarray(columns), 1), values)


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
