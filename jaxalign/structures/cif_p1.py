"""A fast reader of one kind of CIF file: all atoms written out (P1), one line an atom.

Conversion of thousands of large cells needs nothing more, and is far faster than a general
reader. What this one does not understand it leaves to others (`None`): symmetry operations
beside the identity, partial occupancies, several data blocks.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

import ase.data
import ase.geometry
import numpy as np
from jaxtyping import Float, Int

_CELL = tuple(f"_cell_length_{axis}" for axis in "abc") + tuple(
    f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
)
_SCALED = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_SYMBOL = "_atom_site_type_symbol"
_OCCUPANCY = "_atom_site_occupancy"
_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_UNCERTAINTY = re.compile(r"\(\d+\)")
_FULL = 1 - 1e-6  # occupancies below this are partial


@dataclasses.dataclass(frozen=True)
class P1Cell:
    """A unit cell with all its atoms.

    Attributes:
      atomic_numbers: one an atom.
      scaled_positions: fractions of the cell vectors, not wrapped.
      cell: cell vectors as rows, in Å.
    """

    atomic_numbers: Int[np.ndarray, " atoms"]
    scaled_positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"]


def parse_p1(text: str) -> P1Cell | None:
    """Reads a CIF file without symmetry.

    Args:
      text: the file.

    Returns:
      The cell, or None if the file is not of the kind that this reader knows.
    """
    values: dict[str, str] = {}
    tables: dict[str, list[str]] = {}
    try:
        for names, words in _parts(text):
            if not names:
                values[words[0]] = words[1]
            else:
                tables |= {name: words[i :: len(names)] for i, name in enumerate(names)}
        if not _identity_alone(tables):
            return None
        if min(_numbers(tables.get(_OCCUPANCY, ["1"]))) < _FULL:
            return None
        scaled = np.array([_numbers(tables[name]) for name in _SCALED]).T
        return P1Cell(
            atomic_numbers=np.array([_atomic_number(word) for word in tables[_SYMBOL]]),
            scaled_positions=np.ascontiguousarray(scaled),
            cell=ase.geometry.cellpar_to_cell(_numbers([values[name] for name in _CELL])),
        )
    except (KeyError, ValueError, IndexError):
        return None


def _parts(text: str) -> Iterator[tuple[Sequence[str], list[str]]]:
    """Single items as `((), [name, value])`, loops as `(names, words)`."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    if sum(line.lower().startswith("data_") for line in lines) != 1:
        raise ValueError("one data block expected")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line[0] == "_":
            yield (), line.split(maxsplit=1)
        elif line.lower() == "loop_":
            first = at
            while at < len(lines) and lines[at][0] == "_":
                at += 1
            body = at
            while at < len(lines) and not _ends_loop(lines[at]):
                at += 1
            yield _loop(lines[first:body], lines[body:at])
        elif not line.lower().startswith("data_"):
            raise ValueError(f"not understood: {line[:40]}")


def _ends_loop(line: str) -> bool:
    return line[0] == "_" or line[:5].lower() in ("loop_", "data_")


def _loop(names: list[str], rows: list[str]) -> tuple[Sequence[str], list[str]]:
    if len(names) == 1:
        return names, rows  # operations hold spaces: 'x, y, z'
    words = " ".join(rows).split()
    if len(words) != len(names) * len(rows) or "'" in words[0]:
        raise ValueError("one line a row expected")
    return names, words


def _identity_alone(tables: dict[str, list[str]]) -> bool:
    operations = [row for name in _OPERATIONS for row in tables.get(name, ())]
    return [re.sub(r"[\s'\"+]", "", row).lower() for row in operations] == ["x,y,z"]


def _numbers(words: Sequence[str]) -> list[float]:
    try:
        return list(map(float, words))
    except ValueError:  # uncertainties may follow in brackets: 0.1234(5)
        return [float(_UNCERTAINTY.sub("", word)) for word in words]


@functools.lru_cache(maxsize=256)
def _atomic_number(word: str) -> int:
    symbol = "H" if word == "D" else word.capitalize()
    return ase.data.atomic_numbers[symbol]
