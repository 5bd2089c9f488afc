"""Which examples share a batch: size buckets, so that few shapes are compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from jaxalign.models.encoder import UnsupportedStructureError


@dataclasses.dataclass(frozen=True, eq=False)
class BatchPlan:
    """One batch of fixed shape.

    Attributes:
      bucket: size that every example is padded to.
      batch_size: number of slots; those beyond `rows` are empty.
      rows: which examples fill the slots, in order; at most `batch_size` of them.
    """

    bucket: int
    batch_size: int
    rows: Int[np.ndarray, " rows"]


def choose_bucket(size: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `size`.

    Args:
      size: nodes (atoms, tokens, …) of one example.
      buckets: ascending bucket sizes.

    Returns:
      A member of `buckets`.

    Raises:
      UnsupportedStructureError: if the example is larger than the last bucket.
    """
    for bucket in buckets:
        if size <= bucket:
            return bucket
    raise UnsupportedStructureError(
        f"size {size} is above this encoder's limit of {buckets[-1]}; "
        "split the structure or leave it out (on_error='skip')"
    )


def bucket_batches(
    sizes: Sequence[int], *, buckets: Sequence[int], batch_size: Callable[[int], int]
) -> tuple[BatchPlan, ...]:
    """Groups examples by bucket and cuts each group into batches of one size.

    The grouping is stable: inside a bucket examples keep their order, and buckets ascend.

    Args:
      sizes: size of each example.
      buckets: ascending bucket sizes.
      batch_size: bucket → slots a batch.

    Returns:
      Batches that together hold every example once. The number of different shapes is the number
      of buckets that occur.

    Raises:
      UnsupportedStructureError: if an example is larger than the last bucket.
    """
    chosen = np.array([choose_bucket(size, buckets) for size in sizes], dtype=np.int64)
    plans = []
    for bucket in np.unique(chosen).tolist():
        rows = np.flatnonzero(chosen == bucket)
        slots = batch_size(bucket)
        plans.extend(
            BatchPlan(bucket, slots, rows[start : start + slots])
            for start in range(0, len(rows), slots)
        )
    return tuple(plans)


def padding_waste(sizes: Sequence[int], plans: Sequence[BatchPlan]) -> float:
    """Share of computed nodes that are padding.

    1 − Σ sizes / Σ (bucket · batch_size) over all batches.

    Args:
      sizes: size of each example.
      plans: the batches made of them.

    Returns:
      A number in [0, 1); 0 if there is no batch.
    """
    computed = sum(plan.bucket * plan.batch_size for plan in plans)
    return 1.0 - float(sum(sizes)) / computed if computed else 0.0
