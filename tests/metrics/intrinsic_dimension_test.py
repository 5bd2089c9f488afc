"""Dimension estimators against dense float64 forms, scikit-dimension, closed forms, references."""

import functools

import numpy as np
import pytest
from scipy.spatial import cKDTree

import tests.oracles_dimension as oracles
from jaxalign.metrics._id_estimators import gride, gride_scale, levina_bickel, twonn
from jaxalign.metrics._intrinsic_dimension import ID_GRIDE, ID_MLE, ID_TWONN, intrinsic_dimension

N, WIDTH, K = 300, 12, 17
FORMS = (
    {"method": "twonn"},
    {"method": "twonn", "fit": "regression"},
    {"method": "mle", "k": K},
    {"method": "mle", "k": K, "combine": "mean"},
    {"method": "gride", "k": K},
)
ESTIMATORS = (
    twonn,
    functools.partial(twonn, fit="regression"),
    levina_bickel,
    functools.partial(levina_bickel, combine="mean"),
    gride,
)


def _expected(distances, form):
    if form["method"] == "mle":
        return oracles.mle(distances, K, form.get("combine", "harmonic"))
    if form.get("fit") == "regression":
        return oracles.twonn_regression(distances)
    return oracles.twonn_ml(distances)


@pytest.fixture
def x(rng):
    return oracles.gaussian(rng, N, 5, WIDTH).astype(np.float32)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_agrees_with_the_dense_definition(x, form):
    expected = _expected(oracles.sorted_distances(x), form)
    score = intrinsic_dimension(x, **form)
    assert float(score) == pytest.approx(expected, rel=1e-5)
    assert score.metric == f"id:{form['method']}"
    seen = score.diagnostics
    assert (seen["n"], seen["normalization"], seen["width"]) == (N, "none", WIDTH)
    assert (seen["rows_used"], seen["rows_excluded"], seen["rows_tied"]) == (N, 0, 0)
    assert 0 < seen["error"] < 0.2 * float(score)


