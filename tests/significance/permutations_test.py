"""Permutations and p-values: all permutations of small sets, laws of sequential p-values."""

import itertools
import math

import numpy as np
import pytest

from jaxalign.significance.permutations import (
    EXCEEDANCES,
    draw_permutation,
    exceedances,
    exchangeable_cells,
    movable_share,
    sampled_null,
)


def test_all_permutations_of_a_cell_are_equally_likely():
    cells = exchangeable_cells(4)
    drawn = [tuple(draw_permutation(cells, 4, seed=3, number=i)) for i in range(2400)]
    counts = [drawn.count(p) for p in itertools.permutations(range(4))]
    # 24 counts of mean 100: χ² with 23 degrees of freedom stays below 70 but for 1 in 10⁶.
    assert sum((c - 100) ** 2 / 100 for c in counts) < 70


def test_labels_and_groups_bound_what_moves(rng):
    n = 40
    within = rng.permutation(np.repeat(np.arange(5), 8))
    order = draw_permutation(exchangeable_cells(n, within=within.tolist()), n, seed=0, number=1)
    assert sorted(order) == list(range(n))
    assert (within[order] == within).all()
    groups = np.array([0] * 3 + [1] * 3 + [2] * 5 + [3] * 3 + list(range(4, 30)))
    cells = exchangeable_cells(n, groups=groups.tolist())
    for number in range(20):
        order = draw_permutation(cells, n, seed=0, number=number)
        moved = groups[order]
        # Whole groups, of one size, in the order they had; the group of five has no counterpart.
        assert (np.diff(order[:3]) == 1).all()
        assert {moved[0], moved[3], moved[11]} == {0, 1, 3}
        assert (moved[6:11] == 2).all()
    assert movable_share(cells, n) == 35 / 40


def test_groups_of_several_labels_change_places_label_by_label():
    groups = ["g", "g", "h", "h", "i", "i", "j", "j", "k", "l", "m", "n", "o"]
    within = ["a", "b", "b", "a", "a", "a", "b", "b", "a", "a", "b", "a", "a"]
    cells = exchangeable_cells(13, groups=groups, within=within)
    assert sorted(map(np.ndarray.tolist, cells)) == [[[0, 1], [3, 2]], [[8], [9], [11], [12]]]
    seen = set()
    for number in range(40):
        order = draw_permutation(cells, 13, seed=1, number=number)
        assert [within[row] for row in order] == within
        seen.add(tuple(order[:4]))
        assert groups[order[0]] == groups[order[1]]
    assert seen == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_p_values_count_the_observation(rng):
    samples = rng.permutation(np.arange(99.0))
    found = sampled_null(95.0, samples, similarity=True, stopped=False)
    assert found.p == (1 + 4) / 100
    assert found.threshold == 94.0  # the 95th of 0, 1, …, 95, 95, …, 98
    assert sampled_null(3.0, samples, similarity=False, stopped=False).p == (1 + 4) / 100
    assert sampled_null(1e9, samples, similarity=True, stopped=False).p == 1 / 100
    np.testing.assert_allclose(found.mean, 49.0)
    assert math.isnan(sampled_null(1.0, np.array([]), similarity=True, stopped=False).mean)


@pytest.mark.parametrize("similarity", [True, False])
def test_sequential_p_values_are_valid(rng, similarity):
    """P(p ≤ α) ≤ α although sampling stops at the h-th exceedance."""
    most, trials = 199, 1000
    p = np.empty(trials)
    for trial in range(trials):
        scores = rng.normal(size=most + 1)
        value, samples = scores[0], scores[1:]
        as_good = samples >= value if similarity else samples <= value
        last = np.flatnonzero(np.cumsum(as_good) == EXCEEDANCES)
        stopped = len(last) > 0
        drawn = samples[: last[0] + 1] if stopped else samples
        assert exceedances(value, drawn, similarity=similarity) <= EXCEEDANCES
        p[trial] = sampled_null(value, drawn, similarity=similarity, stopped=stopped).p
    for alpha in (0.01, 0.05, 0.2, 0.5):
        assert (p <= alpha).mean() <= alpha + 4.5 * math.sqrt(alpha / trials)
    assert (p <= 0.2).mean() > 0.15
