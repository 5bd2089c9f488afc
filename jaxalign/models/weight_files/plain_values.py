"""What a foreign pickle may turn into: plain nested values, and names of everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxalign.types import JaxalignError

MAX_DEPTH = 64
MAX_VALUES = 500_000

_ATOMS = (str, bytes, int, float, bool, type(None))


class CheckpointError(JaxalignError):
    """A weight file is damaged, hostile or of a kind that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Opaque:
    """The name of a foreign class or function, or what is left of an instance of it.

    Attributes:
      module: module of the global.
      name: its name inside the module.
    """

    module: str
    name: str


class Instance(dict[str, Any]):
    """Attributes of an instance of a foreign class: data, without the class and its behavior.

    `kind` is the name of that class.
    """

    kind = ""


def checked_key(key: Any) -> Any:
    """Returns a key of a dict or element of a set, if hashing it is harmless.

    Long integers are refused because they can be chosen to collide (a table of n such keys takes
    n² steps), nested tuples because their hash recurses without a limit.

    Args:
      key: any value from a file.

    Returns:
      The same value: text, bytes, a number, None, an `Opaque`, or a short tuple of these.

    Raises:
      CheckpointError: for every other key.
    """
    items = key if type(key) is tuple else (key,)
    int_bits = 31 if type(key) is tuple else 63
    for item in items:
        if type(item) not in (*_ATOMS, Opaque):
            raise CheckpointError(f"it uses a {type(item).__name__} inside a key of a dict or set")
        if type(item) is int and item.bit_length() > int_bits:
            raise CheckpointError(f"it uses an integer of {item.bit_length()} bits inside a key")
    return key


def checked_set(items: Sequence[Any]) -> set[Any]:
    """The set of some values, each of which passes `checked_key`."""
    return {checked_key(item) for item in items}


def checked_dict(items: Sequence[Any]) -> dict[Any, Any]:
    """The dict of alternating keys and values; each key passes `checked_key`."""
    if len(items) % 2:
        raise CheckpointError("it has a key without a value")
    keys = [checked_key(key) for key in items[::2]]
    return dict(zip(keys, items[1::2], strict=True))


def check_nesting(value: Any) -> None:
    """Checks that a value can be walked recursively: no cycles, not deep, not vast when unfolded.

    Args:
      value: nested dicts, lists, tuples and sets; one object may occur in several places.

    Raises:
      CheckpointError: if the value is more than `MAX_DEPTH` deep (a cycle is endlessly deep), or
        holds more than `MAX_VALUES` values when shared ones are counted as often as they occur.
    """
    _measure(value, 0, {})


def _measure(value: Any, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """(height, unfolded size) of a value; `known` holds finished containers by identity."""
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return 0, 1
    if id(value) not in known:
        if depth >= MAX_DEPTH:
            raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep")
        children = value.values() if isinstance(value, dict) else value
        measures = [_measure(child, depth + 1, known) for child in children]
        height = 1 + max((height for height, _ in measures), default=0)
        known[id(value)] = height, 1 + sum(size for _, size in measures)
    height, size = known[id(value)]
    if depth + height > MAX_DEPTH:
        raise CheckpointError(f"it is nested more than {MAX_DEPTH} deep")
    if size > MAX_VALUES:
        raise CheckpointError(f"it unfolds into more than {MAX_VALUES:,} values")
    return height, size
