"""What a sample is: one molecule, crystal or protein, with a stable id. Host only, NumPy only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """One sample. Any subset of the views (atoms, SMILES, sequence, backbone) may be present.

    Attributes:
      id: stable identifier; embeddings are matched across encoders by it.
      atomic_numbers: `[atoms]` int32, or None.
      positions: `[atoms, 3]` float64 Cartesian coordinates in Å, or None.
      cell: `[3, 3]` float64 lattice vectors as rows in Å, or None for a molecule.
      pbc: periodicity along each lattice vector.
      smiles: SMILES string, or None.
      sequence: one-letter residue sequence, `X` where the residue is not one of the twenty, or
        None.
      backbone: `[residues, 4, 3]` float64 coordinates of N, CA, C and O in Å, NaN where an atom is
        missing, or None; residue i is letter i of `sequence`.
      residue_numbers: `[residues]` int32 numbers of the residues of `backbone`, ascending; a gap is
        a chain break. None: 0, 1, 2, …
      labels: named scalars (units in the name, e.g. `u0_hartree`).
      group: structures of one group (conformers, parent, trajectory) are never counted as each
        other's neighbors when group-aware exclusion is asked for; None = a group of its own.
    """

    id: str
    atomic_numbers: Int[np.ndarray, " atoms"] | None = None
    positions: Float[np.ndarray, "atoms 3"] | None = None
    cell: Float[np.ndarray, "3 3"] | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)
    smiles: str | None = None
    sequence: str | None = None
    backbone: Float[np.ndarray, "residues 4 3"] | None = None
    residue_numbers: Int[np.ndarray, " residues"] | None = None
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    group: str | None = None

    def digest(self) -> bytes:
        """SHA-256 of the content that encoders can see (id and group included, labels not)."""
        state = hashlib.sha256()
        text = [self.id, self.smiles, self.sequence, self.group, list(self.pbc)]
        state.update(json.dumps(text, ensure_ascii=True).encode())
        for array, dtype in (
            (self.atomic_numbers, "<i4"),
            (self.positions, "<f8"),
            (self.cell, "<f8"),
        ):
            if array is None:
                state.update(b"-")
            else:
                data = np.ascontiguousarray(array, dtype=dtype)
                state.update(f"{data.shape}".encode() + data.tobytes())
        # Only where there is one, so that structures without keep the hash they have had.
        for array, dtype in ((self.backbone, "<f8"), (self.residue_numbers, "<i4")):
            if array is not None:
                data = np.ascontiguousarray(array, dtype=dtype)
                state.update(f"{dtype}{data.shape}".encode() + data.tobytes())
        return state.digest()


@dataclasses.dataclass(frozen=True)
class SkippedStructure:
    """A record that could not be used, kept so that reports can list it."""

    where: str
    reason: str


class StructureSet(Sequence[Structure]):
    """An ordered set of structures with unique ids, its source, and what was skipped on reading.

    Raises:
      ValueError: if an id occurs twice.
    """

    def __init__(
        self,
        structures: Iterable[Structure],
        *,
        name: str = "structures",
        skipped: Sequence[SkippedStructure] = (),
    ):
        self._structures = tuple(structures)
        self.name = name
        self.skipped = tuple(skipped)
        _require_unique([s.id for s in self._structures], name)

    @overload
    def __getitem__(self, item: int) -> Structure: ...
    @overload
    def __getitem__(self, item: slice) -> StructureSet: ...
    def __getitem__(self, item):
        if isinstance(item, slice):
            return StructureSet(self._structures[item], name=self.name, skipped=self.skipped)
        return self._structures[item]

    def __len__(self) -> int:
        return len(self._structures)

    def __iter__(self) -> Iterator[Structure]:
        return iter(self._structures)

    def __repr__(self) -> str:
        return f"StructureSet({self.name!r}, n={len(self)}, skipped={len(self.skipped)})"

    def subset(self, n: int, *, seed: int = 0) -> StructureSet:
        """A random subset of n structures, drawn as `draw_rows` says, in the order of the draw.

        Raises:
          ValueError: n is not between 1 and the number of structures.
        """
        if not 1 <= n <= len(self):
            raise ValueError(
                f"{self.name} holds {len(self):,} structures, {n:,} were asked for; "
                f"pass 1 <= n <= {len(self)}"
            )
        chosen = (self._structures[row] for row in draw_rows(len(self), n=n, seed=seed))
        return StructureSet(chosen, name=self.name, skipped=self.skipped)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(s.id for s in self._structures)

    @property
    def content_hash(self) -> str:
        """SHA-256 over all structures in order; keys everything derived from this set."""
        state = hashlib.sha256()
        for structure in self._structures:
            state.update(structure.digest())
        return state.hexdigest()


def draw_rows(count: int, *, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """First n of `numpy.random.default_rng(seed).permutation(count)`: row numbers in draw order.

    So the draw of a smaller n is the beginning of that of a larger n with the same seed.
    """
    return np.random.default_rng(seed).permutation(count)[:n]


def _require_unique(ids: Sequence[str], name: str) -> None:
    seen: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if identifier in seen:
            raise ValueError(
                f"{name}: ids must be unique, but {identifier!r} names records "
                f"{seen[identifier]} and {row}; rename one of them or drop the duplicate"
            )
        seen[identifier] = row
