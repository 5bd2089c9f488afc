"""Every example lands once, in the smallest bucket that holds it, in stable order."""

import numpy as np
import pytest

from jaxalign.models.batching import bucket_batches, choose_bucket, padding_waste
from jaxalign.models.encoder import UnsupportedStructureError

BUCKETS = (4, 8, 20)


def test_covers_all_examples_once_in_stable_order(rng):
    sizes = rng.integers(1, 21, 300).tolist()
    plans = bucket_batches(sizes, buckets=BUCKETS, batch_size=lambda bucket: 40 // bucket)
    assert sorted(np.concatenate([plan.rows for plan in plans]).tolist()) == list(range(300))
    for bucket in BUCKETS:
        rows = [row for plan in plans if plan.bucket == bucket for row in plan.rows.tolist()]
        assert rows == sorted(rows)
        below = max((b for b in BUCKETS if b < bucket), default=0)
        assert all(below < sizes[row] <= bucket for row in rows)
    assert {(plan.bucket, plan.batch_size) for plan in plans} <= {(4, 10), (8, 5), (20, 2)}
    assert all(len(plan.rows) <= plan.batch_size for plan in plans)


def test_waste_counts_padding_and_empty_slots():
    plans = bucket_batches([4, 2], buckets=BUCKETS, batch_size=lambda bucket: 3)
    assert padding_waste([4, 2], plans) == pytest.approx(1 - 6 / 12)
    assert padding_waste([], ()) == 0.0


def test_no_examples_no_batches():
    assert bucket_batches([], buckets=BUCKETS, batch_size=lambda bucket: 3) == ()


def test_too_large_says_the_limit():
    assert choose_bucket(20, BUCKETS) == 20
    with pytest.raises(UnsupportedStructureError, match=r"size 21 .* limit of 20"):
        choose_bucket(21, BUCKETS)
