"""Maps give back points of the plane; stress and shares against their formulas."""

import math

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.model_map import classical_map, score_distances, stress

NAMES = tuple("fabdce")


def placed(points, names=NAMES):
    return labeled(names, squareform(pdist(points)), "distance")


def test_points_of_a_plane_come_back(rng):
    points = rng.normal(size=(6, 2)) * [3, 1]
    found = classical_map(placed(points))
    assert procrustes(points, found.points.values)[2] < 1e-12
    np.testing.assert_allclose(pdist(found.points.values), pdist(points), rtol=1e-9)
    assert found.explained == pytest.approx(1)
    assert found.stress == pytest.approx(0, abs=1e-9)
    assert found.negative == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found.points.mean("model"), 0, atol=1e-12)
    assert list(found.points.model.values) == list(NAMES)
    spread = np.square(found.points.values).sum(axis=0)
    np.testing.assert_allclose(spread, found.eigenvalues[:2])
    assert spread[0] >= spread[1]


def test_shares_and_stress_are_their_formulas(rng):
    d = rng.uniform(0.5, 1, size=(6, 6))
    d = np.triu(d, 1) + np.triu(d, 1).T
    found = classical_map(labeled(NAMES, d, "distance"))
    centering = np.eye(6) - 1 / 6
    values = np.linalg.eigvalsh(-0.5 * centering @ d**2 @ centering)[::-1]
    np.testing.assert_allclose(found.eigenvalues, values, atol=1e-9)
    assert found.explained == pytest.approx(values[:2].sum() / values[values > 1e-12].sum())
    wanted = -values[values < 0].sum() / np.abs(values).sum()
    assert found.negative == pytest.approx(wanted)
    shown = squareform(pdist(found.points.values))
    upper = np.triu_indices(6, 1)
    wanted = math.sqrt(np.sum((shown - d)[upper] ** 2) / np.sum(d[upper] ** 2))
    assert found.stress == pytest.approx(wanted)


def test_the_map_does_not_depend_on_the_order_of_models(rng):
    d = placed(rng.normal(size=(6, 5)))
    wanted = classical_map(d).points
    order = rng.permutation(6)
    found = classical_map(d.isel(model_a=order, model_b=order)).points
    np.testing.assert_array_equal(found.sel(model=list(NAMES)), wanted)
    far = np.abs(wanted.values).argmax(axis=0)
    assert (wanted.values[far, [0, 1]] > 0).all()


def test_distances_of_scores():
    values = np.array([[1, 0.8, np.nan], [0.6, 1, 1.1], [0.2, 1.1, 1]])
    found = score_distances(labeled(("a", "b", "c"), values, "cka"))
    np.testing.assert_allclose(found, [[0, 0.3, np.nan], [0.3, 0, 0], [np.nan, 0, 0]])


def test_models_with_missing_distances_are_left_out(rng):
    d = placed(rng.normal(size=(6, 2)))
    d[1, 3] = np.nan
    found = classical_map(d)
    assert found.left_out == ("d",)
    assert found.points.shape == (5, 2)


def test_few_and_equal_models():
    one = classical_map(labeled(("a",), np.full((1, 1), np.nan), "distance"))
    np.testing.assert_array_equal(one.points, [[0, 0]])
    assert math.isnan(one.explained)
    assert math.isnan(one.stress)
    two = classical_map(labeled(("b", "a"), np.array([[0, 2.0], [2, 0]]), "distance"))
    np.testing.assert_allclose(two.points, [[-1, 0], [1, 0]], atol=1e-12)
    equal = classical_map(labeled(("a", "b", "c"), np.zeros((3, 3)), "distance"))
    np.testing.assert_array_equal(equal.points, np.zeros((3, 2)))
    many = classical_map(labeled(("a", "b"), np.array([[0, 2.0], [2, 0]]), "distance"), axes=4)
    assert many.points.shape == (2, 4)
    assert math.isnan(stress(np.zeros((2, 2)), np.zeros((2, 2))))


@pytest.mark.parametrize(
    ("values", "axes"),
    [
        (np.array([[0, -1.0], [-1, 0]]), 2),
        (np.array([[0, 1.0], [2, 0]]), 2),
        (np.array([[0, 1.0], [1, 0]]), 0),
        (np.empty((0, 0)), 2),
    ],
)
def test_refusals(values, axes):
    with pytest.raises(ValueError, match=r"a map needs|scores must"):
        classical_map(labeled(tuple("ab")[: len(values)], values, "distance"), axes=axes)
