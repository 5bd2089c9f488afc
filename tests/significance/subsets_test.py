"""Subsets without repeats, whole groups, disjoint parts."""

import numpy as np
import pytest

from jaxalign.significance.subsets import disjoint_pairs, disjoint_parts, row_blocks


def whole(rows, groups):
    """Whether some rows hold every group wholly or not at all."""
    inside = np.isin(np.arange(len(groups)), rows)
    return all(
        inside[groups == label].all() or not inside[groups == label].any() for label in groups
    )


def test_pairs_are_disjoint_and_hold_all_structures_equally_often(rng):
    subsets = disjoint_pairs(21, size=10, count=200, seed=int(rng.integers(2**31)))
    assert len(subsets) == 400
    assert all((np.diff(rows) > 0).all() for rows in subsets)
    for one, other in zip(subsets[::2], subsets[1::2], strict=True):
        assert len(one) == len(other) == 10
        assert not set(one) & set(other)
    # A structure is in one of the two with probability 20/21.
    counts = np.bincount(np.concatenate(subsets[::2]), minlength=21)
    assert abs(counts - 200 * 10 / 21).max() < 6.5 * 7.1  # standard deviations
    assert len({tuple(rows) for rows in subsets}) > 390


def test_a_seed_decides_and_more_pairs_begin_alike():
    few, many = (disjoint_pairs(30, size=12, count=count, seed=4) for count in (3, 7))
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a, b)
    other = disjoint_pairs(30, size=12, count=3, seed=5)
    assert not np.array_equal(few[0], other[0])


def test_subsets_and_blocks_take_whole_groups(rng):
    groups = rng.permutation(np.repeat(np.arange(25), rng.integers(1, 6, size=25)))
    n = len(groups)
    subsets = disjoint_pairs(n, size=n // 2, count=10, seed=1, groups=groups)
    for one, other in zip(subsets[::2], subsets[1::2], strict=True):
        assert not set(one) & set(other)
        for rows in (one, other):
            assert whole(rows, groups)
            assert n // 2 - 9 <= len(rows) <= n // 2
    blocks = row_blocks(n, count=6, seed=1, groups=groups)
    assert len(blocks) == 6
    assert all(whole(rows, groups) for rows in blocks)
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(n))
    assert np.ptp([len(rows) for rows in blocks]) <= 5


def test_blocks_without_groups_are_even():
    blocks = row_blocks(23, count=5, seed=0)
    assert sorted(map(len, blocks)) == [4, 4, 5, 5, 5]
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(23))
    assert len(row_blocks(3, count=20, seed=0)) == 3
    assert len(row_blocks(9, count=20, seed=0, groups=list("aaabbbccc"))) == 3


def test_parts_are_disjoint_and_nested(rng):
    seed = int(rng.integers(2**31))
    quarters = disjoint_parts(103, size=25, count=8, seed=seed)
    halves = disjoint_parts(103, size=50, count=8, seed=seed)
    assert [len(quarters), len(halves)] == [4, 2]
    assert len(np.unique(np.concatenate(quarters))) == 100
    assert set(quarters[0]) | set(quarters[1]) == set(halves[0])
    assert len(disjoint_parts(103, size=25, count=3, seed=seed)) == 3
    groups = np.repeat(np.arange(26), 4)[:103]
    grouped = disjoint_parts(103, size=50, count=2, seed=seed, groups=groups)
    members = np.bincount(groups[grouped[0]], minlength=26)
    assert ((members > 0) & (members < np.bincount(groups))).sum() <= 1


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: disjoint_pairs(10, size=6, count=2, seed=0), "1 to 5 of 10"),
        (lambda: disjoint_pairs(9, size=4, count=2, seed=0, groups="aaabbbccc"), "3 groups"),
        (lambda: disjoint_pairs(20, size=5, count=2, seed=0, groups=[0] * 12 + list(range(8))),
         "the largest of 13"),
        (lambda: disjoint_pairs(9, size=4, count=2, seed=0, groups="ab"), "got 2 for 9"),
        (lambda: row_blocks(10, count=1, seed=0), "at least 2 blocks: got 1 of 10 structures"),
        (lambda: row_blocks(4, count=20, seed=0, groups="aaaa"), "got 20 of 1 groups"),
        (lambda: disjoint_parts(10, size=11, count=2, seed=0), "between 1 and 10"),
    ],
)  # fmt: skip
def test_impossible_draws_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
