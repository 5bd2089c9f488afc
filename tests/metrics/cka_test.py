"""CKA against dense float64 HSIC, reference numbers, invariances and degenerate input."""

import ml_dtypes
import numpy as np
import pytest

import tests.oracles_gram as dense
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._cka import cka
from jaxalign.pairwise.feature_grams import linear_feature_terms
from tests.oracles import anisotropic, cka_linear_debiased, related_pair, stretched

N = 60  # one compiled program for all small tests
VARIANTS = [(kernel, debiased) for kernel in ("linear", "rbf") for debiased in (True, False)]


def oracle(x, y, kernel, debiased, bandwidth=1.0):
    return dense.score(x, y, kernel, "debiased" if debiased else "biased", bandwidth)


@pytest.mark.parametrize(("kernel", "debiased"), VARIANTS)
def test_agrees_with_the_dense_definition(rng, kernel, debiased):
    for dx, dy in ((5, 12), (64, 61)):  # few features and more features than structures
        x, y = related_pair(rng, N, dx, dy)
        score = cka(x, y, kernel=kernel, debiased=debiased)
        assert float(score) == pytest.approx(oracle(x, y, kernel, debiased), abs=1e-9)
        assert float(cka(x, x, kernel=kernel, debiased=debiased)) == pytest.approx(1, abs=1e-12)
    routes = {"linear": "tiles", "rbf": "tiles"}
    assert score.diagnostics["route"] == routes[kernel]
    assert score.diagnostics["precision"] == "float64 entries, float64 sums"
    assert score.metric == "cka" + ":rbf" * (kernel == "rbf") + ":biased" * (not debiased)


def test_debiased_linear_is_the_unbiased_hsic_ratio(rng):
    x, y = related_pair(rng, N, 5, 9)
    assert float(cka(x, y)) == pytest.approx(cka_linear_debiased(x, y), abs=1e-9)


def test_bandwidth_scales_the_median_distance(rng):
    x, y = related_pair(rng, N, 5, 9)
    score = cka(x, y, kernel="rbf", bandwidth=0.5)
    assert float(score) == pytest.approx(oracle(x, y, "rbf", True, 0.5), abs=1e-9)
    median = np.median(dense.distances(x)[np.triu_indices(N, 1)])
    assert score.diagnostics["x"]["bandwidth"] == pytest.approx(median / 2, rel=1e-9)
    assert float(score) != float(cka(x, y, kernel="rbf"))


@pytest.mark.parametrize(
    "n", [32, *(pytest.param(n, marks=pytest.mark.slow) for n in (64, 128, 256))]
)
def test_independent_normals_score_the_known_bias(rng, n):
    expected = {32: 0.20, 64: 0.11, 128: 0.06, 256: 0.03}[n]
    biased, debiased = [], []
    for _ in range(100):
        xs = [model_rows(rng.normal(size=(n, 8)).astype(np.float32), "none") for _ in range(4)]
        terms = linear_feature_terms(xs)
        for values, out in ((terms.biased, biased), (terms.debiased, debiased)):
            scale = np.sqrt(np.diag(values))
            ratio = values / np.outer(scale, scale)
            out.extend([ratio[0, 1], ratio[2, 3]])
    assert np.mean(biased) == pytest.approx(expected, abs=0.011)
    assert abs(np.mean(debiased)) < 4.5 * np.std(debiased) / np.sqrt(len(debiased))


@pytest.mark.parametrize(("kernel", "debiased"), VARIANTS)
def test_invariances_hold_and_others_do_not(rng, kernel, debiased):
    x, y = related_pair(rng, N, 6, 9)
    settings = {"kernel": kernel, "debiased": debiased}
    score = float(cka(x, y, **settings))
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moved = (x.astype(np.float64) @ q * 7.0 + 2.0).astype(np.float32)
    assert float(cka(moved, y, **settings)) == pytest.approx(score, abs=1e-5)
    assert float(cka(y, x, **settings)) == pytest.approx(score, abs=1e-12)
    order = rng.permutation(N)
    assert float(cka(x[order], y[order], **settings)) == pytest.approx(score, abs=1e-9)
    changed = [float(cka(wide, y, **settings)) for wide in stretched(x)]
    assert max(abs(value - score) for value in changed) > 1e-3
    assert abs(float(cka(x[order], y, **settings)) - score) > 1e-3


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_hostile_data(rng, kernel):
    plain = rng.normal(size=(N, 16)).astype(np.float32)
    for x in (
        anisotropic(rng, N, 16, 0.998),
        plain + np.float32(1e3),
        plain * np.float32(1e-20),
        plain * np.float32(1e20),
        np.repeat(plain[: N // 2], 2, axis=0),
    ):
        scaled = x.astype(np.float64) / np.abs(x).max()
        wanted = oracle(scaled, plain, kernel, True)
        assert float(cka(x, plain, kernel=kernel)) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_read_as_they_are(rng, dtype):
    x, y = related_pair(rng, N, 6, 9)
    x = x.astype(dtype)
    # Stored rows are float32: what float64 holds beyond that is rounded.
    wanted = oracle(x.astype(np.float32), y, "linear", True)
    assert float(cka(x, y)) == pytest.approx(wanted, abs=1e-9)


def test_degenerate_input_gives_nan_with_a_reason(rng):
    y = rng.normal(size=(N, 4)).astype(np.float32)
    for kernel, debiased in VARIANTS:
        score = cka(np.full((N, 4), 0.1, np.float32), y, kernel=kernel, debiased=debiased)
        assert np.isnan(float(score))
        assert score.diagnostics["reason"].startswith("x: all rows are equal")
    mostly = np.zeros((N, 4), np.float32)
    mostly[:3] = y[:3]
    score = cka(y, mostly, kernel="rbf")
    assert np.isnan(float(score))
    assert "median distance is 0" in score.diagnostics["warning"]
    assert "self term of the second model" in score.diagnostics["reason"]


def test_least_numbers_of_structures(rng):
    x, y = (rng.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    assert float(cka(x, y)) == pytest.approx(oracle(x, y, "linear", True), abs=1e-9)
    assert float(cka(x[:2], y[:2], debiased=False)) == pytest.approx(1, abs=1e-9)
    with pytest.raises(ValueError, match="cka needs at least 4 structures: got n=3"):
        cka(x[:3], y[:3])


def test_diagnostics_and_normalization(rng):
    x, y = related_pair(rng, N, 6, 9)
    score = cka(x, y, normalize="l2")
    rows = [v / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True) for v in (x, y)]
    assert float(score) == pytest.approx(oracle(*rows, "linear", True), abs=1e-6)
    assert score.diagnostics["normalization"] == "l2"
    assert score.diagnostics["n"] == N
    assert score.diagnostics["x"]["width"] == 6
    assert score.diagnostics["y"]["duplicate_rows"] == 0
    assert cka(x, y).diagnostics["normalization"] == "none"


def test_bad_arguments_are_named(rng):
    x = rng.normal(size=(N, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="unknown CKA kernel 'cosine'"):
        cka(x, x, kernel="cosine")
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        cka(x, x, kernel="rbf", bandwidth=-1.0)
    with pytest.raises(ValueError, match="the linear kernel has no bandwidth"):
        cka(x, x, bandwidth=2.0)
    with pytest.raises(ValueError, match="same structures"):
        cka(x, x[1:])
