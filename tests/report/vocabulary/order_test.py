import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from jaxalign.report.vocabulary.order import cluster, dissimilarity


def random_distances(rng, m):
    d = rng.uniform(0.1, 1.0, (m, m))
    d = (d + d.T) / 2
    np.fill_diagonal(d, 0.0)
    return d


@pytest.mark.parametrize("m", [2, 3, 8, 23])
def test_order_does_not_depend_on_the_order_of_the_models(rng, m):
    d, ids = random_distances(rng, m), [f"model-{i}" for i in range(m)]
    first = [ids[i] for i in cluster(d, ids=ids).order]
    shuffled = rng.permutation(m)
    found = cluster(d[np.ix_(shuffled, shuffled)], ids=[ids[i] for i in shuffled])
    assert [ids[shuffled[i]] for i in found.order] == first


def test_order_does_not_depend_on_the_order_of_the_models_with_ties(rng):
    ids = [f"model-{i}" for i in range(9)]
    d = np.where(np.eye(9), 0.0, 0.5)
    first = [ids[i] for i in cluster(d, ids=ids).order]
    shuffled = rng.permutation(9)
    found = cluster(d, ids=[ids[i] for i in shuffled])
    assert [ids[shuffled[i]] for i in found.order] == first


def test_brackets_are_the_tree_of_average_linkage_and_do_not_cross(rng):
    m = 12
    d = random_distances(rng, m)
    found = cluster(d, ids=[f"{i:02d}" for i in range(m)])
    assert sorted(found.order) == list(range(m))
    heights = sorted(bracket[1][1] for bracket in found.brackets)
    tree = linkage(squareform(d), "average")
    np.testing.assert_allclose(heights, np.sort(tree[:, 2]))
    assert found.height == pytest.approx(cophenet(tree).max())
    # Every branch must hold neighboring positions: otherwise brackets would cross.
    members = [{i} for i in range(m)]
    place = np.argsort(found.order)
    for left, right, *_ in tree:
        members.append(members[int(left)] | members[int(right)])
        places = sorted(place[list(members[-1])])
        assert places == list(range(places[0], places[0] + len(places)))


def test_blocks_stay_together_and_noise_stands_last(rng):
    block = np.repeat([0, 1, 2], 4)
    d = np.where(block[:, None] == block[None, :], 0.2, 0.7) + rng.uniform(0, 0.02, (12, 12))
    d = (d + d.T) / 2
    d[[3, 11], :] = d[:, [3, 11]] = 0.99
    np.fill_diagonal(d, 0.0)
    order = list(cluster(d, ids=[f"{i:02d}" for i in range(12)]).order)
    assert set(order[-2:]) == {3, 11}
    assert len({block[i] for i in order[:3]}) == 1


def test_missing_values_join_last_and_empty_models_stand_outside(rng):
    d = random_distances(rng, 6)
    d[2, :] = d[:, 2] = np.nan
    d[0, 1] = d[1, 0] = np.nan
    found = cluster(d, ids=list("abcdef"))
    assert found.order[-1] == 2
    assert len(found.brackets) == 4
    assert np.isfinite(found.height)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_without_values_the_order_is_by_id(m):
    found = cluster(np.full((m, m), np.nan), ids=[f"{m - i}" for i in range(m)])
    assert list(found.order) == list(range(m))[::-1]
    assert found.brackets == ()


def test_dissimilarity_takes_both_directions():
    values = np.array([[1.0, 0.2, np.nan], [0.4, 1.0, np.nan], [0.5, np.nan, 1.0]])
    d = dissimilarity(values, similarity=True)
    assert d[0, 1] == d[1, 0] == pytest.approx(0.7)
    assert d[0, 2] == d[2, 0] == pytest.approx(0.5)
    assert np.isnan(d[1, 2])
    assert dissimilarity(values, similarity=False)[0, 1] == pytest.approx(0.3)
