"""Rows made for measurements: the same in every block, on every host, for every n."""

import numpy as np
import pytest

from jaxalign.profiling.synthetic import SyntheticRows, random_lists


def test_any_block_is_part_of_the_whole(rng):
    source = SyntheticRows(1, 3, 2500, 8)
    whole = source.read(0, 2500)
    assert whole.shape == source.shape == (2500, 8)
    assert whole.dtype == source.dtype
    for start, stop in ((0, 0), (2500, 2500), (1023, 1025), (1000, 9999)):
        np.testing.assert_array_equal(source.read(start, stop), whole[start:stop])
    index = rng.integers(0, 2500, 40)
    np.testing.assert_array_equal(source.take(index), whole[index])
    np.testing.assert_array_equal(SyntheticRows(1, 3, 1200, 8).read(0, 1200), whole[:1200])


def test_later_models_share_more(rng):
    first, last, other = (SyntheticRows(i, 9, 1024, 64).read(0, 1024) for i in (0, 8, 7))

    def shared(x, y):
        return np.linalg.svd(np.linalg.qr(x)[0].T @ np.linalg.qr(y)[0], compute_uv=False)[
            :32
        ].mean()

    assert shared(last, other) > shared(first, other) + 0.02


@pytest.mark.parametrize(("n", "k"), [(2, 1), (50, 49), (1000, 25)])
def test_lists_hold_different_rows_and_never_their_own(n, k):
    lists = random_lists(n, k, seed=3)
    assert lists.shape == (n, k)
    assert all(len({i, *row}) == k + 1 for i, row in enumerate(lists.tolist()))
    assert lists.min() >= 0
    assert lists.max() < n
