"""The data set `ligands`: small molecules of the wwPDB Chemical Component Dictionary, fetched.

A wheel of biotite carries the dictionary as one BinaryCIF table, which is read here without it.
Coordinates are the ideal ones that the dictionary computed; where they are missing, those of the
model that the component was first seen in. Hydrogens are kept (deuterium counts as hydrogen).
Components are left out that are obsolete (another one replaces them), that have neither set of
coordinates whole, that hold an unknown element, or whose atoms lie less than 0.5 Å from each other.

References:
  Westbrook et al., The chemical component dictionary: complete descriptions of constituent
  molecules in experimentally determined 3D macromolecules in the Protein Data Bank,
  Bioinformatics 31, 1274 (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import ase.data
import numpy as np
from jaxtyping import Bool, Int
from scipy.spatial.distance import pdist

from jaxalign.archives.entries import read_entry
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.bcif import Column, read_columns
from jaxalign.structures.columns import Columns, join_atoms, rows_within, starts
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

COMPONENTS = 49_195
"""Components with atoms in the archive."""
ROWS = 48_370
"""Components with usable coordinates: what the data set holds."""
ENTRY = "biotite/structure/info/components.bcif"

_PER_ANGSTROM = 1_000  # the dictionary gives three decimals; stored as integers
_OVERLAP = 0.5  # Å; the shortest bond, of H₂, is 0.74
_MAX_BYTES = 128 * 2**20
_REPORT_EVERY = 1_000
_CHARGE, _STATUS = "pdbx_formal_charge", "pdbx_release_status"
_IDEAL = tuple(f"pdbx_model_Cartn_{axis}_ideal" for axis in "xyz")
_MODEL = tuple(f"model_Cartn_{axis}" for axis in "xyz")
_ARCHIVE = ARCHIVES["biotite"]


def read_components(wheel: Path, *, advance: Callable[[int], None] = lambda count: None) -> Columns:
    """Reads all components out of the biotite wheel.

    Args:
      wheel: the wheel; opened, never imported.
      advance: called with the number of components read since the last call.

    Returns:
      `n_atoms [n]`, flat `atomic_numbers [atoms]` and `positions_1e3A [atoms, 3]` (integers, in
      1e-3 Å), `component [n]` (its identifier), `formal_charge [n]` (in e), `ideal [n]` (whether
      the coordinates are the ideal ones).

    Raises:
      JaxalignError: if the archive is not what this reader knows.
    """
    data = read_entry(wheel, ENTRY, max_bytes=_MAX_BYTES)
    atoms = read_columns(data, "_chem_comp_atom", ("comp_id", "type_symbol", *_IDEAL, *_MODEL))
    about = read_columns(data, "_chem_comp", ("id", _CHARGE, _STATUS))
    obsolete = set(about["id"].values[about[_STATUS].values == "OBS"].tolist())
    owners, numbers = atoms["comp_id"].values, _atomic_numbers(atoms["type_symbol"].values)
    choices = [_coordinates(atoms, names) for names in (_IDEAL, _MODEL)]
    first = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
    kept: list[tuple[slice, int]] = []
    for count, (start, end) in enumerate(zip(first, [*first[1:], len(owners)], strict=True), 1):
        if count % _REPORT_EVERY == 0:
            advance(_REPORT_EVERY)
        rows = slice(start, end)
        sound = [row for row, (xyz, here) in enumerate(choices) if _sound(xyz[rows], here[rows])]
        if sound and numbers[rows].all() and owners[start] not in obsolete:
            kept.append((rows, sound[0]))
    advance(len(first) % _REPORT_EVERY)
    if (len(first), len(kept)) != (COMPONENTS, ROWS):
        raise JaxalignError(
            f"{wheel}: expected {COMPONENTS:,} components, {ROWS:,} of them usable; "
            f"found {len(first):,} and {len(kept):,}"
        )
    charges = dict(zip(about["id"].values.tolist(), about[_CHARGE].values, strict=True))
    names = [str(owners[rows.start]) for rows, _ in kept]
    return {
        **join_atoms([numbers[rows] for rows, _ in kept]),
        "positions_1e3A": np.concatenate([choices[which][0][rows] for rows, which in kept]),
        "component": np.array(names),
        "formal_charge": np.array([charges[name] for name in names], dtype=np.int8),
        "ideal": np.array([which == 0 for _, which in kept]),
    }


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The components `rows` as records, with ids `ligands/{identifier of the component}`.

    Args:
      columns: as `read_components` returns them.
      rows: positions in `columns`.

    Yields:
      Molecules with positions in Å and the label `formal_charge_e`.
    """
    first = starts(columns)
    for row in rows.tolist():
        atoms = slice(first[row], first[row + 1])
        yield Structure(
            id=f"ligands/{columns['component'][row]}",
            atomic_numbers=columns["atomic_numbers"][atoms].astype(np.int32),
            positions=columns["positions_1e3A"][atoms] / _PER_ANGSTROM,
            labels={"formal_charge_e": float(columns["formal_charge"][row])},
        )


def _atomic_numbers(symbols: np.ndarray) -> Int[np.ndarray, " atoms"]:
    """Atomic numbers by symbol; 0 for one that is no element."""
    known = {symbol.upper(): number for symbol, number in ase.data.atomic_numbers.items()}
    known |= {"D": 1, "X": 0}
    found, where = np.unique(symbols, return_inverse=True)
    return np.array([known.get(str(symbol).upper(), 0) for symbol in found])[where]


def _coordinates(
    atoms: Mapping[str, Column], names: tuple[str, ...]
) -> tuple[Int[np.ndarray, "atoms 3"], Bool[np.ndarray, " atoms"]]:
    """Coordinates in 1e-3 Å, and which atoms have all three."""
    present = np.all([atoms[name].present for name in names], axis=0)
    xyz = np.stack([atoms[name].values for name in names], axis=1)
    return np.rint(xyz * _PER_ANGSTROM).astype(np.int32), present


def _sound(xyz: Int[np.ndarray, "atoms 3"], present: Bool[np.ndarray, " atoms"]) -> bool:
    if not present.all():
        return False
    return bool(pdist(xyz).min(initial=np.inf) >= _OVERLAP * _PER_ANGSTROM)


DATASETS = (
    DatasetReader(
        card=DatasetCard(
            name="ligands",
            description="48,370 components of the wwPDB dictionary: ligands, residues, ions",
            size=ROWS,
            views=("atoms",),
            labels=("formal_charge_e",),
            source=_ARCHIVE.requirement,
            licence="CC0-1.0",
            citation="Westbrook et al., Bioinformatics 31, 1274 (2015)",
            archive_sha256=_ARCHIVE.sha256,
        ),
        structures=structures,
        rows_within=rows_within,
        archive=_ARCHIVE,
        convert=read_components,
        records=COMPONENTS,
        unit="components",
    ),
)
