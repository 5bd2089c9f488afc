"""Sizes of a neighbor search: shards, tiles, blocks and steps, and operands of each precision."""

from __future__ import annotations

import math
from typing import NamedTuple

import ml_dtypes
import numpy as np
from jax.sharding import Mesh

from jaxalign.pairwise.decide import GATHER_ROWS
from jaxalign.pairwise.proposals import BLOCKS, KEPT
from jaxalign.parallel.padding import Shards

# Columns of one matrix product: its result stays in cache until it is reduced. Shards are padded to
# whole products, whose width is a multiple of `_STEP`.
_COLUMNS, _STEP = 1024, 128
_WIDTHS = 32  # operands are padded to multiples of this width: fewer shapes to compile
_CROWDED = 0.005  # share of rows with a crowded block up to which blocks of a size are used
_TILE_ENTRIES = 2**22  # proposed values kept of one tile: 16 MiB
# Query rows of one call, on each device. Where blocks travel, they do so once a call: more rows
# a call hide the journey behind the products.
_CALL_ROWS, _CALL_ROWS_OF_MANY = 2048, 16384
# Bytes a device that all blocks may take for them to be gathered instead of passed round: a 32nd of
# the smallest memory of accelerators in use.
_GATHERED_BYTES = 2**29


class SearchPlan(NamedTuple):
    """Sizes of a search.

    Attributes:
      shards: of the rows compared.
      candidates: rows proposed to each query.
      block: columns of which the best few are kept; see `block_size`.
      columns: of one product.
      groups: products that cover a shard.
      steps: selections that cover a shard, each of `groups / steps` products.
      tile: query rows of a product.
      tiles: of one call on each device.
      gather: hold the rows of all devices on each, instead of passing them round.
    """

    shards: Shards
    candidates: int
    block: int
    columns: int
    groups: int
    steps: int
    tile: int
    tiles: int
    gather: bool


def search_plan(
    n: int,
    d: int,
    *,
    k: int,
    mesh: Mesh,
    queries: int | None = None,
    tile: int = 256,
    gather: bool | None = None,
) -> SearchPlan:
    """Sizes for searches of the k nearest of n rows, of one model on each column of a mesh.

    Args:
      n: rows compared; of several models, the most.
      d: their width; of several models, the largest.
      k: rows wanted.
      mesh: devices that do it.
      queries: most query rows on one device; None means its share of the rows.
      tile: query rows of a product, at most.
      gather: None chooses by memory.
    """
    devices = mesh.devices.shape[0]
    shards = Shards(n, devices, -(-n // devices))
    size = shards.size
    # Room for the error of one bfloat16 pass: 0.06 standard deviations of isotropic products.
    spare = max(12, min(k // 2, 128))
    candidates = -(-(k + spare) // 8) * 8  # few sizes, so few compilations
    block = block_size(size, k)
    products = -(-size // _COLUMNS)
    columns = -(-size // (products * _STEP)) * _STEP
    queries = size if queries is None else max(1, queries)
    tile = -(-min(tile, queries) // GATHER_ROWS) * GATHER_ROWS
    rows = min(_CALL_ROWS if devices == 1 else _CALL_ROWS_OF_MANY, queries)
    share = 1.0 if block == 1 else KEPT / block
    together = max(1, int(_TILE_ENTRIES / (tile * share * columns)))
    steps = -(-products // together)
    groups = -(-products // steps) * steps
    if gather is None:
        gather = gathers(shards.padded, d, mesh)
    return SearchPlan(
        shards, candidates, block, columns, groups, steps, tile, -(-rows // tile), gather
    )


def gathers(n: int, d: int, mesh: Mesh) -> bool:
    """Whether n rows, as float32 numbers and as operands, are held whole by devices of a column."""
    return mesh.devices.shape[0] > 1 and n * d * (4 + 6) <= _GATHERED_BYTES


def block_size(n: int, k: int) -> int:
    """Columns a block: most that keep crowded blocks rare, 1 where none does."""
    for size in BLOCKS:
        if math.comb(k, KEPT) <= _CROWDED * (n / size) ** (KEPT - 1):
            return size
    return 1


def operand_type(precision: str) -> np.dtype:
    """Of the operands of a product."""
    return np.dtype(np.float32 if precision == "float32" else ml_dtypes.bfloat16)


def operand_width(d: int, precision: str) -> int:
    """Of the operands of rows of width d."""
    return -(-d // _WIDTHS) * _WIDTHS * (3 if precision == "bfloat16x3" else 1)