def test_the_curve_of_gride_maximizes_the_likelihood(x):
    distances = oracles.sorted_distances(x)
    curve = intrinsic_dimension(x, method="gride", k=K).diagnostics["curve"]
    assert [(s["n1"], s["n2"]) for s in curve] == [(1, 2), (2, 4), (4, 8), (8, 16)]
    for scale in curve:
        value, error = oracles.gride(distances, scale["n1"])
        assert scale["value"] == pytest.approx(value, rel=1e-5)
        assert scale["error"] == pytest.approx(error, rel=1e-2)  # N against N − 1
        mean = distances[:, scale["n2"] - 1].mean()
        assert scale["mean_distance"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
@pytest.mark.parametrize("dimension", [0.05, 3.0, 1e3])
def test_the_score_of_gride_vanishes_at_the_estimate(rng, n, dimension):
    distances = oracles.model_distances(rng, 500, dimension, 2 * n)
    found = gride_scale(distances, n)
    d, logs = found.value, np.log(distances[:, 2 * n - 1] / distances[:, n - 1])
    terms = logs * ((2 * n - 1) - (n - 1) / -np.expm1(-d * logs))
    assert (len(logs) - 1) / d == pytest.approx(terms.sum(), rel=1e-9)
    assert abs(d - dimension) < 6 * found.error
    if n == 1:
        assert d == pytest.approx(twonn(distances).value, rel=1e-12)


@pytest.mark.parametrize("dimension", [2, 5, 10, 20])
def test_reference_numbers(dimension):
    reference = {2: 2.0, 5: 5.0, 10: 9.5, 20: 17.0}[dimension]
    n, rng = 4000, np.random.default_rng(dimension)
    rows = oracles.gaussian(rng, n, dimension, 64)
    tolerance = 4 * dimension / np.sqrt(n)
    score = intrinsic_dimension(rows)
    assert float(score) == pytest.approx(reference, abs=tolerance)
    assert score.diagnostics["error"] == pytest.approx(float(score) / np.sqrt(n), rel=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_sphere_and_cube(rng, dimension):
    n = 2000
    ball = rng.normal(size=(n, dimension + 1))
    sphere = ball / np.linalg.norm(ball, axis=1, keepdims=True)
    for rows in (sphere, rng.uniform(size=(n, dimension))):
        distances = cKDTree(rows).query(rows, k=K + 1)[0][:, 1:]
        for estimate in ESTIMATORS:
            # The arithmetic mean is too large by (k − 1)/(k − 2); borders take a little away.
            tolerance = 6 * dimension / np.sqrt(n) + 0.07 * dimension
            assert estimate(distances).value == pytest.approx(dimension, abs=tolerance)


def test_noise_shows_in_the_curve(rng):
    angle = rng.uniform(0, 2 * np.pi, size=2000)
    circle = np.stack([np.cos(angle), np.sin(angle), *np.zeros((4, 2000))], axis=1)
    rows = circle + 2e-3 * rng.normal(size=circle.shape)
    curve = gride(cKDTree(rows).query(rows, k=65)[0][:, 1:]).details["curve"]
    assert curve[0]["value"] > 1.5 > 1.1 > curve[-1]["value"] > 0.9


def test_agrees_with_scikit_dimension(x):
    skdim = pytest.importorskip("skdim")
    rows = x.astype(np.float64)
    regression = skdim.id.TwoNN(discard_fraction=0.1).fit(rows).dimension_
    with np.errstate(divide="ignore"):  # it also takes the log of 1 − F of the last row
        ml = skdim.id.TwoNN(discard_fraction=0.0, method="mle").fit(rows).dimension_
    assert float(intrinsic_dimension(x, fit="regression")) == pytest.approx(regression, rel=1e-5)
    assert float(intrinsic_dimension(x)) == pytest.approx(ml, rel=1e-5)
    for combine, theirs in (("harmonic", "mle"), ("mean", "mean")):
        expected = skdim.id.MLE().fit(rows, n_neighbors=K, comb=theirs).dimension_
        ours = intrinsic_dimension(x, method="mle", k=K, combine=combine)
        assert float(ours) == pytest.approx(expected, rel=1e-5)
    multiscale = skdim.id.GRIDE(multiscale=True, range_max=K).fit(rows)
    curve = intrinsic_dimension(x, method="gride", k=K).diagnostics["curve"]
    assert [s["value"] for s in curve] == pytest.approx(multiscale.dimension_scales_, rel=1e-5)
    assert [s["error"] for s in curve] == pytest.approx(multiscale.error_scales_, rel=1e-5)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_invariances(rng, x, form):
    base = float(intrinsic_dimension(x, **form))
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    wide = x.astype(np.float64)
    for moved in (wide @ turn, wide * 1e-20, wide * 1e20, wide[rng.permutation(N)]):
        assert float(intrinsic_dimension(moved, **form)) == pytest.approx(base, rel=1e-4)
    # An offset of 1000 costs the rows ten bits before anything is computed from them.
    assert float(intrinsic_dimension(wide + 1e3, **form)) == pytest.approx(base, rel=1e-2)
    exact = (x * 8).round().astype(np.float32)  # where the offset is exact, so is the estimate
    shifted = float(intrinsic_dimension(exact + np.float32(1024), **form))
    np.testing.assert_equal(shifted, float(intrinsic_dimension(exact, **form)))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_varies_under_what_it_is_not_invariant_to(rng, form):
    z = np.pad(rng.normal(size=(N, 5)), ((0, 0), (0, WIDTH - 5)))
    base = float(intrinsic_dimension(z, **form))
    stretched = z * np.geomspace(1, 1e22, WIDTH)
    assert float(intrinsic_dimension(stretched, **form)) < 0.6 * base
    noisy = z + rng.normal(size=z.shape)
    assert float(intrinsic_dimension(noisy, **form)) > 1.2 * base


def test_normalization_is_applied_and_recorded(x):
    expected = oracles.twonn_ml(oracles.sorted_distances(oracles.standardized(x)))
    score = intrinsic_dimension(x, normalize="standardize")
    assert float(score) == pytest.approx(expected, rel=1e-5)
    assert score.diagnostics["normalization"] == "standardize"


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_duplicates_are_left_out_and_counted(x, form):
    doubled = x.copy()
    doubled[:20] = doubled[20:40]
    score = intrinsic_dimension(doubled, **form)
    expected = _expected(oracles.sorted_distances(doubled), form)
    assert float(score) == pytest.approx(expected, rel=1e-5)
    seen = score.diagnostics
    assert (seen["rows_used"], seen["rows_excluded"]) == (N - 40, 40)
    assert (seen["duplicate_groups"], seen["duplicate_rows"]) == (20, 40)
    if form["method"] == "gride":
        assert [s["rows_excluded"] for s in seen["curve"]] == [40, 0, 0, 0]


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_without_distinct_neighbors_the_estimate_is_nan_with_a_reason(x, estimate):
    constant = estimate(np.zeros((N, K)))
    pairs = estimate(oracles.sorted_distances(np.repeat(x[: N // 2], 2, axis=0))[:, :K])
    simplex = estimate(oracles.sorted_distances(np.eye(N))[:, :K])
    for found, reason in ((constant, "distance 0"), (pairs, "distance 0"), (simplex, "one dist")):
        assert np.isnan(found.value)
        assert np.isnan(found.error)
        assert reason in found.reason
    assert constant.details["rows_excluded"] == pairs.details["rows_excluded"] == N
    assert simplex.details["rows_tied"] == N


def test_constant_rows_score_nan_with_a_reason():
    score = intrinsic_dimension(np.ones((N, WIDTH), np.float32))
    assert np.isnan(float(score))
    assert score.diagnostics["reason"].startswith("0 structures have distinct neighbors")
    assert score.diagnostics["rows_excluded"] == score.diagnostics["duplicate_rows"] == N


def test_mean_names_rows_of_infinite_dimension(rng):
    distances = oracles.model_distances(rng, N, 4.0, K)
    distances[:3] = 1.0
    found = levina_bickel(distances, combine="mean")
    assert np.isnan(found.value)
    assert found.reason.startswith("3 structures have all 17 neighbors at one distance")
    assert levina_bickel(distances).value == pytest.approx(4.0, rel=0.2)
    most = twonn(np.where(np.arange(N)[:, None] < 290, 1.0, distances), fit="regression")
    assert np.isnan(most.value)
    assert "270 smallest of 300 ratios" in most.reason


def test_four_rows_of_nine_features(rng):
    rows = rng.normal(size=(4, 9)).astype(np.float32)
    distances = oracles.sorted_distances(rows)
    for combine in ("harmonic", "mean"):
        found = intrinsic_dimension(rows, method="mle", k=3, combine=combine)
        assert float(found) == pytest.approx(oracles.mle(distances, 3, combine), rel=1e-5)
    for estimate in ESTIMATORS:
        assert estimate(distances).value > 0
        assert estimate(distances).error > 0
    assert np.isnan(twonn(distances[:2]).error)  # no degree of freedom is left
    assert np.isfinite(twonn(distances[:2]).value)
    assert np.isnan(twonn(distances[:1]).value)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_anisotropic_rows_far_from_the_origin(rng, form):
    rows = (rng.normal(size=(N, WIDTH)) * 0.03 + 1.0).astype(np.float32)  # mean cosine .999
    expected = _expected(oracles.sorted_distances(rows), form)
    assert float(intrinsic_dimension(rows, **form)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(x, dtype):
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    given = intrinsic_dimension(x.astype(kind), method="mle", k=K)
    same = intrinsic_dimension(x.astype(kind).astype(np.float32), method="mle", k=K)
    assert float(given) == float(same)


def test_bad_arguments_are_named(x):
    for message, arguments in (
        ("k must be smaller than the number of samples: got k=50, n=40", {"method": "mle"}),
        ("k must be at least 2", {"method": "gride", "k": 1}),
        ("unknown method 'pca'", {"method": "pca"}),
        ("unknown fit 'ols'", {"fit": "ols"}),
        ("unknown combination 'median'", {"method": "mle", "combine": "median"}),
        ("fit='regression' belongs to method='twonn'", {"method": "mle", "fit": "regression"}),
        ("combine='mean' belongs to method='mle'", {"combine": "mean"}),
        ("unknown normalization", {"normalize": "zca"}),
    ):
        with pytest.raises(ValueError, match=message):
            intrinsic_dimension(x[:40], **arguments)
    with pytest.raises(ValueError, match="id:twonn needs at least 3 structures"):
        intrinsic_dimension(x[:2])
    broken = x.copy()
    broken[7, 0] = np.nan
    with pytest.raises(ValueError, match="rows: 7"):
        intrinsic_dimension(broken)


def test_records_estimate_from_the_distances_of_a_graph(rng):
    distances = oracles.model_distances(rng, 400, 4.0, 64)
    for metric in (ID_TWONN, ID_MLE, ID_GRIDE):
        found = metric.estimate(distances[:, : metric.default_k])
        assert abs(found.value - 4) < 6 * found.error
        assert found.reason == ""
    assert [s["n1"] for s in ID_GRIDE.estimate(distances).details["curve"]] == [1, 2, 4, 8, 16, 32]
    infinite = distances.copy()
    infinite[3] = np.inf  # beyond the range of the graph's float32
    assert ID_TWONN.estimate(infinite).details["rows_excluded"] == 1


@pytest.mark.parametrize(
    "estimator",
    [
        *ESTIMATORS[:4],
        *(
            pytest.param(functools.partial(gride_scale, n1=n1), marks=pytest.mark.slow)
            for n1 in (2, 8)
        ),
    ],
)
def test_errors_match_the_spread_under_the_model(estimator):
    rng, k = np.random.default_rng(5), 16
    found = [estimator(oracles.model_distances(rng, 200, 6.0, k)) for _ in range(500)]
    values, errors = (np.array([getattr(f, name) for f in found]) for name in ("value", "error"))
    # The spread of 500 draws is known to 3 %; 4 standard errors.
    assert values.std() == pytest.approx(np.median(errors), rel=0.13)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 4, 16])
def test_coverage_of_the_error_of_gride(n):
    rng = np.random.default_rng(n)
    found = [gride_scale(oracles.model_distances(rng, 300, 5.0, 2 * n), n) for _ in range(1000)]
    inside = np.mean([abs(f.value - 5.0) < 1.96 * f.error for f in found])
    assert inside == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_errors_understate_the_spread_on_data_by_a_third_at_most():
    rng = np.random.default_rng(11)
    found = [gride(oracles.sorted_distances(rng.uniform(size=(400, 2)))) for _ in range(100)]
    for scale in range(4):
        values = np.array([f.details["curve"][scale]["value"] for f in found])
        error = np.mean([f.details["curve"][scale]["error"] for f in found])
        assert 0.8 < values.std() / error < 1.7
