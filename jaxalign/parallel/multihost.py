"""Several processes of one run: who is first, what the others know, and that all agree.

Everything goes through JAX's own runtime (`jax.distributed`); a single process exchanges with
itself, so callers need no branches. All processes must call these functions in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Shaped

from jaxalign.types import JaxalignError

Item = TypeVar("Item")

_PIECE = 2**26  # bytes exchanged at once: every device of a process holds those of all processes


class DisagreementError(JaxalignError):
    """Processes of one run were started with different settings or see different data."""


def is_primary_process() -> bool:
    """True on the one process that prints progress and writes tables."""
    return jax.process_index() == 0


def exchange(values: Shaped[np.ndarray, ...]) -> list[Shaped[np.ndarray, ...]]:
    """The arrays of all processes, in the order of the processes; shapes may differ."""
    values = np.ascontiguousarray(values)
    if jax.process_count() == 1:
        return [values]
    facts = exchange_objects({"shape": list(values.shape), "dtype": values.dtype.str})
    # As bytes: JAX would round float64 to float32.
    parts = _exchange_bytes(values.tobytes())
    return [
        np.frombuffer(part, fact["dtype"]).reshape(fact["shape"]).copy()
        for part, fact in zip(parts, facts, strict=True)
    ]


def exchange_objects(value: Any) -> list[Any]:
    """Plain JSON values of all processes, in the order of the processes."""
    if jax.process_count() == 1:
        return [value]
    return [json.loads(part) for part in _exchange_bytes(json.dumps(value).encode())]


def from_primary(value: Any) -> Any:
    """What process 0 has; the others' values are ignored. Plain JSON values."""
    return exchange_objects(value if is_primary_process() else None)[0]


def all_true(value: bool) -> bool:
    """Whether every process says yes."""
    return all(exchange_objects(bool(value)))


def wait_for_all(name: str) -> None:
    """Returns when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def my_share(items: Sequence[Item], *, index: int | None = None) -> Sequence[Item]:
    """Consecutive items for this process: together the processes have each item once.

    Args:
      items: the same on every process.
      index: of the process; None means this one.
    """
    count = jax.process_count()
    index = jax.process_index() if index is None else index
    edges = [round(i * len(items) / count) for i in range(count + 1)]
    return items[edges[index] : edges[index + 1]]


def gather_rows(rows: Shaped[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "all ..."]:
    """Rows of all processes, one process after the other."""
    return np.concatenate(exchange(rows))


def require_agreement(**facts: str) -> None:
    """Stops every process unless all of them state the same facts.

    Raises:
      DisagreementError: names each fact that differs, with the processes and their values.
    """
    stated = exchange_objects(facts)
    wrong = []
    for name in sorted({name for found in stated for name in found}):
        values = [found.get(name) for found in stated]
        if len(set(values)) > 1:
            shown = ", ".join(f"process {i}: {value}" for i, value in enumerate(values))
            wrong.append(f"{name} ({shown})")
    if wrong:
        raise DisagreementError(
            f"the processes of this run differ in {'; '.join(wrong)}; start all of them with the "
            "same command and the same files"
        )


def _exchange_bytes(data: bytes) -> list[bytes]:
    # Two numbers, since JAX would round one of 64 bits.
    stated = multihost_utils.process_allgather(np.array(divmod(len(data), _PIECE), np.int32))
    sizes = [pieces * _PIECE + rest for pieces, rest in np.asarray(stated).tolist()]
    parts = [bytearray() for _ in sizes]
    for start in range(0, max(sizes), _PIECE):
        length = _size_class(min(_PIECE, max(sizes) - start))
        piece = np.zeros(length, np.uint8)
        mine = np.frombuffer(data[start : start + _PIECE], np.uint8)
        piece[: len(mine)] = mine
        rows = np.asarray(multihost_utils.process_allgather(piece))
        for part, row, size in zip(parts, rows, sizes, strict=True):
            part += row[: min(max(size - start, 0), _PIECE)].tobytes()
    return [bytes(part) for part in parts]


def _size_class(size: int) -> int:
    """At most an eighth more: every other length would be a program to compile."""
    step = max(64, 2 ** (size.bit_length() - 4))
    return -(-size // step) * step


def merge(values: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One dictionary of the disjoint dictionaries of all processes."""
    merged: dict[str, Any] = {}
    for part in values:
        merged |= part
    return merged
