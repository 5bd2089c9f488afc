"""The two-axis mesh of devices, and which of them work: the only file that names mesh axes.

Most work is on one model, or on tiles of all: structures are then split over all devices, whatever
the mesh (`choose_mesh` gives it one column). Devices of one process follow each other, so a process
holds consecutive rows. Neighbor searches of several models put one model on each column and split
its rows over the `rows` axis alone (`parallel/columns.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxalign.parallel.torus import side_by_side

ROWS, MODELS = "rows", "models"
AXES = (ROWS, MODELS)
SPLIT = PartitionSpec(AXES)  # rows over all devices
WHOLE = PartitionSpec()  # the same on every device

# Rows a device, below which a further one costs more than it saves where nobody asked for it.
LEAST_ROWS = 512


def make_mesh(devices: Sequence[jax.Device] | None = None, *, models: int = 1) -> Mesh:
    """A mesh [rows, models] of the given devices.

    Args:
      devices: None means all devices of all processes.
      models: size of the second axis; must divide the number of devices.

    Returns:
      The mesh. Devices of a column lie together: they are a box of the grid of chips, or follow
      each other in the order of their processes.

    Raises:
      ValueError: no devices, or `models` does not divide their number.
    """
    found = list(jax.devices() if devices is None else devices)
    if not found or models < 1 or len(found) % models:
        raise ValueError(
            f"a mesh needs devices in equal columns: got {len(found)} devices and "
            f"models={models}, which must divide their number"
        )
    found.sort(key=_place)
    places = [getattr(device, "coords", None) for device in found]
    boxes = None
    if models > 1 and None not in places:
        boxes = side_by_side([tuple(place) for place in places], models)
    columns = np.arange(len(found)).reshape(models, -1) if boxes is None else np.array(boxes)
    return grid_mesh(np.array(found)[columns.T])


def grid_mesh(grid: np.ndarray) -> Mesh:
    """A mesh of devices as they are laid out in a grid [rows, models]."""
    return Mesh(grid, AXES, axis_types=(AxisType.Auto, AxisType.Auto))


def _place(device: jax.Device) -> tuple[int, int]:
    return device.process_index, device.id


def parse_mesh(text: str) -> Mesh:
    """The mesh that a flag describes: `rows:4` or `rows:4,models:2`; `rows:*` takes what there is.

    Raises:
      ValueError: unknown axes, sizes that are no numbers, or more devices than there are.
    """
    try:
        sizes = dict(part.strip().split(":") for part in text.split(","))
        models = int(sizes.pop(MODELS, 1))
        rows = sizes.pop(ROWS, "*")
        rows = len(jax.devices()) // models if rows == "*" else int(rows)
        if sizes or rows < 1 or models < 1:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"a mesh is written rows:R or rows:R,models:M with positive numbers: got {text!r}"
        ) from None
    available = len(jax.devices())
    if rows * models > available or (jax.process_count() > 1 and rows * models != available):
        raise ValueError(
            f"mesh {text!r} needs {rows * models} devices, and there are {available} of "
            f"{jax.process_count()} processes; choose sizes whose product is "
            + ("that number" if jax.process_count() > 1 else "no more")
        )
    return make_mesh(jax.devices()[: rows * models], models=models)


def check_mesh(mesh: Any) -> Mesh | None:
    """A user's mesh, checked; None stays None and means the default.

    Args:
      mesh: a `jax.sharding.Mesh` with axes `rows` and `models` (or `rows` alone), text for
        `parse_mesh`, or a sequence of devices.

    Raises:
      ValueError: other axes, or devices that leave a process without work.
    """
    if mesh is None:
        return None
    if isinstance(mesh, str):
        return parse_mesh(mesh)
    if not isinstance(mesh, Mesh):
        return make_mesh(mesh)
    if mesh.axis_names not in (AXES, (ROWS,)):
        raise ValueError(
            f"a mesh must have the axes {AXES} or ('{ROWS}',): got {mesh.axis_names}; "
            "jaxalign.parallel.mesh.make_mesh makes one"
        )
    grid = mesh.devices.reshape(len(mesh.devices), -1)
    present = [[device.process_index for device in column] for column in grid.T]
    found = {index for column in present for index in column}
    if len(found) != jax.process_count() or any(c != sorted(c) for c in present):
        raise ValueError(
            f"a mesh must hold devices of all {jax.process_count()} processes, in each column in "
            f"the order of the processes: got processes {present} of its columns"
        )
    return grid_mesh(grid)


def choose_mesh(mesh: Mesh | None, n: int) -> Mesh:
    """The mesh of one column that works on n rows.

    Args:
      mesh: checked; None means all devices of all processes; of a single process, as many as have
        enough rows to do.
      n: rows.

    Returns:
      All devices of a given mesh, rows over all of them.

    Raises:
      ValueError: a given mesh has more devices than there are rows.
    """
    if mesh is None:
        several = jax.process_count() > 1
        useful = len(jax.devices()) if several else max(1, n // LEAST_ROWS)
        return default_mesh(min(useful, len(jax.devices())))
    if mesh.size > n:
        raise ValueError(
            f"the mesh has {mesh.size} devices for {n} structures: each needs one at least; "
            f"choose a mesh of at most {n} devices, or none for the default"
        )
    return mesh if mesh.devices.shape[1] == 1 else make_mesh(mesh.devices.ravel().tolist())


@functools.cache
def default_mesh(count: int) -> Mesh:
    """The first `count` devices, rows over all of them."""
    return make_mesh(jax.devices()[:count])


def local_mesh(mesh: Mesh) -> Mesh:
    """The devices of a mesh that belong to this process, as a mesh of their own."""
    mine = [d for d in mesh.devices.ravel().tolist() if d.process_index == jax.process_index()]
    return make_mesh(mine)


def split(mesh: Mesh) -> NamedSharding:
    """First axis of an array over all devices."""
    return NamedSharding(mesh, SPLIT)


def whole(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, WHOLE)


def describe_mesh(mesh: Mesh) -> dict[str, Any]:
    """Plain facts for diagnostics; devices in the order of their processes."""
    devices = sorted(mesh.devices.ravel().tolist(), key=_place)
    return {
        "devices": [str(device) for device in devices],
        "mesh": dict(zip(mesh.axis_names, mesh.devices.shape, strict=True)),
        "processes": len({device.process_index for device in devices}),
    }


def spread_mesh(count: int) -> Mesh:
    """A mesh of `count` devices, as many of each process: what a run over fewer devices uses.

    Raises:
      ValueError: there are not that many devices, or processes would hold unequal numbers.
    """
    devices, processes = jax.devices(), jax.process_count()
    if not 0 < count <= len(devices) or count % processes:
        raise ValueError(
            f"cannot choose {count} of {len(devices)} devices of {processes} processes: wanted a "
            f"multiple of {processes} up to {len(devices)}"
        )
    chosen: list[jax.Device] = []
    for process in range(processes):
        chosen += [d for d in devices if d.process_index == process][: count // processes]
    return make_mesh(chosen)
