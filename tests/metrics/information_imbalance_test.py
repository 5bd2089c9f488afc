"""Information imbalance against dense ranks, closed forms, and what it must not depend on."""

import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._information_imbalance import (
    INFORMATION_IMBALANCE,
    attained_minimum,
    information_imbalance,
)
from jaxalign.pairwise.ranks import rank_rows

N, D = 240, 12


def dense(x, y, k):
    ids = oracles.knn(x, k, "euclidean")
    return 2 / len(x) * np.take_along_axis(reference.rank_table(y), ids, 1).mean()


@pytest.mark.parametrize("k", [1, 7])
def test_equals_the_dense_definition(rng, k):
    x, y = oracles.related_pair(rng, N, D, D, 0.96)
    counts = rng.integers(0, 3, size=(N, D)).astype(np.float32)
    equals = x[rng.integers(0, 30, N)]
    for a, b in ((x, y), (y, x), (x, counts), (counts, x), (equals, counts), (y, equals)):
        assert float(information_imbalance(a, b, k=k)) == pytest.approx(dense(a, b, k), rel=1e-14)


@pytest.mark.parametrize("normalize", ["l2", "standardize", "max_abs_row"])
def test_normalizations(rng, normalize):
    x, y = oracles.related_pair(rng, N, D, D, 0.5)
    rows = [model_rows(v, normalize).load() for v in (x, y)]
    score = information_imbalance(x, y, k=7, normalize=normalize)
    assert float(score) == pytest.approx(dense(*rows, 7), rel=1e-14)
    assert score.diagnostics["normalization"] == normalize


@pytest.mark.parametrize("k", [1, 7, N - 1])
def test_of_a_model_with_itself_is_the_least_value(rng, k):
    x = rng.normal(size=(N, D)).astype(np.float32)
    x[:50] = x[50:100]  # equal rows are ranked as neighbor lists order them
    score = information_imbalance(x, x, k=k)
    assert float(score) == pytest.approx(attained_minimum(N, k), rel=1e-14)
    assert score.diagnostics["least_value"] == (k + 1) / N


def test_independent_rows_score_one(rng):
    values = [
        float(information_imbalance(*rng.normal(size=(2, N, D)).astype(np.float32), k=7))
        for _ in range(12)
    ]
    # Ranks are uniform on 1 … n − 1: sd of one 1/√3, of n·k of them less, neighbors being shared.
    assert np.mean(values) == pytest.approx(1.0, abs=4 / np.sqrt(3 * 12 * N))
    assert INFORMATION_IMBALANCE.null(N, 7) == 1.0


def test_is_directed(rng):
    # The first coordinate alone knows less than the whole, and the whole knows it all.
    whole = (rng.normal(size=(N, D)) * np.where(np.arange(D) < 2, 1, 1e-3)).astype(np.float32)
    part = np.where(np.arange(D) < 1, whole, 0).astype(np.float32)
    assert float(information_imbalance(whole, part)) < 0.5 * float(
        information_imbalance(part, whole)
    )


def test_invariances_and_what_must_change_it(rng):
    x, y = oracles.related_pair(rng, N, D, D, 0.5)
    rotation = np.linalg.qr(rng.normal(size=(D, D)))[0]
    base = float(information_imbalance(x, y, k=7))
    unchanged = {
        "rotation": (y.astype(float) @ rotation),
        "isotropic scaling": y * np.float32(2.0**-7),
        "translation": y + np.float32(3),
    }
    assert set(unchanged) == set(INFORMATION_IMBALANCE.invariances)
    for name, z in unchanged.items():
        z = z.astype(np.float32)
        assert float(information_imbalance(x, z, k=7)) == pytest.approx(base, rel=1e-5), name
        assert float(information_imbalance(z, y, k=7)) < 0.2, name
    changed = [float(information_imbalance(x, wide, k=7)) for wide in oracles.stretched(y)]
    assert max(abs(value - base) for value in changed) > 1e-3
    order = rng.permutation(N)
    shuffled = float(information_imbalance(x[order], y[order], k=7))
    assert shuffled == pytest.approx(base, rel=1e-12)
    assert abs(float(information_imbalance(x, y[order], k=7)) - base) > 0.1


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_extreme_scales(rng, scale):
    x, y = oracles.related_pair(rng, N, D, D)
    big = (y.astype(float) * scale).astype(np.float32)
    assert float(information_imbalance(x, big, k=7)) == pytest.approx(dense(x, big, 7), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_float_inputs_are_taken_as_their_float32_values(rng, dtype):
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x, y = (v.astype(dtype) for v in oracles.related_pair(rng, N, D, D))
    expected = information_imbalance(x.astype(np.float32), y.astype(np.float32), k=7)
    assert float(information_imbalance(x, y, k=7)) == float(expected)


def test_contributions_average_to_the_score(rng):
    x, y = oracles.related_pair(rng, N, D, D)
    ids = oracles.knn(x, 7, "euclidean").astype(np.int32)
    rows = INFORMATION_IMBALANCE.rows(rank_rows(ids, model_rows(y, "none")), N, 7)
    assert rows.shape == (N,)
    assert rows.mean() == pytest.approx(float(information_imbalance(x, y, k=7)), rel=1e-13)


def test_equal_rows_give_nan_with_a_reason(rng):
    x = rng.normal(size=(N, D)).astype(np.float32)
    for pair, side in (((np.ones_like(x), x), "x"), ((x, np.zeros_like(x)), "y")):
        score = information_imbalance(*pair)
        assert np.isnan(float(score))
        assert score.diagnostics["reason"].startswith(f"{side}: all rows are equal")


def test_bad_arguments_are_named(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="k must be smaller than the number of samples"):
        information_imbalance(x, x, k=20)
    with pytest.raises(ValueError, match="must embed the same structures: got 20 and 19 rows"):
        information_imbalance(x, x[:19])
    with pytest.raises(ValueError, match="unknown normalization 'cosine'"):
        information_imbalance(x, x, normalize="cosine")
    with pytest.raises(ValueError, match="y holds NaN or infinity in 1 of 20 rows: 0"):
        information_imbalance(x, np.where(np.arange(60).reshape(20, 3) == 1, np.nan, x))
