"""Records of text files that hold SMILES or SELFIES: csv and tsv tables, and .smi lists.

SELFIES are decoded into SMILES by the package `selfies` as they are read, where the column (or the
header line of a list) is called "selfies": in a table without SMILES, or if it is asked for.
"""

from __future__ import annotations

import csv
import functools
import gzip
import importlib
import re
import zlib
from collections.abc import Callable, Iterator

from rdkit import Chem, rdBase

from jaxalign.structures.records import (
    Record,
    Source,
    StructureError,
    attempt,
    find_field,
    numeric_labels,
)
from jaxalign.structures.structure import Structure

SMILES_FIELDS = ("smiles", "canonical_smiles", "isomeric_smiles", "smi", "smiles_string")
SELFIES_FIELD = "selfies"
_SELFIES = re.compile(r"(\[[^\[\]\s]+\]|\.)+")
_TEXT_FIELDS = (*SMILES_FIELDS, SELFIES_FIELD)
ID_FIELDS = ("id", "identifier", "sample_id", "mol_id", "molecule_id")
GROUP_FIELDS = ("group", "group_id", "parent", "parent_id")


def read_text(source: Source) -> str:
    """The whole file as text; `.gz` is decompressed, a byte order mark is dropped.

    Raises:
      StructureError: if the file is not UTF-8 text or its compression is damaged.
    """
    opener = gzip.open if source.path.suffix.lower() == ".gz" else open
    try:
        with opener(source.path, "rb") as file:
            data = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise StructureError(
            f"{source.path}: damaged gzip file ({error}); copy or compress it again"
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StructureError(
            f"{source.path}: not a UTF-8 text file ({error}); convert it, or name its real format "
            "with format="
        ) from error
    if not text.strip():
        raise StructureError(f"{source.path}: the file is empty; pass a file with records")
    return text


def check_smiles(smiles: str) -> str:
    """Returns the SMILES unchanged if RDKit can parse and sanitize it.

    Args:
      smiles: as the file gives it; surrounding blanks are removed.

    Returns:
      The SMILES, not canonicalized: string encoders see what the user wrote.

    Raises:
      StructureError: with RDKit's reason.
    """
    smiles = smiles.strip()
    if not smiles:
        raise StructureError("the SMILES is empty")
    if len(smiles.split()) > 1:
        raise StructureError("a SMILES holds no blanks")
    with rdBase.BlockLogs():
        if Chem.MolFromSmiles(smiles) is not None:
            return smiles
        molecule = Chem.MolFromSmiles(smiles, sanitize=False)
        if molecule is None:
            raise StructureError("RDKit cannot parse it (SMILES syntax)")
        problems = [problem.Message() for problem in Chem.DetectChemistryProblems(molecule)]
    raise StructureError(f"RDKit refuses it ({'; '.join(problems) or 'sanitization failed'})")


def decode_selfies(text: str) -> str:
    """The SMILES that a SELFIES string spells.

    Args:
      text: as the file gives it; surrounding blanks are removed.

    Returns:
      A SMILES that RDKit reads.

    Raises:
      StructureError: for an empty string, a symbol that is none, or a molecule that RDKit refuses;
        the package is not installed.
    """
    try:
        selfies = importlib.import_module("selfies")
    except ImportError as error:
        raise StructureError(
            f"SELFIES are decoded by the package selfies, which cannot be imported ({error}); "
            "install it with: pip install 'jaxalign[strings]'"
        ) from error
    text = text.strip()
    if not text:
        raise StructureError("the SELFIES is empty")
    if not _SELFIES.fullmatch(text):  # the package passes over what is between its symbols
        raise StructureError("not a SELFIES: a row of symbols in brackets, such as [C][=O]")
    try:
        smiles = selfies.decoder(text)
    except selfies.DecoderError as error:
        raise StructureError(f"not a SELFIES ({' '.join(str(error).split())})") from error
    if not smiles:
        raise StructureError("the SELFIES spells no molecule")
    return check_smiles(smiles)


def table_records(source: Source, *, delimiter: str) -> Iterator[Record]:
    """Records of a table with a header line; numeric columns become labels.

    Args:
      source: the file and the columns asked for.
      delimiter: `","` or tab.

    Yields:
      One record a data row; blank lines are not records.

    Raises:
      StructureError: if there is no SMILES column, or a column asked for is not there.
    """
    lines = read_text(source).splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        columns = [column.strip() for column in next(reader)]
        fields = _table_fields(source, columns)
        number = 0
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                build = functools.partial(_table_structure, cells, columns, fields, source, number)
                cell = cells[columns.index(fields[0])] if len(cells) == len(columns) else None
                yield attempt(build, number=number, text=cell, line=line)
                number += 1
            line = reader.line_num + 1
    except csv.Error as error:
        raise StructureError(
            f"{source.path}: line {reader.line_num}: not a valid table ({error}); "
            "check quoting and delimiter"
        ) from error


def smi_records(source: Source) -> Iterator[Record]:
    """Records of a `.smi` list: `SMILES [id]` a line, the id separated by blanks or a tab.

    A first line that begins with the word "smiles" or "selfies" is taken as a header.

    Yields:
      One record a line; blank lines are not records.
    """
    number, read = 0, check_smiles
    for index, line in enumerate(read_text(source).splitlines()):
        cells = line.split("\t") if "\t" in line.strip() else line.split(maxsplit=1)
        if not line.strip():
            continue
        if number == 0 and cells[0].strip().lower() in ("smiles", SELFIES_FIELD):
            read = _reader(cells[0])
            continue
        own = cells[1] if len(cells) > 1 else None
        build = functools.partial(_smi_structure, cells[0], own, source, number, read)
        yield attempt(build, number=number, text=cells[0].strip(), line=index + 1)
        number += 1


def _reader(column: str) -> Callable[[str], str]:
    return decode_selfies if column.strip().lower() == SELFIES_FIELD else check_smiles


def _smi_structure(
    text: str, own: str | None, source: Source, number: int, read: Callable[[str], str]
) -> Structure:
    return Structure(id=source.identify(own, number), smiles=read(text))


def _table_fields(source: Source, columns: list[str]) -> tuple[str, str | None, str | None]:
    if len(set(columns)) != len(columns):
        raise StructureError(f"{source.path}: column names must be unique: got {columns}")
    try:
        smiles = find_field(columns, wanted=source.smiles_field, known=_TEXT_FIELDS, required=True)
        own = find_field(columns, wanted=source.id_field, known=ID_FIELDS, required=True)
        group = find_field(columns, wanted=source.group_field, known=GROUP_FIELDS, required=True)
    except StructureError as error:
        raise StructureError(f"{source.path}: {error}; name one of them") from None
    if smiles is None:
        raise StructureError(
            f"{source.path}: no column is named like {SMILES_FIELDS[0]!r}; the columns are "
            f"{columns}; name the right one with smiles_column=, or add a header line"
        )
    return smiles, own, group


def _table_structure(
    cells: list[str],
    columns: list[str],
    fields: tuple[str, str | None, str | None],
    source: Source,
    number: int,
) -> Structure:
    if len(cells) != len(columns):
        raise StructureError(f"{len(cells)} cells in a table of {len(columns)} columns")
    row = dict(zip(columns, cells, strict=True))
    smiles, own, group = fields
    return Structure(
        id=source.identify(row[own] if own else None, number),
        smiles=_reader(smiles)(row[smiles]),
        labels=numeric_labels(row, exclude=fields),
        group=(row[group].strip() or None) if group else None,
    )
