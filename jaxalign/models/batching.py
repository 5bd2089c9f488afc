"""Batches of padded rows: size buckets, so that few shapes are compiled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from absl import logging

from jaxalign.models.encoder import Batch, BatchPlan, Example, UnsupportedStructureError

RowShape = tuple[int, int]  # bucket, rows


@dataclasses.dataclass(frozen=True, eq=False)
class RowBuckets:
    """One row a structure, padded to the smallest bucket that holds it.

    Attributes:
      size: inputs of one structure → the number that must fit into a bucket.
      buckets: ascending bucket sizes; the number of compilations is at most their number.
      batch_size: bucket → rows a batch, so that memory stays even over buckets.
      pad: (examples, bucket, rows) → batch.
      grows: an example above the last bucket gets one of its own, twice as large as often as it
        takes, instead of being refused.
    """

    size: Callable[[Example], int]
    buckets: tuple[int, ...]
    batch_size: Callable[[int], int]
    pad: Callable[[Sequence[Example], int, int], Batch]
    grows: bool = False

    @property
    def smallest(self) -> RowShape:
        """The first bucket and its rows."""
        return self.buckets[0], self.batch_size(self.buckets[0])

    def check(self, example: Example) -> None:
        """Makes sure that some bucket holds the example.

        Raises:
          UnsupportedStructureError: if it is larger than the last bucket, and buckets do not grow.
        """
        self._bucket(self.size(example))

    def plan(self, examples: Sequence[Example]) -> tuple[BatchPlan, ...]:
        """Cuts the examples, sorted by size, into batches.

        The largest example that is left chooses the bucket, and the next ones in size, of smaller
        buckets too, fill the batch: so at most one batch is not full. Where batches of all buckets
        hold the same work, no other division computes less.

        Args:
          examples: inputs of structures.

        Returns:
          Batches that together hold every example once, in ascending order of buckets; rows of a
          batch descend in size, and equal ones keep their order. Work is counted in nodes: the
          number of different shapes is at most the number of buckets that occur.

        Raises:
          UnsupportedStructureError: if an example is larger than the last bucket, and buckets do
            not grow.
        """
        sizes = np.array([self.size(example) for example in examples], np.int64)
        order, start, plans = np.argsort(-sizes, kind="stable"), 0, []
        while start < len(order):
            bucket = self._bucket(int(sizes[order[start]]))
            if bucket > self.buckets[-1]:
                logging.info("structures above the usual sizes run in a bucket of %d", bucket)
            slots = self.batch_size(bucket)
            rows = order[start : start + slots]
            start += slots
            real, computed = float(sizes[rows].sum()), float(bucket * slots)
            plans.append(BatchPlan((bucket, slots), rows, real, computed))
        return tuple(reversed(plans))

    def collate(self, examples: Sequence[Example], shape: RowShape) -> Batch:
        """Pads examples to (bucket, rows)."""
        return self.pad(examples, *shape)

    def _bucket(self, size: int) -> int:
        for bucket in self.buckets:
            if size <= bucket:
                return bucket
        if self.grows:
            doublings = math.ceil(math.log2(size / self.buckets[-1]))
            return self.buckets[-1] * 2**doublings
        raise UnsupportedStructureError(
            f"size {size} is above this encoder's limit of {self.buckets[-1]}; "
            "split the structure or leave it out (on_error='skip')"
        )
