"""Columns of many structures in one npz file: atoms of all structures one after the other.

`n_atoms [n]` and flat `atomic_numbers [atoms]` are always there. Coordinates are integers, so that
files stay small and a structure is the same, bit for bit, wherever it is read:
`positions_1e4A [atoms, 3]` or `positions_1e3A` of molecules; `scaled_positions_1e6 [atoms, 3]`
(fractions of the cell vectors) beside `cell_A [n, 3, 3]` (vectors as rows, Å) of crystals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from jaxalign.structures.structure import Structure

PER_CELL_VECTOR = 1_000_000
"""Scaled positions are stored as integers, in millionths of a cell vector."""

Columns = Mapping[str, np.ndarray]


def starts(columns: Columns) -> Int[np.ndarray, " bounds"]:
    """First atom of every structure, and the number of all atoms at the end."""
    return np.concatenate([[0], np.cumsum(columns["n_atoms"], dtype=np.int64)])


def rows_within(columns: Columns, elements: np.ndarray) -> np.ndarray:
    """Positions of the structures made of the given elements alone.

    Args:
      columns: with `n_atoms` and flat `atomic_numbers`.
      elements: allowed atomic numbers.

    Returns:
      Ascending positions.
    """
    foreign = ~np.isin(columns["atomic_numbers"], elements)
    return np.flatnonzero(np.add.reduceat(foreign, starts(columns)[:-1], dtype=np.int64) == 0)


def join_atoms(numbers: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The columns `n_atoms` and `atomic_numbers` of structures given one by one."""
    counts = np.array([len(atoms) for atoms in numbers])
    smallest = np.uint8 if counts.max() < 2**8 else np.uint16
    return {
        "n_atoms": counts.astype(smallest),
        "atomic_numbers": np.concatenate(numbers).astype(np.uint8),
    }


def scaled_to_integers(scaled: np.ndarray) -> np.ndarray:
    """Scaled positions in millionths of a cell vector, as the columns hold them."""
    return np.rint(scaled * PER_CELL_VECTOR).astype(np.int32)


def crystals(
    columns: Columns, rows: np.ndarray, *, prefix: str, name: str, labels: Mapping[str, str]
) -> Iterator[Structure]:
    """Periodic structures out of columns.

    Args:
      columns: with `scaled_positions_1e6` and `cell_A`.
      rows: positions in `columns`.
      prefix: ids are `{prefix}/{name of the row}`.
      name: column of the names.
      labels: label → its column; a value that is not finite is no label.

    Yields:
      Structures that are periodic along all three vectors, positions in Å.
    """
    first = starts(columns)
    for row in rows.tolist():
        atoms = slice(first[row], first[row + 1])
        cell = columns["cell_A"][row].astype(np.float64)
        found = {label: float(columns[column][row]) for label, column in labels.items()}
        yield Structure(
            id=f"{prefix}/{columns[name][row]}",
            atomic_numbers=columns["atomic_numbers"][atoms].astype(np.int32),
            positions=columns["scaled_positions_1e6"][atoms] / PER_CELL_VECTOR @ cell,
            cell=cell,
            pbc=(True, True, True),
            labels={label: value for label, value in found.items() if np.isfinite(value)},
        )
