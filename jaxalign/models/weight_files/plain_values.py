"""What a foreign pickle may turn into: plain nested values, and names of everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxalign.types import JaxalignError

MAX_DEPTH = 64
MAX_VALUES = 500_000
MAX_NAME = 1024  # characters of a key or of the name of a global


class CheckpointError(JaxalignError):
    """A weight file is damaged, hostile or of a kind that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Opaque:
    """The name of a foreign class or function, or what is left of an instance of it.

    Attributes:
      module: module of the global.
      name: its name inside the module.

    Raises:
      CheckpointError: if one of the two is longer than any real name.
    """

    module: str
    name: str

    def __post_init__(self):
        if max(len(self.module), len(self.name)) > MAX_NAME:
            raise CheckpointError(f"it names a global by more than {MAX_NAME} characters")


_KEYS = frozenset({str, bytes, int, float, bool, type(None), Opaque})
_KEY_ITEMS = 4


class Instance(dict[str, Any]):
    """Attributes of an instance of a foreign class: data, without the class and its behavior.

    `kind` is the name of that class.
    """

    kind = ""


def checked_key(key: Any) -> Any:
    """Returns a key of a dict or element of a set, if using it is cheap however often it is done.

    Numbers hash to themselves and can be chosen to collide (a table of n such keys takes n² steps):
    long integers are refused, and in tuples all that could make two hash alike. Hashing long tuples
    and comparing long text is work that a file could repeat at the price of one byte each time.

    Args:
      key: any value from a file.

    Returns:
      The same value: text or bytes of at most `MAX_NAME`, a number, None, an `Opaque`, or a tuple
      of at most four of these, without floats.

    Raises:
      CheckpointError: for every other key.
    """
    if type(key) is not tuple:
        return _checked_item(key, _KEYS, 63)
    if len(key) > _KEY_ITEMS:
        raise CheckpointError(f"it uses a tuple of {len(key)} values as a key")
    # Four integers of 15 bits and their signs are 64 bits, as many as a hash has.
    return tuple([_checked_item(item, _KEYS - {float}, 15) for item in key])


def _checked_item(item: Any, kinds: frozenset[type], int_bits: int) -> Any:
    if type(item) not in kinds:
        raise CheckpointError(f"it uses a {type(item).__name__} inside a key of a dict or set")
    if type(item) is int and item.bit_length() > int_bits:
        raise CheckpointError(f"it uses an integer of {item.bit_length()} bits inside a key")
    if type(item) in (str, bytes) and len(item) > MAX_NAME:
        raise CheckpointError(f"it uses a text of {len(item):,} characters inside a key")
    return item


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
