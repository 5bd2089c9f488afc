"""Regression of matrices against explicit least squares and all permutations of a small case."""

import itertools

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.relations.matrix_regression import matrix_regression
from jaxalign.analysis.relations.model_labels import same_label


def symmetric(rng, m):
    values = rng.normal(size=(m, m))
    return values + values.T


def pairs(matrix):
    return np.array([matrix[i, j] for i in range(len(matrix)) for j in range(i + 1, len(matrix))])


def t_values(y, columns):
    """Coefficients and t values of least squares with a constant, by its normal equations."""
    design = np.stack([np.ones(len(y)), *columns], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ y
    rest = y - design @ found
    errors = np.sqrt(np.diag(inverse) * (rest @ rest) / (len(y) - design.shape[1]))
    return found[1:], (found / errors)[1:]


def test_coefficients_are_those_of_least_squares(rng):
    m = 9
    x = {name: symmetric(rng, m) for name in "abc"}
    y = symmetric(rng, m) + 2 * x["a"]
    found = matrix_regression(y, x, permutations=9)
    wanted, t = t_values(pairs(y), [pairs(matrix) for matrix in x.values()])
    np.testing.assert_allclose(found["coefficient"], wanted, rtol=1e-9)
    degrees = m * (m - 1) // 2 - 4
    np.testing.assert_allclose(found["partial_correlation"], t / np.sqrt(t**2 + degrees), rtol=1e-9)
    assert list(found["term"]) == list("abc")
    assert (found["pairs"] == 36).all()
    assert (found["models"] == 9).all()


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_p_is_that_of_all_permutations_of_the_residual_matrix(rng, alternative):
    m = 5
    x = {"a": symmetric(rng, m), "b": same_label(list("uuvvw"))}
    y = symmetric(rng, m) + 0.5 * x["a"]
    found = matrix_regression(y, x, permutations=200, alternative=alternative)
    for number, (one, other) in enumerate([("a", "b"), ("b", "a")]):
        design = np.stack([np.ones(10), pairs(x[other])], axis=1)
        rest = pairs(x[one]) - design @ np.linalg.lstsq(design, pairs(x[one]), rcond=None)[0]
        left = np.zeros((m, m))
        left[np.triu_indices(m, 1)] = rest
        left += left.T
        t = []
        for order in itertools.permutations(range(m)):
            moved = left[np.ix_(order, order)]
            t.append(t_values(pairs(y), [pairs(moved), pairs(x[other])])[1][0])
        t = np.array(t)
        t = {"two-sided": np.abs(t), "greater": t, "less": -t}[alternative]
        assert found["p"][number] == pytest.approx(np.mean(t >= t[0] - 1e-9))
        assert found["permutations"][number] == 119


def test_interval_is_the_jackknife_over_clusters(rng):
    m = 8
    clusters = list("aabbcdee")
    x, y = {"x": symmetric(rng, m), "z": symmetric(rng, m)}, symmetric(rng, m)
    found = matrix_regression(y, x, clusters=clusters, permutations=9, confidence=0.9)
    left = []
    for name in "abcde":
        keep = np.array([c != name for c in clusters])
        part = [matrix[np.ix_(keep, keep)] for matrix in (y, *x.values())]
        left.append(t_values(pairs(part[0]), [pairs(p) for p in part[1:]])[0])
    spread = np.sqrt(4 / 5 * np.sum((left - np.mean(left, axis=0)) ** 2, axis=0))
    half = scipy.stats.t(4).ppf(0.95) * spread
    np.testing.assert_allclose(found["low"], found["coefficient"] - half, rtol=1e-8)
    np.testing.assert_allclose(found["high"], found["coefficient"] + half, rtol=1e-8)


def test_shared_effects_of_models_do_not_make_discoveries(rng):
    """Every model has an effect on all its pairs: least squares alone would be far too sure."""
    hits, times = 0, 60
    same = same_label(list("aaabbbcc"))
    for _ in range(times):
        effect = rng.normal(size=8)
        y = effect[:, None] + effect[None, :] + 0.1 * symmetric(rng, 8)
        found = matrix_regression(y, {"same": same}, permutations=99, seed=int(rng.integers(1e9)))
        hits += found["p"][0] <= 0.1
    assert hits <= scipy.stats.binom(times, 0.1).ppf(1 - 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.2])
