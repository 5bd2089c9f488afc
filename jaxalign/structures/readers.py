"""Files → structures. RDKit and ASE do the parsing; ids, errors and skipping are the same for all.

Formats (each text format also as `.gz`):

| format    | files                      | views           | own id                        |
|-----------|----------------------------|-----------------|-------------------------------|
| `csv`     | `.csv`                     | SMILES          | column `id`                   |
| `tsv`     | `.tsv`                     | SMILES          | column `id`                   |
| `smi`     | `.smi`, `.smiles`          | SMILES          | second field of the line      |
| `sdf`     | `.sdf`, `.sd`, `.mol`      | atoms, SMILES   | title line                    |
| `extxyz`  | `.xyz`, `.extxyz`          | atoms           | `id` in the comment line      |
| `cif`     | `.cif`                     | atoms           | –                             |
| `vasp`    | `POSCAR*`, `CONTCAR*`, `.poscar`, `.vasp` | atoms | –                        |
| `traj`    | `.traj`                    | atoms           | `atoms.info["id"]`            |
| `db`      | `.db`                      | atoms           | ASE's unique id               |

A record without an id of its own is called `{stem}/{number}`, by its 0-based position in the file.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from jaxalign.structures.records import Record, Source, StructureError, collect
from jaxalign.structures.sdf_files import sdf_records
from jaxalign.structures.smiles_files import smi_records, table_records
from jaxalign.structures.structure import StructureSet

__all__ = ["FORMATS", "StructureError", "read_structures"]


def _by_ase(reader: str) -> Callable[[Source], Iterator[Record]]:
    """A reader of `atoms_files`, which is imported when it is used: ASE takes its time."""

    def records(source: Source) -> Iterator[Record]:
        module = importlib.import_module("jaxalign.structures.atoms_files")
        return getattr(module, reader)(source)

    return records


FORMATS: Mapping[str, Callable[[Source], Iterator[Record]]] = {
    "csv": functools.partial(table_records, delimiter=","),
    "tsv": functools.partial(table_records, delimiter="\t"),
    "smi": smi_records,
    "sdf": sdf_records,
    "extxyz": _by_ase("xyz_records"),
    "cif": _by_ase("cif_records"),
    "vasp": _by_ase("vasp_records"),
    "traj": _by_ase("trajectory_records"),
    "db": _by_ase("database_records"),
}

_EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".smi": "smi",
    ".smiles": "smi",
    ".sdf": "sdf",
    ".sd": "sdf",
    ".mol": "sdf",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".cif": "cif",
    ".poscar": "vasp",
    ".vasp": "vasp",
    ".traj": "traj",
    ".db": "db",
}
_VASP_NAMES = ("poscar", "contcar")
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".lmdb", ".joblib")
_BINARY = ("traj", "db")  # read through their path: cannot be compressed
_WITHOUT_FIELDS = ("smi", "cif", "vasp")


def read_structures(
    path: str | Path,
    *,
    format: str | None = None,
    on_error: str = "raise",
    smiles_column: str | None = None,
    id_column: str | None = None,
    group_column: str | None = None,
    name: str | None = None,
) -> StructureSet:
    """Reads all structures of one file.

    Args:
      path: the file; see the table at the top of this module.
      format: one of `FORMATS`; None to tell it from the file's name.
      on_error: `"raise"` at the first record that cannot be read, or `"skip"` such records and
        list them in `.skipped`. Duplicate ids and damaged files are always errors.
      smiles_column: column (csv, tsv) or info key (extxyz, traj, db) of the SMILES; None to
        detect it by name.
      id_column: column, SDF data field or info key of the ids; None for the format's own id.
      group_column: column, SDF data field or info key of the group; None to detect `group` or
        `parent`.
      name: name of the set; None for the file's stem.

    Returns:
      The structures in file order. SMILES stay as given; coordinates are in Å; numeric columns,
      data fields and info scalars are labels.

    Raises:
      StructureError: with the file, the record, the reason and the way to mend it.
      ValueError: for an unknown `format` or `on_error`, or a column name that the format has no
        use for.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip": got {on_error!r}')
    path = Path(path)
    _check_file(path)
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if format is None:
        format = _detect(path, bare)
    elif format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; choose one of {sorted(FORMATS)}")
    if format in _BINARY and bare != path:
        raise StructureError(f"{path}: decompress it first: {format} is read in place")
    columns = {
        "smiles_column": smiles_column,
        "id_column": id_column,
        "group_column": group_column,
    }
    _check_columns(format, columns)
    stem = bare.name if format == "vasp" else bare.stem
    source = Source(path, stem, smiles_column, id_column, group_column)
    return collect(FORMATS[format](source), source=source, on_error=on_error, name=name)


def _check_file(path: Path) -> None:
    if path.suffix.lower() in _PICKLES:
        raise StructureError(
            f"{path}: {path.suffix} data are pickles, and opening a pickle runs whatever code it "
            "holds; convert it where it was made, to extended xyz (ase.io.write) or a csv of SMILES"
        )
    if path.is_dir():
        raise StructureError(f"{path}: this is a directory; pass one file")
    if not path.exists():
        raise StructureError(f"{path}: no such file (looked in {path.parent.resolve()})")
    try:
        empty = path.stat().st_size == 0
        with path.open("rb"):
            pass
    except OSError as error:
        raise StructureError(f"{path}: cannot be opened ({error.strerror})") from error
    if empty:
        raise StructureError(f"{path}: the file is empty; pass a file with records")


def _detect(path: Path, bare: Path) -> str:
    if bare.suffix.lower() in _EXTENSIONS:
        return _EXTENSIONS[bare.suffix.lower()]
    if bare.name.lower().startswith(_VASP_NAMES):
        return "vasp"
    known = ", ".join([*_EXTENSIONS, "POSCAR", "CONTCAR"])
    raise StructureError(
        f"{path}: unknown extension {bare.suffix!r}; known are {known} (text formats also with "
        f".gz); rename the file or pass format= (one of {sorted(FORMATS)})"
    )


def _check_columns(format: str, columns: Mapping[str, str | None]) -> None:
    useless = [key for key, value in columns.items() if value is not None]
    if format == "sdf":
        useless = [key for key in useless if key == "smiles_column"]
    elif format not in _WITHOUT_FIELDS:
        return
    if useless:
        raise ValueError(f"{format} files have no use for {', '.join(useless)}: leave it out")
