"""The driver of the tile sweep: blocks of rows within a memory budget, sums on the host."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Int32

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centering import GramTerms, centered_terms, row_sums
from jaxalign.pairwise.gram_blocks import GramBlocks
from jaxalign.pairwise.gram_ring import sharded_accumulate
from jaxalign.pairwise.gram_schedule import batches, choose_layout, tile_table
from jaxalign.pairwise.gram_tiles import CHUNK, Block, Sums
from jaxalign.pairwise.kernels import UNIT, rounding
from jaxalign.parallel.mesh import SPLIT, local_mesh
from jaxalign.parallel.multihost import exchange
from jaxalign.parallel.padding import place_whole
from jaxalign.parallel.torus import ring_order
from jaxalign.progress import Progress

_WIDTH = 64  # widths are padded to multiples of this, so that few shapes are compiled
_STEP = 5e10  # operations of one device call: a second or less, so that progress is seen
# Calls in flight of a single device: on CPU, parts of each run on a single core. Programs of
# several devices wait for each other: those come one by one, in the same order everywhere.
_AT_ONCE = min(4, os.cpu_count() or 1)


class GramSweep:
    """One sweep over all tiles of all models; see `grams.gram_terms` for the arguments."""

    def __init__(
        self,
        models: Sequence[ModelRows],
        kernels: tuple[str, ...],
        chosen: Sequence[int],
        *,
        mesh: Mesh,
        gather: bool | None,
        bandwidth: float,
        seed: int,
        dtype: str,
        tile_size: int | None,
        budget: int,
    ):
        self.n, self.kernels, self.chosen, self.dtype = models[0].n, kernels, chosen, dtype
        widths = np.array([-(-model.d // _WIDTH) * _WIDTH for model in models])
        # Models of equal width follow each other here; terms are put back into order at the end.
        self.order = np.argsort(widths, kind="stable")
        self.models, self.widths = [models[m] for m in self.order], widths[self.order]
        self.back = np.argsort(self.order)
        # The sweep takes them in its own order: all models are then 0, 1, 2, …
        self.rows = np.sort(self.back[chosen]).astype(np.int32)
        self.bandwidth, self.seed, self.mesh = bandwidth, seed, mesh
        self.layout = choose_layout(
            self.n,
            self.widths,
            devices=mesh.size,
            local=local_mesh(mesh).size,
            dtype=dtype,
            tile_size=tile_size,
            budget=budget,
            gather=gather,
        )

    @property
    def tiles(self) -> int:
        """Tile pairs of the whole sweep."""
        tables = (self._table(starts) for starts in self._starts())
        return sum(int(spans[..., 1].sum()) for _, spans in tables)

    def run(self, progress: Progress) -> dict[str, GramTerms]:
        """Terms of all kernels, equal on all processes."""
        self._blocks = GramBlocks(
            self.models,
            self.widths,
            self.kernels,
            self.mesh,
            self.layout,
            bandwidth=self.bandwidth,
            seed=self.seed,
            dtype=self.dtype,
        )
        shape = len(self.rows), len(self.models)
        self._products = [np.zeros(shape) for _ in self.kernels]
        self._sums = [self._blocks.row_values() for _ in self.kernels]
        self._chosen = place_whole(self.rows, self.mesh)
        at_once = _AT_ONCE if self.mesh.size == 1 else 1
        pending: deque = deque()
        with ThreadPoolExecutor(at_once) as pool:
            for left, right, starts in self._block_pairs():
                table, spans = self._table(starts)
                table = place_whole(table, self.mesh)
                for part in batches(spans, self._most_tiles()):
                    found = pool.submit(self._accumulate, left, right, table, part, starts)
                    pending.append((found, *starts, int(part[..., 1].sum())))
                    # The device works on later calls while the host reads the next block.
                    while len(pending) > at_once:
                        self._collect(*pending.popleft(), progress)
            while pending:
                self._collect(*pending.popleft(), progress)
        # Replicas of one sum: the bits of one process for all.
        self._products = [exchange(part)[0] for part in self._products]
        return {kernel: self._terms(position) for position, kernel in enumerate(self.kernels)}

    def _table(
        self, starts: tuple[int, int]
    ) -> tuple[Int32[np.ndarray, "p 3"], Int32[np.ndarray, "r s 2"]]:
        return tile_table(self.layout, *starts, order=ring_order(self.mesh))

    def _starts(self) -> Iterator[tuple[int, int]]:
        """Blocks on and above the diagonal."""
        starts = self.layout.starts
        return ((left, right) for left in starts for right in starts if right >= left)

    def _block_pairs(self) -> Iterator[tuple[Block, Block, tuple[int, int]]]:
        for start, other in self._starts():
            if other == start:
                left = right = self._blocks.read(start)
            else:
                right = self._blocks.read(other)
            yield left, right, (start, other)

    def _most_tiles(self) -> int:
        """Tile pairs of one call of a single device."""
        tile = self.layout.tile
        operations = 2 * tile**2 * (self.widths.sum() + len(self.kernels) * len(self.models))
        return int(max(1, _STEP // operations))

    def _accumulate(
        self,
        left: Block,
        right: Block,
        table: jax.Array,
        spans: Int32[np.ndarray, "r s 2"],
        starts: tuple[int, int],
    ) -> tuple[Sums, ...]:
        program = sharded_accumulate(
            self.mesh,
            kernels=self.kernels,
            tile=self.layout.tile,
            own=starts[0] == starts[1],
            gather=self.layout.gather,
        )
        place = np.array([self.n, self.layout.size, *starts], np.int32)
        split = NamedSharding(self.mesh, SPLIT)
        arguments = (
            left,
            right,
            self._blocks.precisions,
            table,
            jax.make_array_from_callback(spans.shape, split, lambda index: spans[index]),
            self._chosen,
            place_whole(place, self.mesh),
        )
        # Inside the thread, to which these settings belong. All that goes to the devices went.
        with jax.enable_x64(True), jax.transfer_guard_host_to_device("disallow"):
            return jax.block_until_ready(program(*arguments))

    def _collect(self, found: Future, left: int, right: int, tiles: int, progress) -> None:
        for products, sums, part in zip(self._products, self._sums, found.result(), strict=True):
            products += np.asarray(part.products)
            self._blocks.part(sums, left)[:] += self._blocks.own(part.left)
            self._blocks.part(sums, right)[:] += self._blocks.own(part.right)
        progress.advance(tiles)

    def _terms(self, position: int) -> GramTerms:
        kernel = self.kernels[position]
        vectors = (
            self._blocks.complete(self._sums[position]),
            self._blocks.offsets(position),
            self._blocks.diagonal(kernel),
        )
        terms = centered_terms(
            self._products[position],
            *vectors,
            self.rows.tolist(),
            np.array([rounding(self.dtype, int(width)) for width in self.widths]),
            CHUNK * UNIT[self.dtype],
        )
        scale = self._blocks.scales[kernel][self.back]
        exponents = scale[self.chosen][:, None] + scale[None, :]
        own = np.searchsorted(self.rows, self.back[self.chosen])
        biased, debiased, pairs = (
            np.ldexp(term[np.ix_(own, self.back)], exponents) for term in terms
        )
        return GramTerms(
            biased,
            debiased,
            pairs,
            bandwidths=self._blocks.bandwidths[self.back] if kernel == "rbf" else None,
            precision=self.dtype,
            route="tiles",
            row_sums=row_sums(*vectors).of(self.back).scaled(scale),
        )
