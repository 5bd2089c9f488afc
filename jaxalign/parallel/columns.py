"""Several models at once: one on each column of a mesh, its rows split over that column alone.

A ring over few devices passes fewer bytes than one over all of them, so chips that rows do not need
are better spent on further models. Device s of the grid [rows, models], counted row by row, holds
shard s // columns of the model on column s % columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Shaped

from jaxalign.parallel.blocks import own_blocks
from jaxalign.parallel.mesh import LEAST_ROWS, make_mesh, split
from jaxalign.parallel.padding import Shards, own_parts, own_shards
from jaxalign.parallel.torus import order_of_places

# Rows a device, below which a further device serves another model where nobody chose. On TPUs, the
# ring over fewer takes longer than the products that should hide it (`benchmarks/RESULTS.md`).
ENOUGH_ROWS = {"tpu": 4096}


def choose_columns(mesh: Mesh | None, n: int, *, models: int) -> Mesh:
    """The mesh [rows, models] for neighbor searches of several models.

    Args:
      mesh: checked; None chooses: as many rows of devices as have enough structures to do (512, on
        TPUs 4,096), and columns of the devices that are left, up to the number of models.
      n: structures.
      models: number of models.

    Returns:
      A given mesh, or its devices in fewer columns if there are fewer models.
    """
    if mesh is not None:
        return with_columns(mesh, models)
    devices, several = jax.devices(), jax.process_count() > 1
    count, enough = len(devices), ENOUGH_ROWS.get(devices[0].platform, LEAST_ROWS)
    spare = count // max(1, min(count, n // enough))
    columns = max(
        c for c in range(1, count + 1) if not count % c and c <= min(spare, max(models, 1))
    )
    rows = count // columns
    if not several:
        rows = min(rows, max(1, n // LEAST_ROWS))
    return make_mesh(devices[: rows * columns], models=columns)


def with_columns(mesh: Mesh, models: int) -> Mesh:
    """The same devices for fewer models: the fewest columns that hold them and divide the former.

    With as many models as columns, or more, the mesh stays as it is.
    """
    columns = mesh.devices.shape[1]
    wanted = min(c for c in range(1, columns + 1) if not columns % c and c >= min(models, columns))
    return mesh if wanted == columns else make_mesh(mesh.devices.ravel().tolist(), models=wanted)


def column_order(mesh: Mesh) -> tuple[int, ...] | None:
    """The order of a ring over the rows of devices, the same in all columns; see `torus`."""
    places = [[getattr(d, "coords", None) for d in column] for column in mesh.devices.T]
    if any(None in column for column in places):
        return None
    orders = {order_of_places([tuple(place) for place in column]) for column in places}
    return orders.pop() if len(orders) == 1 else None


def deal(mesh: Mesh, widths: Sequence[int]) -> list[tuple[list[int], Mesh]]:
    """Which models are searched together, and on which mesh.

    Models of similar width go together: all are padded to the widest. What is left in the end gets
    columns of more devices.

    Args:
      mesh: its columns are the most models of one group.
      widths: of all models.

    Returns:
      Numbers of models, and the mesh that they use.
    """
    columns = mesh.devices.shape[1]
    order = range(len(widths)) if columns == 1 else np.argsort(widths, kind="stable").tolist()
    groups = [list(order[a : a + columns]) for a in range(0, len(widths), columns)]
    return [(group, with_columns(mesh, len(group))) for group in groups]


@dataclasses.dataclass(frozen=True)
class Column:
    """Rows of one model over one column of a mesh.

    Attributes:
      mesh: of all columns.
      number: of this one.
      shards: of the rows; of equal size in all columns.
    """

    mesh: Mesh
    number: int
    shards: Shards

    @property
    def mine(self) -> dict[int, int]:
        """Devices of this process in the column: their numbers, and those of their shards."""
        columns = self.mesh.devices.shape[1]
        held = {s: s // columns for s in own_shards(self.mesh) if s % columns == self.number}
        return dict(sorted(held.items()))

    @property
    def own(self) -> tuple[int, int]:
        """Rows that devices of this process hold; none if the column has none."""
        shards = list(self.mine.values())
        return (
            (self.shards.bounds(shards[0])[0], self.shards.bounds(shards[-1])[1])
            if shards
            else (0, 0)
        )

    @property
    def kept(self) -> tuple[int, int]:
        """Rows that this process should hold: its own, else its share of what all processes sum."""
        blocks = own_blocks(self.shards.n)
        return self.own if self.mine or not blocks else (blocks[0][0], blocks[-1][1])


def make_columns(mesh: Mesh, rows: Sequence[int], *, multiple: int = 1) -> list[Column]:
    """Columns for models of so many rows each; the size of shards suits the longest."""
    count = mesh.devices.shape[0]
    size = -(-max(rows) // count)
    size = -(-size // multiple) * multiple
    return [Column(mesh, number, Shards(n, count, size)) for number, n in enumerate(rows)]


def place_columns(
    reads: Sequence[Callable[[int, int], Shaped[np.ndarray, "rows ..."]]],
    columns: Sequence[Column],
    *,
    fill: Any = 0,
) -> Shaped[Array, "all ..."]:
    """One array over all devices: each holds its shard of the model on its column.

    Args:
      reads: rows `start:stop` of every model, of one shape beyond the first axis; called for no
        rows too.
      columns: of the models.
      fill: of padding rows, and of columns without a model.
    """
    mesh, size = columns[0].mesh, columns[0].shards.size
    like, across = reads[0](0, 0), mesh.devices.shape[1]

    def shard(index):
        row, column = divmod((index[0].start or 0) // size, across)
        out = np.full((size, *like.shape[1:]), fill, like.dtype)
        if column < len(columns):
            start, stop = columns[column].shards.bounds(row)
            if stop > start:
                out[: stop - start] = reads[column](start, stop)
        return out

    shape = (size * mesh.size, *like.shape[1:])
    return jax.make_array_from_callback(shape, split(mesh), shard)


def own_columns(
    array: Shaped[Array, "all ..."], columns: Sequence[Column]
) -> list[Shaped[np.ndarray, "rows ..."]]:
    """Rows of every model that this process holds, without padding."""
    parts = own_parts(array, columns[0].mesh.size)
    none = next(iter(parts.values()))[:0]
    return [
        np.concatenate(
            [none]
            + [
                parts[device][: stop - start]
                for device, shard in column.mine.items()
                for start, stop in [column.shards.bounds(shard)]
            ]
        )
        for column in columns
    ]
