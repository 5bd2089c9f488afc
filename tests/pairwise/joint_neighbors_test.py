"""Joint distances of all pairs in one sweep, against dense float64 and the search of one pair."""

import itertools

import numpy as np
import pytest

import tests.oracles_dimension as oracles
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._idcor import IDCOR, joint_distances, nearest_two
from jaxalign.pairwise.joint_neighbors import joint_nearest

N, DX, DY = 300, 6, 10


def _models(rng, n=N):
    z = rng.normal(size=(n, 4))
    inputs = [z @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) for d in (DX, DX, DY, DY)]
    inputs[3] *= np.geomspace(1, 100, DY)
    return inputs


def _dense(x, y):
    both = np.concatenate([model_rows(v, "none").load() for v in (x, y)], axis=1)
    return oracles.sorted_distances(both)[:, :2]


@pytest.mark.parametrize("tile", [None, 1])
def test_sweep_finds_the_distances_of_every_pair(rng, tile):
    inputs = _models(rng)
    pairs = [*itertools.combinations(range(4), 2), (2, 2), (3, 0)]
    models = [model_rows(v, "none") for v in inputs]
    found = joint_nearest(models, pairs, tile_size=tile)
    assert found.shape == (len(pairs), N, 2)
    for (a, b), distances in zip(pairs, found, strict=True):
        np.testing.assert_allclose(distances, _dense(inputs[a], inputs[b]), rtol=1e-6)


def test_sweep_and_pair_search_give_the_same_score(rng):
    inputs = _models(rng)
    models = [model_rows(v, "standardize") for v in inputs]
    statistics = [nearest_two(model.load()) for model in models]
    pairs = list(itertools.combinations(range(4), 2))
    for (a, b), joint in zip(pairs, joint_nearest(models, pairs), strict=True):
        own = [statistics[side] for side in (a, b)]
        swept, _ = IDCOR.term(*own, joint)
        searched, _ = IDCOR.term(*own, joint_distances(*own))
        assert swept == pytest.approx(searched, abs=1e-5)


def test_sweep_of_duplicates_near_duplicates_and_extreme_scales(rng):
    inputs = _models(rng)
    for v in inputs:
        v[:30] = v[30:60]  # equal in every model
    inputs[0][100:110] = inputs[0][110:120]  # equal in one
    for v in inputs[2:]:
        v[200:210] = v[210:220] * (1 + 1e-7)  # nearly equal in two
    inputs[1] *= 1e-25
    pairs = [(0, 1), (0, 2), (2, 3), (1, 1)]
    found = joint_nearest([model_rows(v, "none") for v in inputs], pairs)
    for (a, b), distances in zip(pairs, found, strict=True):
        expected = _dense(inputs[a], inputs[b])
        np.testing.assert_allclose(distances, expected, rtol=1e-6)
        assert (distances[:60, 0] == 0).all()


def test_sweep_names_models_of_other_length(rng):
    x = rng.normal(size=(N, DX))
    with pytest.raises(ValueError, match="same 3 or more structures"):
        joint_nearest([model_rows(x, "none"), model_rows(x[:-1], "none")], [(0, 1)])
