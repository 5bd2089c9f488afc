"""Files → structures. RDKit, ASE and gemmi parse; ids, errors and skipping are the same for all.

Formats (each text format also as `.gz`):

| format    | files                       | views              | own id                         |
|-----------|-----------------------------|--------------------|--------------------------------|
| `csv`     | `.csv`                      | SMILES (SELFIES)   | column `id`                    |
| `tsv`     | `.tsv`                      | SMILES (SELFIES)   | column `id`                    |
| `smi`     | `.smi`, `.smiles`           | SMILES (SELFIES)   | second field of the line       |
| `sdf`     | `.sdf`, `.sd`, `.mol`       | atoms, SMILES      | title line                     |
| `extxyz`  | `.xyz`, `.extxyz`           | atoms              | `id` in the comment line       |
| `cif`     | `.cif` of crystals          | atoms              | –                              |
| `vasp`    | `POSCAR*`, `CONTCAR*`, `.poscar`, `.vasp` | atoms | –                            |
| `traj`    | `.traj`                     | atoms              | `atoms.info["id"]`             |
| `db`      | `.db`                       | atoms              | ASE's unique id                |
| `fasta`   | `.fasta`, `.fa`, `.faa`, `.fas` | sequence       | first word of the header       |
| `pdb`     | `.pdb`, `.ent`              | sequence, backbone | `{stem}/{chain}`               |
| `mmcif`   | `.mmcif`, `.cif` of macromolecules | sequence, backbone | `{stem}/{chain}`        |
| a folder  | of PDB and mmCIF files      | sequence, backbone | `{stem of the file}/{chain}`   |

SELFIES of a column that is called so are decoded into SMILES. A record without an id of its own is
called `{stem}/{number}`, by its 0-based position in the file.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from jaxalign.structures import chain_files
from jaxalign.structures.fasta_files import fasta_records
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
    "fasta": fasta_records,
    "pdb": chain_files.pdb_records,
    "mmcif": chain_files.mmcif_records,
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
    ".fasta": "fasta",
    ".fa": "fasta",
    ".faa": "fasta",
    ".fas": "fasta",
    ".pdb": "pdb",
    ".ent": "pdb",
    ".mmcif": "mmcif",
}
_VASP_NAMES = ("poscar", "contcar")
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".lmdb", ".joblib")
_BINARY = ("traj", "db")  # read through their path: cannot be compressed
_WITHOUT_FIELDS = ("smi", "cif", "vasp", "fasta", "pdb", "mmcif")


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
    """Reads all structures of one file, or all protein chains of a folder.

    Args:
      path: the file or folder; see the table at the top of this module.
      format: one of `FORMATS`; None to tell it from the file's name (a `.cif` file: its content).
      on_error: `"raise"` at the first record that cannot be read, or `"skip"` such records and
        list them in `.skipped`. Duplicate ids and damaged files are always errors, but for a file
        of a folder, which is a record there.
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
    if path.is_dir():
        return _read_folder(path, format=format, on_error=on_error, name=name)
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


def _read_folder(
    path: Path, *, format: str | None, on_error: str, name: str | None
) -> StructureSet:
    if format is not None:
        raise ValueError(f"{path} is a folder, whose files are told by name: leave format out")
    if not chain_files.has_protein_files(path):
        raise StructureError(
            f"{path}: this is a directory without PDB or mmCIF files (the only ones that are read "
            "by the folder); pass one file"
        )
    source = Source(path, path.resolve().name)
    return collect(chain_files.folder_records(source), source=source, on_error=on_error, name=name)


def _check_file(path: Path) -> None:
    if path.suffix.lower() in _PICKLES:
        raise StructureError(
            f"{path}: {path.suffix} data are pickles, and opening a pickle runs whatever code it "
            "holds; convert it where it was made, to extended xyz (ase.io.write) or a csv of SMILES"
        )
    if path.is_dir():
        return
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
    if bare.suffix.lower() == ".cif" and chain_files.is_mmcif(path):
        return "mmcif"
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
