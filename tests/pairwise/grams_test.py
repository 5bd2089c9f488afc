"""The tile sweep against dense float64 matrices: kernels, centerings, tiles, blocks, extremes."""

import numpy as np
import pytest

import tests.oracles_gram as dense
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.grams import gram_terms, linear_route
from jaxalign.pairwise.kernels import KERNELS
from tests.oracles import anisotropic

N, WIDTHS = 150, (6, 70, 20)


def embeddings(rng, n=N, widths=WIDTHS):
    """Models of one latent space, with duplicates, of different widths, offsets and scales."""
    z = rng.normal(size=(n, 4))
    out = []
    for number, d in enumerate(widths):
        x = z @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) + 3.0 * number
        x[5] = x[77]
        out.append((x * 10.0 ** (number - 1)).astype(np.float32))
    return out


def sweep(xs, **settings):
    rows = [model_rows(np.asarray(x), "none") for x in xs]
    return gram_terms(rows, **{"kernels": KERNELS, "route": "tiles"} | settings)


def relative(got, wanted):
    """Largest difference, relative to the geometric mean of the two self terms."""
    scale = np.sqrt(np.diag(wanted))
    return np.abs((got - wanted) / np.outer(scale, scale)).max()


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float64", 1e-12), pytest.param("float32", 1e-6, marks=pytest.mark.slow)],
)
def test_all_kernels_and_centerings_agree_with_dense_matrices(rng, precision, tolerance):
    xs = embeddings(rng)
    # 64-row tiles in blocks of 64 rows: several blocks, ragged at the end.
    settings = {"tile_size": 64, "memory_budget": 100_000, "precision": precision}
    found, whole = sweep(xs, **settings), sweep(xs, precision=precision)
    for kernel in KERNELS:
        matrices = [dense.matrix(x, kernel) for x in xs]
        for how in dense.CENTERINGS:
            wanted = dense.terms(matrices, how)
            assert relative(getattr(found[kernel], how), wanted) < tolerance, (kernel, how)
            between = relative(getattr(whole[kernel], how), getattr(found[kernel], how))
            assert between < tolerance, (kernel, how)
        assert found[kernel].precision == precision
        sums = np.transpose([dense.row_sums(a) for a in matrices])
        np.testing.assert_allclose(found[kernel].row_sums, sums, rtol=10 * tolerance)
    sigma = [np.median(dense.distances(x)[np.triu_indices(N, 1)]) for x in xs]
    assert found["rbf"].bandwidths == pytest.approx(sigma, rel=1e-9)
    assert found["linear"].bandwidths is None


def test_new_models_get_the_rows_of_the_full_result(rng):
    xs = embeddings(rng)
    whole, new = sweep(xs), sweep(xs, new=[2, 0])
    for kernel in KERNELS:
        for how in dense.CENTERINGS:
            full, rows = getattr(whole[kernel], how), getattr(new[kernel], how)
            assert rows.shape == (2, 3)
            assert rows == pytest.approx(full[[2, 0]], rel=1e-12)
        np.testing.assert_allclose(new[kernel].row_sums, whole[kernel].row_sums, rtol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_offset_anisotropy_and_extreme_scales_lose_nothing(rng, precision):
    z = rng.normal(size=(N, 16))
    xs = [
        (z + 1e3).astype(np.float32),
        anisotropic(rng, N, 16, 0.998),
        (z * 1e-20).astype(np.float32),
        (z * 1e20).astype(np.float32),
    ]
    found = sweep(xs, precision=precision)
    # Scores are free of scale: the oracle gets the same stored rows at unit scale.
    plain = [xs[0], xs[1], xs[2].astype(np.float64) * 1e20, xs[3].astype(np.float64) * 1e-20]
    for kernel in KERNELS:
        matrices = [dense.matrix(x, kernel) for x in plain]
        for how in dense.CENTERINGS:
            got, wanted = getattr(found[kernel], how), dense.terms(matrices, how)
            got = got / np.sqrt(np.outer(np.diag(got), np.diag(got)))
            wanted = wanted / np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
            tolerance = 1e-5 if precision == "float32" else 1e-9
            assert np.abs(got - wanted).max() < tolerance, (kernel, how)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_rounding_is_no_score(rng, precision):
    equal = np.tile(rng.normal(size=(1, 192)).astype(np.float32) * 1e3, (N, 1))
    simplex = np.eye(N, 192, dtype=np.float32)  # all distances are √2
    other = rng.normal(size=(N, 192)).astype(np.float32)
    found = sweep([equal, simplex, other], precision=precision)
    for kernel in KERNELS:
        for how in dense.CENTERINGS:
            values = getattr(found[kernel], how)
            assert values[0, 0] == 0, (kernel, how)
            assert values[2, 2] > 0, (kernel, how)
            assert (values[1, 1] == 0) == (how != "biased"), (kernel, how)
    assert found["rbf"].bandwidths[0] == 0


def test_four_and_fewer_structures(rng):
    xs = [rng.normal(size=(4, d)).astype(np.float32) for d in (2, 9)]
    found = sweep(xs)
    for kernel in KERNELS:
        matrices = [dense.matrix(x, kernel) for x in xs]
        for how in dense.CENTERINGS:
            assert relative(getattr(found[kernel], how), dense.terms(matrices, how)) < 1e-10
    assert np.isnan(sweep([x[:3] for x in xs])["euclidean"].debiased).all()


def test_the_linear_route_follows_the_operations(rng):
    assert linear_route(100, [60, 60]) == "tiles"
    assert linear_route(1000, [60, 60]) == "features"
    xs = embeddings(rng)
    assert sweep(xs, kernels=("linear",), route=None)["linear"].route == "features"


def test_progress_is_shown_only_with_a_label(rng, capsys):
    xs = embeddings(rng)
    sweep(xs)
    assert capsys.readouterr().err == ""
    sweep(xs, progress="tiles of all models")
    assert "tiles of all models: 1/1 tiles" in capsys.readouterr().err


def test_bad_arguments_are_named(rng):
    xs = embeddings(rng)
    with pytest.raises(ValueError, match="unknown kernel 'cosine'"):
        sweep(xs, kernels=("cosine",))
    with pytest.raises(ValueError, match="name at least one"):
        sweep(xs, kernels=())
    with pytest.raises(ValueError, match=r"same structures: got 2 models with \[149, 150\] rows"):
        sweep([xs[0], xs[1][1:]])
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        sweep(xs, bandwidth=0.0)
    with pytest.raises(ValueError, match="tile_size must be a positive integer"):
        sweep(xs, tile_size=0)
    with pytest.raises(ValueError, match="memory_budget must be a positive integer"):
        sweep(xs, memory_budget=-1)
    with pytest.raises(ValueError, match="precision must be"):
        sweep(xs, precision="bfloat16")
    with pytest.raises(ValueError, match="route must be"):
        sweep(xs, route="fast")


@pytest.mark.slow
def test_float32_tiles_hold_at_eight_thousand_rows(rng):
    xs = embeddings(rng, 8000, (32, 32, 32))
    small, large = (sweep(xs, precision="float32", tile_size=tile) for tile in (128, 256))
    exact = sweep(xs, precision="float64")
    for kernel in KERNELS:
        for how in dense.CENTERINGS:
            wanted = getattr(exact[kernel], how)
            assert relative(getattr(small[kernel], how), wanted) < 1e-6, (kernel, how)
            assert relative(getattr(large[kernel], how), getattr(small[kernel], how)) < 1e-6
