"""Every example lands once, in the smallest bucket that holds it, in stable order."""

import dataclasses

import numpy as np
import pytest

from jaxalign.models.batching import RowBuckets
from jaxalign.models.encoder import UnsupportedStructureError

BUCKETS = (4, 8, 20)


def buckets(rows=lambda bucket: max(1, 40 // bucket)):
    """A batch tells what it was made of."""
    return RowBuckets(
        size=lambda example: len(example["x"]),
        buckets=BUCKETS,
        batch_size=rows,
        pad=lambda examples, bucket, rows: {"shape": np.array([len(examples), bucket, rows])},
    )


def of_size(size):
    return {"x": np.zeros(size)}


def test_covers_all_examples_once_in_stable_order(rng):
    sizes = rng.integers(1, 21, 300).tolist()
    plans = buckets().plan([of_size(size) for size in sizes])
    assert sorted(np.concatenate([plan.rows for plan in plans]).tolist()) == list(range(300))
    for bucket in BUCKETS:
        rows = [row for plan in plans if plan.shape[0] == bucket for row in plan.rows.tolist()]
        assert rows == sorted(rows)
        below = max((b for b in BUCKETS if b < bucket), default=0)
        assert all(below < sizes[row] <= bucket for row in rows)
    assert {plan.shape for plan in plans} <= {(4, 10), (8, 5), (20, 2)}
    assert all(len(plan.rows) <= plan.shape[1] for plan in plans)


def test_work_counts_padding_and_empty_slots():
    (plan,) = buckets(lambda bucket: 3).plan([of_size(4), of_size(2)])
    assert (plan.real, plan.computed) == (6, 12)


def test_no_examples_no_batches():
    assert buckets().plan([]) == ()
    assert buckets().smallest == (4, 10)


def test_too_large_says_the_limit():
    buckets().check(of_size(20))
    assert buckets().collate([of_size(20)], (20, 2))["shape"].tolist() == [1, 20, 2]
    with pytest.raises(UnsupportedStructureError, match=r"size 21 .* limit of 20"):
        buckets().check(of_size(21))


def test_buckets_that_grow_take_everything():
    growing = dataclasses.replace(buckets(), grows=True)
    growing.check(of_size(500))
    shapes = [plan.shape[0] for plan in growing.plan([of_size(n) for n in (3, 20, 21, 40, 41)])]
    assert shapes == [4, 20, 40, 40, 80]
