"""Blocks of centered rows of all models on the devices, and what is known of each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Float64, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centered_rows import CenteredModel, median_distance, sample_rows, survey
from jaxalign.pairwise.gram_ring import COLUMNS, sharded_describe
from jaxalign.pairwise.gram_schedule import Layout
from jaxalign.pairwise.gram_tiles import Block
from jaxalign.parallel.mesh import local_mesh
from jaxalign.parallel.multihost import gather_rows, my_share
from jaxalign.parallel.padding import Shards, place_whole

_COLUMNS = 128  # sampled columns that estimate the row means


class GramBlocks:
    """Rows of all models, surveyed once and then read in blocks by the processes that hold them.

    Args:
      models: in ascending order of their padded widths.
      widths: padded widths.
      kernels: which matrices.
      mesh: devices over which rows are split.
      layout: of rows and blocks.
      bandwidth: σ in units of the median distance.
      seed: of the sample.
      dtype: of the rows on the devices.

    Attributes:
      scales: a_ij of a kernel are in units of 2^scale of each model.
      bandwidths: σ of all models in units of the data; 0 unless a kernel wants it.
      precisions: 1/2σ² of the models of each group of equal width, on the devices.
    """

    def __init__(
        self,
        models: Sequence[ModelRows],
        widths: Int64[np.ndarray, " m"],
        kernels: tuple[str, ...],
        mesh: Mesh,
        layout: Layout,
        *,
        bandwidth: float,
        seed: int,
        dtype: str,
    ):
        self._widths, self._kernels, self._mesh, self._layout = widths, kernels, mesh, layout
        self._dtype = dtype
        self._centered, medians = _surveyed(models, seed, medians="rbf" in kernels)
        sigmas, exponents = bandwidth * medians, np.array([c.exponent for c in self._centered])
        self.bandwidths = np.ldexp(sigmas, exponents)
        self.scales = {"euclidean": exponents, "linear": 2 * exponents, "rbf": 0 * exponents}
        groups = [np.flatnonzero(widths == width) for width in np.unique(widths)]
        self._groups = [(int(g[0]), int(g[-1]) + 1) for g in groups]
        with np.errstate(divide="ignore"):
            # σ = 0 (most rows equal): a constant kernel, whose self terms are 0.
            inverse = np.where(sigmas > 0, 1 / (2 * sigmas**2), 0.0).astype(dtype)
        self.precisions = tuple(place_whole(inverse[a:b], mesh) for a, b in self._groups)
        count = min(_COLUMNS, layout.n)
        weights = np.where(np.arange(_COLUMNS) < count, 1 / count, 0.0)
        self._weights = place_whole(weights, mesh)
        self._samples = tuple(
            place_whole(self._stack(a, b, lambda c: c.sample[:count], _COLUMNS), mesh)
            for a, b in self._groups
        )
        self._offsets = [self.row_values() for _ in kernels]
        self._diagonal = self.row_values() if "linear" in kernels else None

    def read(self, start: int) -> Block:
        """The block of every device that starts at row `start` of its rows."""
        rows, squares, offsets = [], [], []
        describe = sharded_describe(self._mesh, kernels=self._kernels)
        for (a, b), sample, precision in zip(
            self._groups, self._samples, self.precisions, strict=True
        ):
            rows.append(self._place(a, b, start))
            found = describe(rows[-1], sample, self._weights, precision)
            squares.append(found[0])
            offsets.append(found[1])
        # By kernel, over the groups; the same at every reading.
        joined = _join(tuple(zip(*offsets, strict=True)))
        for known, part in zip(self._offsets, joined, strict=True):
            self.part(known, start)[:] = self.own(part)
        if self._diagonal is not None:
            own = np.concatenate([self.own(part) for part in squares])
            self.part(self._diagonal, start)[:] = own
        return Block(tuple(rows), tuple(squares), joined)

    def row_values(self) -> Float64[np.ndarray, "m devices padded"]:
        """Zeros for every model and row of the devices of this process."""
        padded = len(self._layout.starts) * self._layout.length
        return np.zeros((len(self._centered), local_mesh(self._mesh).size, padded))

    def part(
        self, values: Float64[np.ndarray, "m devices padded"], start: int
    ) -> Float64[np.ndarray, "m devices length"]:
        """View of the row values of one block."""
        return values[:, :, start : start + self._layout.length]

    def own(self, array: Float[Array, "m rows"]) -> Float[np.ndarray, "m devices length"]:
        """What an array over all devices holds on those of this process."""
        parts = {part.index[1].start or 0: part.data for part in array.addressable_shards}
        return np.stack([np.asarray(parts[first]) for first in sorted(parts)], axis=1)

    def complete(
        self, values: Float64[np.ndarray, "m devices padded"]
    ) -> Float64[np.ndarray, "m n"]:
        """Row values of all processes, without padding."""
        layout = self._layout
        start, stop = Shards(layout.n, layout.devices, layout.size).of_process(self._mesh)
        own = values[:, :, : layout.size].reshape(len(values), -1)[:, : stop - start]
        return gather_rows(own.T).T

    def offsets(self, position: int) -> Float64[np.ndarray, "m n"]:
        """Estimates u of the row means of one kernel."""
        return self.complete(self._offsets[position])

    def diagonal(self, kernel: str) -> Float64[np.ndarray, "m n"]:
        """Entries a_ii."""
        if kernel == "linear":
            return self.complete(self._diagonal)
        value = 1.0 if kernel == "rbf" else 0.0
        return np.broadcast_to(value, (len(self._centered), self._layout.n))

    def _place(self, a: int, b: int, start: int) -> Float[Array, "m rows p"]:
        layout = self._layout

        def shard(index):
            device = (index[1].start or 0) // layout.length
            first, stop = layout.rows(device, start)
            return self._stack(a, b, lambda c: c.read(first, stop), layout.length)

        shape = (b - a, layout.devices * layout.length, int(self._widths[a]))
        return jax.make_array_from_callback(shape, NamedSharding(self._mesh, COLUMNS), shard)

    def _stack(
        self,
        a: int,
        b: int,
        read: Callable[[CenteredModel], Float64[np.ndarray, "_ _"]],
        length: int,
    ) -> Float[np.ndarray, "m b p"]:
        out = np.zeros((b - a, length, self._widths[a]), self._dtype)
        for target, model in zip(out, self._centered[a:b], strict=True):
            rows = read(model)
            target[: len(rows), : model.rows.d] = rows
        return out


@jax.jit
def _join(
    parts: tuple[tuple[Float[Array, "_ rows"], ...], ...],
) -> tuple[Float[Array, "m rows"], ...]:
    return tuple(jnp.concatenate(groups) for groups in parts)


def _surveyed(
    models: Sequence[ModelRows], seed: int, *, medians: bool
) -> tuple[list[CenteredModel], Float64[np.ndarray, " m"]]:
    """Centered models and, if wanted, their median distances; else zeros.

    Processes share the medians: each sorts the distances of its models.
    """
    rows, mine = sample_rows(models[0].n, seed), my_share(range(len(models)))
    centered, found = [], []
    with ThreadPoolExecutor(1) as pool:
        for index, model in enumerate(models):
            surveyed = survey(model, rows if medians else rows[:_COLUMNS])
            if medians and index in mine:
                # While the next model is read.
                found.append(pool.submit(median_distance, surveyed.sample))
            # Only the columns that estimate row means are kept of the sample.
            kept = surveyed.sample[:_COLUMNS].copy()
            centered.append(dataclasses.replace(surveyed, sample=kept))
        own = np.array([part.result() for part in found], np.float64)
    return centered, gather_rows(own) if medians else np.zeros(len(models))
