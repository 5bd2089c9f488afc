"""Counts of duplicates and zero rows."""

import numpy as np

from jaxalign.pairwise.diagnostics import row_diagnostics


def test_duplicates_are_counted_by_group_and_by_row(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    x[[2, 5, 9]] = x[1]
    x[[11, 12]] = 0
    x[12] *= -1  # minus zero is zero
    counts = {"zero_rows": 2, "duplicate_groups": 2, "duplicate_rows": 6}
    assert row_diagnostics(x) == {"n": 20, "width": 3} | counts


def test_distinct_rows_have_none(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    x[1] = np.nextafter(x[0], np.float32(np.inf))
    counts = {"zero_rows": 0, "duplicate_groups": 0, "duplicate_rows": 0}
    assert row_diagnostics(x) == {"n": 20, "width": 3} | counts
