"""Distance correlation: reference numbers, closed forms, the dense definition, packages."""

import ml_dtypes
import numpy as np
import pytest

import tests.oracles_gram as dense
from jaxalign.metrics._distance_correlation import chi_square_p_value, distance_correlation
from tests.oracles import anisotropic, related_pair, stretched

N = 60
A = np.arange(1.0, 7.0)[:, None].astype(np.float32)
B = np.array([1.0, 7, 5, 5, 6, 2])[:, None].astype(np.float32)


def oracle(x, y, debiased=True):
    return dense.score(x, y, "euclidean", "debiased" if debiased else "biased")


def test_reference_numbers():
    assert float(distance_correlation(A, B)) == pytest.approx(-0.41613, abs=1e-5)
    v = distance_correlation(A, B, debiased=False)
    assert float(v) == pytest.approx(0.30661, abs=1e-5)
    assert (v.metric, distance_correlation(A, B).metric) == ("dcor:v", "dcor")
    root = distance_correlation(A, B, debiased=False, squared=False)
    assert float(root) == pytest.approx(np.sqrt(0.30661), abs=1e-5)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_bivariate_normal_closed_form(rng, rho):
    r = rho
    closed = r * np.arcsin(r) + np.sqrt(1 - r**2) - r * np.arcsin(r / 2) - np.sqrt(4 - r**2) + 1
    closed /= 1 + np.pi / 3 - np.sqrt(3)
    x = rng.normal(size=(2000, 1))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(2000, 1))
    # The estimate scatters by less than .02 at this n.
    assert float(distance_correlation(x, y)) == pytest.approx(closed, abs=0.09)


@pytest.mark.parametrize("debiased", [True, False])
def test_agrees_with_the_dense_definition(rng, debiased):
    for dx, dy in ((5, 12), (64, 61)):
        x, y = related_pair(rng, N, dx, dy)
        x[3] = x[9]
        score = distance_correlation(x, y, debiased=debiased)
        assert float(score) == pytest.approx(oracle(x, y, debiased), abs=1e-9)
        same = distance_correlation(x, x, debiased=debiased)
        assert float(same) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_hostile_data(rng, debiased):
    plain = rng.normal(size=(N, 16)).astype(np.float32)
    for x in (
        anisotropic(rng, N, 16, 0.998),
        plain + np.float32(1e3),
        plain * np.float32(1e-20),
        plain * np.float32(1e20),
        np.repeat(plain[: N // 2], 2, axis=0),
    ):
        wanted = oracle(x.astype(np.float64) / np.abs(x).max(), plain, debiased)
        score = distance_correlation(x, plain, debiased=debiased)
        assert float(score) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.slow
def test_the_v_statistic_is_biased_and_the_u_statistic_is_not(rng):
    v, u = [], []
    for _ in range(20):
        x, y = (rng.normal(size=(64, 128)).astype(np.float32) for _ in range(2))
        v.append(float(distance_correlation(x, y, debiased=False)))
        u.append(float(distance_correlation(x, y)))
    assert np.mean(v) == pytest.approx(0.888, abs=0.01)
    assert abs(np.mean(u)) < 4 * np.std(u) / np.sqrt(len(u))


def test_invariances_hold_and_others_do_not(rng):
    x, y = related_pair(rng, N, 6, 9)
    score = float(distance_correlation(x, y))
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moved = (x.astype(np.float64) @ q * 7.0 + 2.0).astype(np.float32)
    assert float(distance_correlation(moved, y)) == pytest.approx(score, abs=1e-5)
    assert float(distance_correlation(y, x)) == pytest.approx(score, abs=1e-12)
    changed = [float(distance_correlation(wide, y)) for wide in stretched(x)]
    assert max(abs(value - score) for value in changed) > 1e-3
    assert abs(float(distance_correlation(x[rng.permutation(N)], y)) - score) > 1e-3


def test_the_root_of_a_negative_value_is_nan_with_a_reason():
    score = distance_correlation(A, B, squared=False)
    assert np.isnan(float(score))
    assert "negative (-0.416)" in score.diagnostics["reason"]
    assert score.diagnostics["squared"] is False


@pytest.mark.slow
def test_chi_square_p_values(rng):
    x = rng.normal(size=(N, 6))
    y = x + 0.1 * rng.normal(size=(N, 6))
    assert distance_correlation(x, y).diagnostics["p_value"] < 1e-6
    independent = [
        distance_correlation(*rng.normal(size=(2, N, 6))).diagnostics["p_value"] for _ in range(100)
    ]
    # Conservative: P(p ≤ .05) stays below .05 but for sampling error.
    assert np.mean(np.array(independent) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert chi_square_p_value(0.0, 50) == pytest.approx(0.31731, abs=1e-5)
    assert "p_value" not in distance_correlation(x, y, debiased=False).diagnostics


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_read_as_they_are(rng, dtype):
    x, y = related_pair(rng, N, 6, 9)
    x = x.astype(dtype)
    wanted = oracle(x.astype(np.float32), y)
    assert float(distance_correlation(x, y)) == pytest.approx(wanted, abs=1e-9)


def test_degenerate_input_gives_nan_with_a_reason(rng):
    y = rng.normal(size=(N, 4)).astype(np.float32)
    for debiased in (True, False):
        score = distance_correlation(np.ones((N, 2), np.float32), y, debiased=debiased)
        assert np.isnan(float(score))
        assert score.diagnostics["reason"].startswith("x: all rows are equal")
    score = distance_correlation(y, np.eye(N, dtype=np.float32))
    assert np.isnan(float(score))
    assert np.isnan(score.diagnostics["p_value"])
    assert "self term of the second model is not positive" in score.diagnostics["reason"]


def test_least_numbers_of_structures(rng):
    x, y = (rng.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    assert float(distance_correlation(x, y)) == pytest.approx(oracle(x, y), abs=1e-9)
    assert float(distance_correlation(x[:2], y[:2], debiased=False)) == pytest.approx(1)
    with pytest.raises(ValueError, match="dcor needs at least 4 structures: got n=3"):
        distance_correlation(x[:3], y[:3])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_packages_compute_the_same(rng):
    import dcor
    from hyppo.independence import Dcorr

    x, y = (v.astype(np.float64) for v in related_pair(rng, N, 6, 9))
    u, v = (float(distance_correlation(x, y, debiased=d)) for d in (True, False))
    assert u == pytest.approx(dcor.u_distance_correlation_sqr(x, y), abs=1e-9)
    assert v == pytest.approx(dcor.distance_correlation_sqr(x, y), abs=1e-9)
    assert u == pytest.approx(Dcorr().statistic(x, y), abs=1e-9)
    noise = rng.normal(size=(N, 3)).astype(np.float32).astype(np.float64)
    ours = distance_correlation(x, noise)
    _, p_value = Dcorr().test(x, noise, auto=True)[:2]
    assert chi_square_p_value(float(ours), N) == pytest.approx(p_value, abs=1e-9)
