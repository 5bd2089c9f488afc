"""Procrustes distances against residuals of explicit rotations, scipy and closed forms."""

import math
from functools import partial

import ml_dtypes
import numpy as np
import pytest
import scipy.spatial

import tests.oracles_features as oracles
from jaxalign.metrics._factors import factors, factors_bytes, overlap
from jaxalign.metrics._procrustes import PROCRUSTES, PROCRUSTES_ANGULAR, procrustes

N, DX, DY = 120, 9, 14


@pytest.mark.parametrize("widths", [(DX, DX), (DX, DY), (DY, DX), (N + 5, DX)])
def test_is_the_residual_of_the_best_rotation(rng, widths):
    x, y = oracles.related(rng, N, *widths)
    expected = oracles.procrustes(x, y)
    distance, angle = float(procrustes(x, y)), float(procrustes(x, y, angular=True))
    assert distance == pytest.approx(expected, abs=1e-9)
    assert distance**2 == pytest.approx(2 - 2 * math.cos(angle), abs=1e-12)


def test_agrees_with_the_disparity_of_scipy(rng):
    x, y = oracles.related(rng, N, DX, DX)
    _, _, disparity = scipy.spatial.procrustes(x.astype(np.float64), y.astype(np.float64))
    assert float(procrustes(x, y, angular=True)) == pytest.approx(
        math.acos(math.sqrt(1 - disparity)), abs=1e-9
    )


def test_closed_forms(rng):
    x = oracles.related(rng, N, DX, DX)[0]
    turned = (5 * x.astype(np.float64) @ oracles.rotation(rng, DX) - 3).astype(np.float32)
    assert float(procrustes(x, turned)) < 1e-5
    assert float(procrustes(x, x)) < 1e-7
    # Two orthogonal directions of sizes (cos t, sin t), and the same exchanged in size.
    basis = np.linalg.qr(oracles.centered(rng.normal(size=(N, 2))))[0]
    t = 0.3
    one, other = basis * [math.cos(t), math.sin(t)], basis * [math.sin(t), math.cos(t)]
    angle = float(procrustes(one, other, angular=True))
    assert angle == pytest.approx(math.acos(math.sin(2 * t)), abs=1e-6)
    # Orthogonal embeddings are as far apart as can be.
    assert float(procrustes(basis[:, :1], basis[:, 1:])) == pytest.approx(math.sqrt(2), abs=1e-6)
    assert float(procrustes(basis[:, :1], basis[:, 1:], angular=True)) == pytest.approx(
        math.pi / 2, abs=1e-6
    )


@pytest.mark.parametrize("angular", [False, True])
def test_triangle_inequality(rng, angular):
    z = rng.normal(size=(20, 3))
    for _ in range(50):
        sides = [z @ rng.normal(size=(3, d)) + rng.normal(size=(20, d)) for d in (1, 3, 5)]
        ab, bc, ac = (
            float(procrustes(sides[i], sides[j], angular=angular))
            for i, j in ((0, 1), (1, 2), (0, 2))
        )
        assert max(ab, bc, ac) * 2 <= ab + bc + ac + 1e-9


@pytest.mark.parametrize("metric", [PROCRUSTES, PROCRUSTES_ANGULAR])
def test_claimed_invariances_hold_and_the_others_do_not(rng, metric):
    angular = metric is PROCRUSTES_ANGULAR
    x, y = oracles.related(rng, N, DX, DY)
    plain = float(procrustes(x, y, angular=angular))
    assert plain == pytest.approx(float(procrustes(y, x, angular=angular)), abs=1e-9)
    for one, other in ((x, y), (y, x)):
        score = partial(procrustes, other, angular=angular)
        for kind, change in oracles.moved(score, one, rng).items():
            assert change < 1e-5 if kind in metric.invariances else change > 1e-3, kind


def test_every_normalization_acts(rng):
    x, y = oracles.related(rng, N, DX, DX)
    rows = {
        "l2": lambda v: v / np.linalg.norm(v, axis=1, keepdims=True),
        "max_abs_row": lambda v: v / np.abs(v).max(1, keepdims=True),
        "standardize": lambda v: (v - v.mean(0)) / v.std(0),
    }
    for name, change in rows.items():
        score = procrustes(x, y, normalize=name)
        expected = oracles.procrustes(*(change(v.astype(np.float64)) for v in (x, y)))
        assert float(score) == pytest.approx(expected, abs=1e-5), name
        assert score.diagnostics["normalization"] == name
    assert procrustes(x, y).diagnostics["normalization"] == "none"


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_extreme_scales_and_offsets(rng, scale):
    x, y = oracles.related(rng, N, DX, DX)
    plain = float(procrustes(x, y))
    scaled = (x.astype(np.float64) * scale).astype(np.float32)
    assert float(procrustes(scaled, y)) == pytest.approx(plain, abs=1e-6)
    lifted = (x.astype(np.float64) + 1000 * x.std()).astype(np.float32)
    assert float(procrustes(lifted, y)) == pytest.approx(oracles.procrustes(lifted, y), abs=1e-9)
    assert float(procrustes(lifted, y)) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes(rng, dtype):
    x, y = (v.astype(dtype) for v in oracles.related(rng, N, DX, DY))
    score = procrustes(x, y)
    rounded = [v.astype(np.float32) for v in (x, y)]
    assert float(score) == pytest.approx(oracles.procrustes(*rounded), abs=1e-9)


