"""What work cannot take less than: matrix products and reads of memory alone.

All devices of a mesh work at once and nothing is exchanged, so that the floor of p chips is 1/p of
that of one, and the floor of virtual devices that share their cores is that of the cores.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxalign.parallel.mesh import SPLIT, make_mesh
from jaxalign.parallel.padding import place_rows, row_shards
from jaxalign.parallel.ring import varying
from jaxalign.profiling.timing import seconds

_TILE = 512  # rows of a tile of X Xᵀ
_SIZE = 4096
_READ_BYTES = 2**26  # of a device: beyond its caches


@dataclasses.dataclass(frozen=True)
class Probe:
    """Work whose amount is known: its time gives a rate.

    Attributes:
      run: does the work once, on all devices of a mesh.
      amount: what one run does: flops, bytes or products.
    """

    run: Callable[[], jax.Array]
    amount: float


def tiled_product(n: int, d: int, mesh: Mesh | None = None) -> Probe:
    """All row tiles of X Xᵀ at HIGHEST precision, each reduced to a column: 2n²d flops.

    Args:
      n: rows; padded to full tiles.
      d: columns.
      mesh: devices that share the rows; None means one device.

    Returns:
      One product.
    """
    mesh = mesh or _single()
    tile = min(_TILE, -(-n // mesh.size))
    shards = row_shards(n, mesh, multiple=tile)
    rows = place_rows(functools.partial(_random_rows, d=d), shards, mesh)
    program = _tiled_program(mesh, tile)
    return Probe(lambda: program(rows), 1.0)


def square_products(mesh: Mesh | None = None, *, size: int | None = None) -> Probe:
    """One float32 product of square matrices a device, at HIGHEST precision, in flops.

    Args:
      mesh: devices; None means one.
      size: rows and columns; None takes 4,096, and less for CPU devices, which share their cores.
    """
    mesh = mesh or _single()
    if size is None:
        shared = mesh.devices.flat[0].platform == "cpu"
        size = _SIZE if not shared else round(_SIZE / 2 / mesh.size ** (1 / 3))
    x = place_rows(
        functools.partial(_random_rows, d=size), row_shards(size * mesh.size, mesh), mesh
    )
    program = _product_program(mesh)
    return Probe(lambda: program(x), 2.0 * size**3 * mesh.size)


def memory_reads(mesh: Mesh | None = None) -> Probe:
    """Sums over 64 MiB a device, in bytes.

    Args:
      mesh: devices; None means one.
    """
    mesh = mesh or _single()
    shards = row_shards(_READ_BYTES // 4096 * mesh.size, mesh)
    x = place_rows(lambda start, stop: np.zeros((stop - start, 1024), np.float32), shards, mesh)
    program = _read_program(mesh)
    return Probe(lambda: program(x), float(x.nbytes))


def gemm_rate(mesh: Mesh | None = None, *, size: int | None = None, repeats: int = 3) -> float:
    """Best float32 product rate of all devices together in flop/s, after one call that compiles.

    Args:
      mesh: see `square_products`.
      size: see `square_products`.
      repeats: timed calls.
    """
    probe = square_products(mesh, size=size)
    probe.run().block_until_ready()
    return probe.amount / min(seconds(probe.run) for _ in range(repeats))


@functools.cache
def _single() -> Mesh:
    return make_mesh(jax.local_devices()[:1])


def _random_rows(start: int, stop: int, *, d: int) -> np.ndarray:
    rng = np.random.default_rng(start)
    return rng.standard_normal((stop - start, d), np.float32)


@functools.lru_cache(maxsize=64)
def _tiled_program(mesh: Mesh, tile: int):
    def shard(rows):
        def pass_over(_, best):
            # The barrier keeps the product in the loop, although its operand does not change.
            mine, best = jax.lax.optimization_barrier((rows, best))

            def one(block):
                return jnp.matmul(block, mine.T, precision=jax.lax.Precision.HIGHEST).max(1)

            found = jax.lax.map(one, mine.reshape(-1, tile, mine.shape[1]))
            return jnp.maximum(best, found.reshape(-1))

        # As many passes over the own rows as there are shards: every device multiplies its rows by
        # as many as all devices hold.
        start = varying(jnp.zeros(rows.shape[0], rows.dtype))
        return jax.lax.fori_loop(0, mesh.size, pass_over, start)

    return _sharded(shard, mesh)


@functools.lru_cache(maxsize=64)
def _product_program(mesh: Mesh):
    return _sharded(lambda x: jnp.matmul(x, x, precision=jax.lax.Precision.HIGHEST), mesh)


@functools.lru_cache(maxsize=64)
def _read_program(mesh: Mesh):
    return _sharded(lambda x: x.sum(1), mesh)


def _sharded(function, mesh: Mesh):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT))
