"""Every metric on inputs that break careless code: same numbers, or NaN with a stated reason."""

import ml_dtypes
import numpy as np
import pytest

import jaxalign as ja
import tests.oracles as oracles
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import METRICS

N, D, K = 90, 6, 7
KS = {name: K for name, m in METRICS.items() if m.default_k and not name.startswith("id")}
KS |= {"id:mle": 20}


def table(models, **options):
    """(metric, a, b) → value; every NaN has a reason, and no value is infinite."""
    result = ja.align(models, **({"metrics": tuple(METRICS), "k": KS} | options)).table
    assert not np.isinf(result["value"]).any()
    silent = result[result["value"].isna() & (result["reason"] == "")]
    assert silent.empty, silent[["metric", "model_a", "model_b"]]
    keys = zip(result["metric"], result["model_a"], result["model_b"], strict=True)
    return dict(zip(keys, result["value"], strict=True))


def against_y(found, name, model):
    other = model if isinstance(METRICS[name], ModelMetric) else "y"
    return found[name, model, other]


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(np.random.SeedSequence().entropy)
    return oracles.related_pair(rng, N, D, D, shared=5)


@pytest.mark.slow
def test_types_of_equal_values_give_equal_scores(pair):
    x, y = (v.astype(ml_dtypes.bfloat16) for v in pair)  # 8 bits: every wider type holds them
    wide = x.astype(np.float32)
    halves = wide.astype(np.float16)
    np.testing.assert_array_equal(halves.astype(np.float32), wide)
    models = {"bfloat16": x, "float16": halves, "float32": wide, "float64": wide.astype(float)}
    found = table(models | {"y": y.astype(np.float32)})
    for name in METRICS:
        scores = [against_y(found, name, model) for model in models]
        assert len(set(scores)) == 1, (name, scores)


def test_far_scales_and_offsets_change_nothing_they_should_not(pair):
    x, y = (v.astype(np.float64) for v in pair)
    offset = 1e3 * x.std() * np.ones(D)
    models = {"x": x, "small": x * 1e-20, "large": x * 1e20, "offset": x + offset, "y": y}
    found = table(models)
    for name, metric in METRICS.items():
        plain = against_y(found, name, "x")
        assert np.isfinite(plain), name
        tolerance = 0.02 if metric.default_k else 2e-3
        for model in ("small", "large"):
            assert against_y(found, name, model) == pytest.approx(plain, abs=tolerance, rel=0.02)
        if "translation" in metric.invariances:
            assert against_y(found, name, "offset") == pytest.approx(plain, abs=tolerance, rel=0.02)


def test_duplicates_zeros_constants_and_anisotropy_lose_no_pair(rng):
    x, y = oracles.related_pair(rng, N, D, D)
    repeated = x.copy()
    repeated[10:40] = x[50]
    repeated[40:60] = x[61:81]
    zeros = x.copy()
    zeros[:15] = 0
    constant_feature = x.copy()
    constant_feature[:, 2] = 7.7
    integers = rng.integers(0, 3, size=(N, D)).astype(np.float32)
    narrow = oracles.anisotropic(rng, N, D, 0.998)
    wide = rng.normal(size=(N, N + 10)).astype(np.float32)
    models = {"repeated": repeated, "zeros": zeros, "constant_feature": constant_feature}
    models |= {"integers": integers, "narrow": narrow, "wide": wide, "y": y}
    found = table(models)
    for (name, a, b), value in found.items():
        metric = METRICS[name]
        if isinstance(metric, ModelMetric) or name == "idcor":
            continue  # many equal distances may leave no ratio: NaN with a reason
        assert np.isfinite(value), (name, a, b)
        assert metric.low - 1e-9 <= value <= metric.high + 1e-9, (name, a, b, value)


@pytest.mark.slow
def test_four_structures(rng):
    models = {name: rng.normal(size=(4, 3)).astype(np.float32) for name in "xy"}
    ks = {name: 2 for name, m in METRICS.items() if m.default_k}
    found = table(models, k=ks)
    assert np.isfinite(found["dcor", "x", "y"])
    assert np.isfinite(found["cknna", "x", "y"])


def test_too_few_structures_are_refused_by_name(rng):
    models = {name: rng.normal(size=(3, 3)).astype(np.float32) for name in "xy"}
    for name in ("dcor", "cka", "cknna:platonic"):
        with pytest.raises(ValueError, match=f"{name} needs at least 4 structures: got n=3"):
            ja.align(models, metrics=(name,), k=2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((N, D), np.int64), "floating-point array: got dtype int64"),
        (np.ones((N, D), object), "got dtype object"),
        (np.ones((N, D), np.complex64), "got dtype complex64"),
        (np.ones(N, np.float32), r"must have shape \[n, d\]"),
    ],
)
def test_arrays_that_are_no_embeddings(pair, bad, message):
    with pytest.raises(ValueError, match=message):
        ja.align({"x": pair[0], "bad": bad}, metrics=("dcor",))
    with pytest.raises(ValueError, match=message):
        ja.metrics.distance_correlation(pair[0], bad)
