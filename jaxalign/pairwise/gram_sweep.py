"""The driver of the tile sweep: blocks of rows within a memory budget, sums on the host."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centered_rows import median_distance, sample_rows, survey
from jaxalign.pairwise.centering import GramTerms, centered_terms
from jaxalign.pairwise.gram_tiles import CHUNK, Block, Sums, accumulate, describe
from jaxalign.pairwise.kernels import UNIT, rounding
from jaxalign.progress import Progress

_TILE = 256  # where the caller names none: tiles of dozens of models then stay in the cache
_COLUMNS = 128  # sampled columns that estimate the row means
_WIDTH = 64  # widths are padded to multiples of this, so that few shapes are compiled
_STEP = 5e10  # operations of one device call: a second or less, so that progress is seen
# Device calls in flight: on CPU, parts of each run on a single core.
_AT_ONCE = min(4, os.cpu_count() or 1)


class GramSweep:
    """One sweep over all tiles of all models; see `grams.gram_terms` for the arguments."""

    def __init__(
        self,
        models: Sequence[ModelRows],
        kernels: tuple[str, ...],
        chosen: Sequence[int],
        *,
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
        self.bandwidth, self.seed = bandwidth, seed
        self.tile, self.length = _shapes(self.n, self.widths, dtype, tile_size, budget)
        self.starts = list(range(0, self.n, self.length))
        row_tiles = -(-self.n // self.tile)
        self.tiles = row_tiles * (row_tiles + 1) // 2
        self._offsets: dict[int, tuple] = {}

    def run(self, progress: Progress) -> dict[str, GramTerms]:
        """Terms of all kernels."""
        self._survey()
        count, m = len(self.kernels), len(self.models)
        self._products = [np.zeros((len(self.rows), m)) for _ in range(count)]
        self._sums = [np.zeros((m, len(self.starts) * self.length)) for _ in range(count)]
        pending: deque = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for left, right, pairs in self._block_pairs():
                for batch, size in self._batches(pairs):
                    found = pool.submit(self._accumulate, left, right, batch, size)
                    pending.append((found, int(left.start), int(right.start), size))
                    # The device works on later calls while the host reads the next block.
                    while len(pending) > _AT_ONCE:
                        self._collect(*pending.popleft(), progress)
            while pending:
                self._collect(*pending.popleft(), progress)
        return {kernel: self._terms(position) for position, kernel in enumerate(self.kernels)}

    def _accumulate(self, left: Block, right: Block, batch, size: int) -> tuple[Sums, ...]:
        # Inside the thread: the setting belongs to a thread.
        with jax.enable_x64(True):
            found = accumulate(
                left,
                right,
                self._precisions,
                batch,
                np.int32(size),
                self.rows,
                np.int32(self.n),
                kernels=self.kernels,
                tile=self.tile,
            )
            return tuple(Sums(*map(np.asarray, part)) for part in found)

    def _survey(self) -> None:
        rows = sample_rows(self.n, self.seed)
        self._centered, sigmas = [], np.zeros(len(self.models))
        for index, model in enumerate(self.models):
            found = survey(model, rows)
            if "rbf" in self.kernels:
                sigmas[index] = self.bandwidth * median_distance(found.sample)
            # Only the columns that estimate row means are kept of the sample.
            kept = found.sample[:_COLUMNS].copy()
            self._centered.append(dataclasses.replace(found, sample=kept))
        exponents = np.array([c.exponent for c in self._centered])
        self._bandwidths = np.ldexp(sigmas, exponents)
        with np.errstate(divide="ignore"):
            # σ = 0 (most rows equal): a constant kernel, whose self terms are 0.
            inverse = np.where(sigmas > 0, 1 / (2 * sigmas**2), 0.0)
        self._scales = {"euclidean": exponents, "linear": 2 * exponents, "rbf": 0 * exponents}
        groups = [np.flatnonzero(self.widths == width) for width in np.unique(self.widths)]
        self._groups = [(int(g[0]), int(g[-1]) + 1) for g in groups]
        self._precisions = tuple(jnp.asarray(inverse[a:b], self.dtype) for a, b in self._groups)
        count = min(_COLUMNS, self.n)
        self._weights = np.where(np.arange(_COLUMNS) < count, 1 / count, 0.0)
        self._samples = tuple(
            jnp.asarray(self._stack(a, b, lambda c: c.sample[:count], _COLUMNS))
            for a, b in self._groups
        )
        self._diagonal = np.zeros((len(self.models), self.n)) if "linear" in self.kernels else None

    def _stack(self, a: int, b: int, read, length: int) -> Float[np.ndarray, "m b p"]:
        out = np.zeros((b - a, length, self.widths[a]), self.dtype)
        for target, model in zip(out, self._centered[a:b], strict=True):
            rows = read(model)
            target[: len(rows), : model.rows.d] = rows
        return out

    def _block(self, start: int) -> Block:
        """Rows `start:start + length` of all models; the same offsets at every reading."""
        rows, squares, offsets = [], [], []
        for (a, b), sample, precision in zip(
            self._groups, self._samples, self._precisions, strict=True
        ):
            stacked = self._stack(a, b, lambda c: c.read(start, start + self.length), self.length)
            rows.append(jnp.asarray(stacked))
            found = describe(rows[-1], sample, self._weights, precision, kernels=self.kernels)
            squares.append(found[0])
            offsets.append(found[1])
        # By kernel, over the groups.
        joined = tuple(jnp.concatenate(parts) for parts in zip(*offsets, strict=True))
        if start not in self._offsets:
            self._offsets[start] = tuple(np.asarray(part, np.float64) for part in joined)
        if self._diagonal is not None:
            stop = min(start + self.length, self.n)
            own = np.concatenate([np.asarray(part, np.float64) for part in squares])
            self._diagonal[:, start:stop] = own[:, : stop - start]
        return Block(tuple(rows), tuple(squares), joined, np.int32(start))

    def _block_pairs(self) -> Iterator[tuple[Block, Block, Int[np.ndarray, "p 3"]]]:
        """Blocks on and above the diagonal, with the tile pairs they hold."""
        for start in self.starts:
            left = self._block(start)
            for other in (s for s in self.starts if s >= start):
                right = left if other == start else self._block(other)
                yield left, right, self._tile_pairs(start, other)

    def _tile_pairs(self, start: int, other: int) -> Int[np.ndarray, "p 3"]:
        i, j = (
            np.arange(-(-min(self.length, self.n - begin) // self.tile)) for begin in (start, other)
        )
        i, j = (part.ravel() for part in np.meshgrid(i, j, indexing="ij"))
        pairs = np.stack([i, j, np.where((i == j) & (start == other), 1, 2)], axis=1)
        return pairs[(i <= j) | (start != other)].astype(np.int32)

    def _batches(self, pairs) -> Iterator[tuple[Int[np.ndarray, "p 3"], int]]:
        """Tile pairs of one device call, filled to one length."""
        operations = 2 * self.tile**2 * (self.widths.sum() + len(self.kernels) * len(self.models))
        size = int(np.clip(_STEP // operations, 1, (self.length // self.tile) ** 2))
        for first in range(0, len(pairs), size):
            batch = pairs[first : first + size]
            filled = np.zeros((size, 3), np.int32)
            filled[: len(batch)] = batch
            yield filled, len(batch)

    def _collect(self, found: Future, left: int, right: int, size: int, progress) -> None:
        for products, sums, part in zip(self._products, self._sums, found.result(), strict=True):
            products += part.products
            sums[:, left : left + self.length] += part.left
            sums[:, right : right + self.length] += part.right
        progress.advance(size)

    def _terms(self, position: int) -> GramTerms:
        kernel, n = self.kernels[position], self.n
        offsets = np.concatenate([self._offsets[s][position] for s in self.starts], axis=1)
        terms = centered_terms(
            self._products[position],
            self._sums[position][:, :n],
            offsets[:, :n],
            self._entries_of_diagonal(kernel),
            self.rows.tolist(),
            np.array([rounding(self.dtype, int(width)) for width in self.widths]),
            CHUNK * UNIT[self.dtype],
        )
        scale = self._scales[kernel][self.back]
        exponents = scale[self.chosen][:, None] + scale[None, :]
        own = np.searchsorted(self.rows, self.back[self.chosen])
        biased, debiased, pairs = (
            np.ldexp(term[np.ix_(own, self.back)], exponents) for term in terms
        )
        return GramTerms(
            biased,
            debiased,
            pairs,
            bandwidths=self._bandwidths[self.back] if kernel == "rbf" else None,
            precision=self.dtype,
            route="tiles",
        )

    def _entries_of_diagonal(self, kernel: str) -> Float64[np.ndarray, "m n"]:
        if kernel == "linear":
            return self._diagonal
        value = 1.0 if kernel == "rbf" else 0.0
        return np.broadcast_to(value, (len(self.models), self.n))


def _shapes(
    n: int, widths: Int[np.ndarray, " m"], dtype: str, tile_size: int | None, budget: int
) -> tuple[int, int]:
    """Rows of a tile and of a block.

    Three blocks of all models are in flight: two on the device, one being read. Few rows get round
    numbers, so that data sets of similar length share compiled programs.
    """
    item = np.dtype(dtype).itemsize
    few = max(64, _power_of_two(n))
    tile = min(tile_size or _TILE, few)
    most = max(1, int((budget - len(widths) * tile**2 * item) // (3 * item * widths.sum() * tile)))
    tiles = -(-n // tile)
    blocks = -(-tiles // most)
    per_block = -(-tiles // blocks)
    if tiles <= 8 and _power_of_two(per_block) <= most:
        per_block = _power_of_two(per_block)
    return tile, per_block * tile


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