def test_constant_rows_give_nan_with_a_reason(rng):
    x = rng.normal(size=(N, 3)).astype(np.float32)
    for constant in (np.zeros_like(x), np.full_like(x, 1e3) + np.float32(0.1)):
        for angular in (False, True):
            score = procrustes(constant, x, angular=angular)
            assert np.isnan(float(score))
            assert "rows of the first model are equal" in score.diagnostics["reason"]
            score = procrustes(x, constant, angular=angular)
            assert "rows of the second model are equal" in score.diagnostics["reason"]
    assert "reason" not in procrustes(x, x[:, ::-1]).diagnostics


def test_few_structures_and_diagnostics(rng):
    x, y = rng.normal(size=(4, 7)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    score = procrustes(x, y)
    assert float(score) == pytest.approx(oracles.procrustes(x, y), abs=1e-9)
    assert score.metric == "procrustes"
    assert score.diagnostics["n"] == 4
    assert score.diagnostics["x"]["rank"] == 3
    assert score.diagnostics["y"]["width"] == 2
    assert procrustes(x, y, angular=True).diagnostics["variant"] == "angular"
    with pytest.raises(ValueError, match="must embed the same structures"):
        procrustes(x, y[:3])
    with pytest.raises(ValueError, match="unknown normalization"):
        procrustes(x, y, normalize="unit")


def test_factors_are_the_decomposition_of_the_centered_rows(rng):
    x = oracles.related(rng, N, DX, DX)[0]
    x[:, 3] = 1000.1  # a constant column
    found = factors(x)
    assert found.rank == DX - 1
    assert found.basis.dtype == np.float64
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(DX - 1), atol=1e-13)
    rebuilt = found.basis * found.sizes @ found.loadings
    np.testing.assert_allclose(rebuilt, oracles.shaped(x), atol=1e-8)
    assert (np.diff(found.sizes) <= 0).all()
    held = sum(part.nbytes for part in found)
    assert held <= factors_bytes(N, DX)
    assert factors_bytes(N, DX) < 1.3 * held


def test_rank_counts_what_float32_resolves(rng):
    x = oracles.related(rng, N, DX, DX)[0]
    wide = x.astype(np.float64) @ rng.normal(size=(DX, 40))
    dependent = [
        x[:, :4],  # duplicates
        -2 * x[:, :2] + 1,
        wide.astype(np.float32),  # combinations, rounded
        x @ rng.normal(size=(DX, 40)).astype(np.float32),  # combinations computed in float32
        np.full((N, 1), 0.1, np.float32),
        np.zeros((N, 1), np.float32),
    ]
    for offset in (0, 1000):
        columns = np.concatenate([x, *dependent], 1).astype(np.float64) + offset
        assert factors(columns.astype(np.float32)).rank == DX
    # The units of a column say nothing about its rank, nor does a duplicated structure.
    units = 10.0 ** rng.uniform(-15, 15, DX)
    assert factors((x * units).astype(np.float32)).rank == DX
    assert factors(np.repeat(x, 3, axis=0)).rank == DX
    assert factors(np.repeat(x[:5], 30, axis=0)).rank == 4
    assert factors(x[:5]).rank == 4
    assert factors(x * np.float32(1e-41)).rank <= DX  # subnormal numbers: coarse, but no failure


def test_the_overlap_is_made_once_for_both_directions(rng):
    a, b = (factors(v) for v in oracles.related(rng, N, DX, DY))
    ab = overlap(a, b)
    ba = ab.flipped()
    np.testing.assert_array_equal(ba.core, ab.core.T)
    left, sizes, right = ba.canonical
    np.testing.assert_allclose(left * sizes @ right, ba.core, atol=1e-14)
    assert ba.canonical[1] is ab.canonical[1]
    assert ba.alignment is ab.alignment
    assert PROCRUSTES.term(b, a, overlap(b, a))[0] == pytest.approx(
        PROCRUSTES.term(a, b, ab)[0], abs=1e-12
    )
