"""What a file reader yields for each record, and how bad records are refused or listed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.structures.structure import SkippedStructure, Structure, StructureSet
from jaxalign.types import JaxalignError

_SHOWN = 120  # characters of a bad record in messages


class StructureError(JaxalignError, ValueError):
    """A file, or a record of it, cannot be read as structures."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A file being read, and which of its fields hold what (None = detect by name).

    Attributes:
      path: the file.
      stem: file name without its extensions; prefix of the ids of records that have none.
      smiles_field: field of the SMILES.
      id_field: field of the id.
      group_field: field of the group.
    """

    path: Path
    stem: str
    smiles_field: str | None = None
    id_field: str | None = None
    group_field: str | None = None

    def identify(self, own: Any, number: int) -> str:
        """The record's own id, or `{stem}/{number}` if it has none."""
        text = "" if own is None else str(own).strip()
        return text or f"{self.stem}/{number}"


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One record of a file: a structure, or the reason why there is none.

    Attributes:
      number: 0-based position in the file, bad records counted, so that skipping never renumbers.
      structure: what was read, or None.
      reason: why nothing could be read, or None.
      text: the offending text, if there is any to show.
      line: 1-based line of a text file at which the record begins.
      place: how messages call the record, if it has a name of its own.
      left_out: not an error but of a kind that is never read; listed whatever `on_error` says.
    """

    number: int
    structure: Structure | None = None
    reason: str | None = None
    text: str | None = None
    line: int | None = None
    place: str | None = None
    left_out: bool = False

    @property
    def where(self) -> str:
        """Position as messages show it."""
        if self.place is not None:
            return self.place
        line = "" if self.line is None else f" (line {self.line})"
        return f"record {self.number}{line}"


def attempt(
    build: Callable[[], Structure], *, number: int, text: str | None = None, line: int | None = None
) -> Record:
    """Runs `build` and turns whatever a parser raises into the record's reason.

    Parsers of foreign files raise nearly every exception type on malformed input (`KeyError`,
    `IndexError`, `AssertionError`, …), hence the wide net; nothing is lost, since the reason is
    either raised again or listed by `collect`.

    Args:
      build: parses one record.
      number: 0-based record number.
      text: text of the record for messages.
      line: 1-based line for messages.

    Returns:
      The record, good or bad.
    """
    try:
        return Record(number, build(), line=line)
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        if not isinstance(error, StructureError):
            reason = f"the parser stopped with {type(error).__name__}: {reason}"
        return Record(number, reason=reason, text=text, line=line)


def collect(
    records: Iterable[Record], *, source: Source, on_error: str, name: str | None
) -> StructureSet:
    """Gathers records into a set.

    Args:
      records: records in file order.
      source: where they come from.
      on_error: `"raise"` on the first bad record, or `"skip"` and list bad records.
      name: name of the set; None for the file's stem.

    Returns:
      The structures in file order; bad records in `.skipped`.

    Raises:
      StructureError: on a bad record (unless skipping), on a duplicate id, or if nothing is left.
    """
    structures: list[Structure] = []
    skipped: list[SkippedStructure] = []
    first: dict[str, Record] = {}
    for record in records:
        if record.structure is None:
            bad = _describe(record)
            if on_error == "raise" and not record.left_out:
                raise StructureError(
                    f"{source.path}: {record.where}: {bad}; correct the record, or pass "
                    'on_error="skip" to leave such records out and have them listed'
                )
            where = f"{source.path.name}: {record.where}"
            skipped.append(SkippedStructure(where=where, reason=bad))
            continue
        identifier = record.structure.id
        if identifier in first:
            raise StructureError(
                f"{source.path}: ids must be unique, but {identifier!r} names "
                f"{first[identifier].where} and {record.where}; rename or remove one of them, or "
                "take the ids from another field with id_column="
            )
        first[identifier] = record
        structures.append(record.structure)
    if not structures:
        detail = f"all {len(skipped)} were skipped, first: {skipped[0].reason}" if skipped else ""
        raise StructureError(
            f"{source.path}: no usable record{': ' + detail if detail else ' in the file'}; "
            "pass a file with at least one structure"
        )
    return StructureSet(structures, name=name or source.stem, skipped=skipped)


def numeric_labels(fields: Mapping[str, Any], *, exclude: Iterable[str | None]) -> dict[str, float]:
    """Finite scalars among a record's fields, by field name; booleans and text are left out.

    Args:
      fields: field name → value; strings that spell a number count as numbers.
      exclude: names of fields that hold something else (id, SMILES, group).

    Returns:
      Field name → value, in the units of the file.
    """
    labels = {}
    taken = set(exclude)
    for key, value in fields.items():
        if key in taken or isinstance(value, bool | np.bool_) or np.ndim(value):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            labels[str(key)] = number
    return labels


def find_field(
    fields: Iterable[str], *, wanted: str | None, known: tuple[str, ...], required: bool = False
) -> str | None:
    """The field asked for, or the first of the known names that is there (case is ignored).

    Args:
      fields: field names of the file or record.
      wanted: name the user asked for; None to detect.
      known: names to look for, most specific first, in lower case.
      required: whether a wanted field must be there.

    Returns:
      The field's name as the file spells it, or None.

    Raises:
      StructureError: if `required` and the wanted field is not there.
    """
    names = list(fields)
    if wanted is not None:
        if wanted in names:
            return wanted
        if required:
            raise StructureError(f"there is no field {wanted!r}; the fields are {names}")
        return None
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in known if name in by_lower), None)


def _describe(record: Record) -> str:
    text = ""
    if record.text is not None:
        shown = record.text if len(record.text) <= _SHOWN else record.text[:_SHOWN] + "…"
        text = f"cannot read {shown!r}: "
    return f"{text}{record.reason}"
