"""Terms from thresholds equal dense masks, and the graph route, for every k."""

import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics import cknna, mutual_knn
from jaxalign.pairwise import boundaries
from jaxalign.pairwise.thresholds import threshold_terms, threshold_terms_of_several

N, D, K, TILE = 260, 12, 40, 100


@pytest.fixture
def data(rng):
    sets = {
        "isotropic": rng.normal(size=(N, D)),
        "anisotropic": oracles.anisotropic(rng, N, D, 0.998),
        "offset": rng.normal(size=(N, D)) + 1000,
        "integers": rng.integers(-1, 2, size=(N, D)),
        "duplicates": rng.normal(size=(20, D))[rng.integers(0, 20, N)],
        "few values": np.eye(D)[rng.integers(0, 4, N)],
        "constant": np.ones((N, D)),
    }
    return {name: x.astype(np.float32) for name, x in sets.items()}


def check(found, rows, k, groups=None, new=slice(None)):
    shared, products = reference.masked_terms(rows, k, groups)
    np.testing.assert_array_equal(found.shared, shared[new])
    # Rows that are all equal have K̄ = 0 but for the rounding of their mean.
    np.testing.assert_allclose(found.products, products[new], rtol=1e-6, atol=1e-12)


def test_terms_equal_dense_masks(data):
    rows = [oracles.l2_rows(x) for x in data.values()]
    models = [model_rows(x, "l2") for x in data.values()]
    found = threshold_terms_of_several(models, ks=(K, N - 1), tile_size=TILE)
    for k, terms in found.items():
        check(terms, rows, k)
        np.testing.assert_array_equal(np.diag(terms.shared), N * k)
        np.testing.assert_array_equal(terms.shared, terms.shared.T)


@pytest.mark.parametrize(
    "pair", [(1, 4), *(pytest.param(p, marks=pytest.mark.slow) for p in ((0, 2), (3, 5)))]
)
def test_scores_equal_those_of_neighbor_graphs(data, pair):
    x, y = (list(data.values())[i] for i in pair)
    found = threshold_terms([model_rows(v, "l2") for v in (x, y)], k=K, tile_size=TILE)
    assert found.shared[0, 1] / (N * K) == float(mutual_knn(x, y, k=K))
    (aa, ab), (_, bb) = found.products
    assert ab / np.sqrt(aa * bb) == pytest.approx(float(cknna(x, y, k=K)), rel=1e-6)


@pytest.mark.slow
def test_terms_do_not_depend_on_tiles_or_memory(data):
    models = [model_rows(data[name], "l2") for name in ("anisotropic", "duplicates", "constant")]
    found = threshold_terms(models, k=K, tile_size=TILE)
    # A budget of nothing: rows are read again for every tile.
    for settings in ({"tile_size": N}, {"tile_size": TILE, "memory_budget": 1}):
        other = threshold_terms(models, k=K, **settings)
        np.testing.assert_array_equal(other.shared, found.shared)
        np.testing.assert_allclose(other.products, found.products, rtol=1e-12, atol=1e-12)


def test_groups_are_left_out(data, rng):
    groups = rng.integers(0, 60, N)
    models = [model_rows(x, "l2") for x in data.values()]
    found = threshold_terms(models, k=K, groups=groups, tile_size=TILE)
    check(found, [oracles.l2_rows(x) for x in data.values()], K, groups)


def test_only_rows_of_new_models_are_summed(data):
    models = [model_rows(x, "l2") for x in data.values()]
    found = threshold_terms(models, k=K, new=[1, 4], tile_size=TILE)
    assert found.shared.shape == (2, len(data))
    check(found, [oracles.l2_rows(x) for x in data.values()], K, new=[1, 4])


@pytest.mark.slow
def test_extreme_scales_and_unequal_widths(rng):
    rows = [1e15 * rng.normal(size=(N, D)), 1e-15 * rng.normal(size=(N, D)), np.eye(N, 300)]
    rows = [x.astype(np.float32) for x in rows]
    found = threshold_terms([model_rows(x, "none") for x in rows], k=K, tile_size=TILE)
    shared, products = reference.masked_terms(rows, K)
    np.testing.assert_array_equal(found.shared, shared)
    np.testing.assert_allclose(found.products, products, rtol=1e-6)


@pytest.mark.slow
def test_the_device_path_finds_the_same_boundaries(data, monkeypatch):
    models = [model_rows(x, "l2") for x in data.values()]
    found = threshold_terms(models, k=K, tile_size=TILE)
    monkeypatch.setattr(boundaries, "_kth_on_host", boundaries._kth_on_device)
    other = threshold_terms(models, k=K, tile_size=TILE)
    np.testing.assert_array_equal(found.shared, other.shared)
    np.testing.assert_array_equal(found.products, other.products)


def test_bad_arguments_are_named(data):
    models = [model_rows(x, "l2") for x in data.values()]
    with pytest.raises(ValueError, match="k must be smaller than the number of samples"):
        threshold_terms(models, k=N)
    with pytest.raises(ValueError, match="by similarity 'inner': got 'euclidean'"):
        threshold_terms(models, k=K, similarity="euclidean")
    with pytest.raises(ValueError, match="which leaves 0 possible neighbors"):
        threshold_terms(models, k=K, groups=np.zeros(N))
    short = model_rows(np.ones((5, 2), np.float32), "l2")
    with pytest.raises(ValueError, match=r"same structures: got \[5, 260\] rows"):
        threshold_terms([*models, short], k=3)
