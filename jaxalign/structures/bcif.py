"""Columns out of a BinaryCIF file: MessagePack whose numbers are packed by a chain of encodings.

Only what tables of text and coordinates need is here: ByteArray, FixedPoint, RunLength, Delta,
IntegerPacking and StringArray. Sizes are compared with what the file announces before anything of
that size is made.

References:
  Sehnal et al., BinaryCIF and CIFTools: lightweight, efficient and extensible macromolecular data
  management, PLoS Comput. Biol. 16, e1008247 (2020).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from jaxtyping import Bool, Shaped

from jaxalign.types import JaxalignError

# ByteArray: the file's number of a type → NumPy's name; always little-endian.
_TYPES = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, StopIteration, msgpack.UnpackException)


class BinaryCifError(JaxalignError, ValueError):
    """A BinaryCIF file lacks something, is damaged, or uses an encoding that is not known here."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
      values: one entry a row; where `present` is false it means nothing.
      present: whether the row has a value (not `.` or `?`).
    """

    values: Shaped[np.ndarray, " rows"]
    present: Bool[np.ndarray, " rows"]


def read_columns(data: bytes, category: str, names: Sequence[str]) -> dict[str, Column]:
    """Columns of one category of the first data block.

    Args:
      data: the file.
      category: e.g. `"_chem_comp_atom"`.
      names: columns to decode; the others are left alone.

    Returns:
      Column by name.

    Raises:
      BinaryCifError: if the file is not BinaryCIF, or lacks one of them.
    """
    try:
        block = msgpack.unpackb(data)["dataBlocks"][0]
        table = next(part for part in block["categories"] if part["name"] == category)
        columns = {column["name"]: column for column in table["columns"]}
        return {name: _column(columns[name], int(table["rowCount"])) for name in names}
    except BinaryCifError:
        raise
    except _DAMAGE as error:
        raise BinaryCifError(
            f"cannot read {', '.join(names)} of {category} as BinaryCIF: "
            f"{type(error).__name__} {error}; the file is damaged or another one"
        ) from error


def _column(column: Mapping[str, Any], rows: int) -> Column:
    values = _decode(column["data"])
    mask = column["mask"]
    present = np.ones(rows, dtype=bool) if mask is None else _decode(mask) == 0
    if len(values) != rows or len(present) != rows:
        raise BinaryCifError(
            f"column {column['name']}: {rows} rows announced, {len(values)} values found"
        )
    return Column(values=values, present=present)


def _decode(packed: Mapping[str, Any]) -> np.ndarray:
    values: Any = packed["data"]
    for encoding in reversed(packed["encoding"]):
        kind = encoding["kind"]
        if kind not in _DECODERS:
            raise BinaryCifError(f"encoding {kind!r} is not known; known: {', '.join(_DECODERS)}")
        values = _DECODERS[kind](values, encoding)
    return values


def _byte_array(data: bytes, encoding: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(data, dtype=_TYPES[encoding["type"]])


def _fixed_point(values: np.ndarray, encoding: Mapping[str, Any]) -> np.ndarray:
    return values / encoding["factor"]


def _run_length(values: np.ndarray, encoding: Mapping[str, Any]) -> np.ndarray:
    lengths = values[1::2]
    if len(values) % 2 or lengths.min(initial=0) < 0:
        raise BinaryCifError("RunLength: pairs of value and length expected")
    _require_size(int(lengths.sum(dtype=np.int64)), encoding)
    return np.repeat(values[::2], lengths)


def _delta(values: np.ndarray, encoding: Mapping[str, Any]) -> np.ndarray:
    return np.cumsum(values, dtype=np.int64) + encoding["origin"]


def _integer_packing(values: np.ndarray, encoding: Mapping[str, Any]) -> np.ndarray:
    # A value at the end of the type's range says that the next one is to be added to it.
    limits = np.iinfo(values.dtype)
    last = values != limits.max
    if not encoding["isUnsigned"]:
        last &= values != limits.min
    sums = np.cumsum(values, dtype=np.int64)[last]
    _require_size(len(sums), encoding)
    return np.diff(sums, prepend=0)


def _string_array(data: bytes, encoding: Mapping[str, Any]) -> np.ndarray:
    text = encoding["stringData"]
    offsets = _decode({"data": encoding["offsets"], "encoding": encoding["offsetEncoding"]})
    which = _decode({"data": data, "encoding": encoding["dataEncoding"]})
    pieces = [text[start:end] for start, end in itertools.pairwise(offsets)]
    if which.min(initial=0) < -1 or which.max(initial=-1) >= len(pieces):
        raise BinaryCifError(f"StringArray: a number beyond the {len(pieces)} strings")
    return np.array(["", *pieces])[which + 1]  # −1 stands for no text


def _require_size(found: int, encoding: Mapping[str, Any]) -> None:
    if found != encoding["srcSize"]:
        raise BinaryCifError(
            f"{encoding['kind']}: {encoding['srcSize']} values announced, {found} found"
        )


_DECODERS = {
    "ByteArray": _byte_array,
    "FixedPoint": _fixed_point,
    "RunLength": _run_length,
    "Delta": _delta,
    "IntegerPacking": _integer_packing,
    "StringArray": _string_array,
}