def test_intervals_cover_the_effect(rng, shared):
    covered, times, same = 0, 300, same_label(list("aaabbbcccddd"))
    for _ in range(times):
        effect = shared * rng.normal(size=12)
        y = 0.3 * same + effect[:, None] + effect[None, :] + 0.1 * symmetric(rng, 12)
        found = matrix_regression(y, {"same": same}, permutations=1).iloc[0]
        covered += found["low"] <= 0.3 <= found["high"]
    assert covered >= scipy.stats.binom(times, 0.95).ppf(1e-6)


def test_a_planted_effect_is_found(rng):
    same = same_label(list("aaabbbccc"))
    found = matrix_regression(0.5 * same + 0.01 * symmetric(rng, 9), {"same": same})
    assert found["p"][0] < 0.01
    assert found["coefficient"][0] == pytest.approx(0.5, abs=0.1)
    assert found["low"][0] > 0.2


def test_degenerate_terms_are_named_and_harm_no_other(rng):
    y, x = symmetric(rng, 6), symmetric(rng, 6)
    terms = {"x": x, "one": np.ones((6, 6)), "twice": symmetric(rng, 6)}
    terms["again"] = terms["twice"] * 3
    found = matrix_regression(y, terms, permutations=20).set_index("term")
    assert found["reason"]["one"] == "the predictor is the same for all pairs"
    assert found["reason"]["twice"] == found["reason"]["again"]
    assert "other predictors determine" in found["reason"]["again"]
    assert found.loc[["one", "twice", "again"], ["coefficient", "low", "p"]].isna().all(axis=None)
    wanted = matrix_regression(y, {"x": x, "twice": terms["twice"]}, permutations=20)
    columns = ["coefficient", "low", "high", "partial_correlation", "p"]
    np.testing.assert_allclose(
        found.loc["x", columns].astype(float), wanted.loc[0, columns].astype(float), rtol=1e-7
    )


def test_what_cannot_be_tested_says_why(rng):
    flat = matrix_regression(np.full((6, 6), 0.3), {"x": symmetric(rng, 6)})
    assert flat["reason"][0] == "all scores are equal"
    assert np.isnan(flat["p"][0])
    few = matrix_regression(symmetric(rng, 3), {"x": symmetric(rng, 3)})
    assert few["reason"][0] == "3 models: a test needs at least 4"
    none = matrix_regression(np.empty((0, 0)), {"x": np.empty((0, 0))})
    assert none["models"][0] == 0
    z = symmetric(rng, 6)
    exact = matrix_regression(2 * z + 1, {"x": symmetric(rng, 6), "z": z})
    assert exact["reason"][0] == "the other predictors explain the scores exactly"
    assert exact["coefficient"][1] == pytest.approx(2)


def test_an_effect_of_one_pair_has_no_interval(rng):
    found = matrix_regression(symmetric(rng, 6), {"same": same_label(list("aabcde"))})
    assert found["reason"][0] == "no interval: it hangs on '0' alone"
    assert np.isnan(found["low"][0])
    assert np.isfinite(found["p"][0])


def test_refusals(rng):
    y = symmetric(rng, 5)
    with pytest.raises(ValueError, match="at least one predictor"):
        matrix_regression(y, {})
    with pytest.raises(ValueError, match="x must be finite and symmetric"):
        matrix_regression(y, {"x": rng.normal(size=(5, 5))})
    gap = y.copy()
    gap[0, 1] = gap[1, 0] = np.nan
    with pytest.raises(ValueError, match="response must be finite"):
        matrix_regression(gap, {"x": y})
    with pytest.raises(ValueError, match="alternative"):
        matrix_regression(y, {"x": y}, alternative="more")
