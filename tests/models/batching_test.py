"""Every example lands once, in a bucket that holds it, with as little padding as can be."""

import dataclasses
import itertools

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


def test_covers_all_examples_once_by_size(rng):
    sizes = rng.integers(1, 21, 300)
    plans = buckets().plan([of_size(size) for size in sizes])
    rows = np.concatenate([plan.rows for plan in reversed(plans)])
    assert rows.tolist() == np.argsort(-sizes, kind="stable").tolist()
    assert [plan.shape[0] for plan in plans] == sorted(plan.shape[0] for plan in plans)
    for plan in plans:
        bucket, slots = plan.shape
        assert slots == max(1, 40 // bucket)
        below = max((b for b in BUCKETS if b < bucket), default=0)
        assert below < sizes[plan.rows].max() <= bucket
    filled = [len(plan.rows) == plan.shape[1] for plan in plans]
    assert all(filled[1:])  # only the smallest examples may leave slots empty


def test_small_examples_fill_the_batches_of_large_ones():
    (plan,) = buckets().plan([of_size(3), of_size(17)])
    assert (plan.shape, plan.rows.tolist()) == ((20, 2), [1, 0])


def test_no_division_into_these_batches_computes_less(rng):
    """Against all ways to give a few examples to batches of the buckets, which cost the same."""
    for _ in range(20):
        sizes = rng.integers(1, 21, 6).tolist()
        least = {(): 0}

        def cost(left, least=least, sizes=sizes):
            if left not in least:
                ways = []
                for bucket in (b for b in BUCKETS if b >= sizes[left[0]]):
                    slots = max(1, 40 // bucket)
                    fitting = [row for row in left[1:] if sizes[row] <= bucket]
                    for count in range(min(slots, len(fitting) + 1)):
                        for others in itertools.combinations(fitting, count):
                            rest = tuple(r for r in left[1:] if r not in others)
                            ways.append(bucket * slots + cost(rest))
                least[left] = min(ways)
            return least[left]

        plans = buckets().plan([of_size(size) for size in sizes])
        assert sum(plan.computed for plan in plans) == cost(tuple(range(6)))


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
    assert shapes == [20, 40, 40, 80]
