"""Records of FASTA files: residue sequences of proteins.

    >id anything else
    MKTAYIAKQRQISFVKSHFSRQ
    LEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV*

The id ends at the first blank. Lower case counts as upper case, `*` at the end (a stop codon) and
the gaps `-` and `.` of alignments are removed. Letters for more than one residue or for none of the
twenty (B, J, O, U, X, Z) become X and are counted in the log; anything else is an error. Lines that
begin with `;` are comments.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from absl import logging

from jaxalign.structures.chains import RESIDUES
from jaxalign.structures.records import Record, Source, StructureError, attempt
from jaxalign.structures.smiles_files import read_text
from jaxalign.structures.structure import Structure

_OTHERS = "BJOUXZ"
_GAPS = str.maketrans("", "", "-.")
_NUCLEOTIDES = frozenset("ACGTUN")
_ENOUGH = 50  # residues: a protein of so many has more than A, C, G, T and N


def fasta_records(source: Source) -> Iterator[Record]:
    """Sequences of a FASTA file.

    Yields:
      One record a header line.

    Raises:
      StructureError: if there is text before the first header.
    """
    replaced = 0
    for number, (line, header, pieces) in enumerate(_entries(source)):
        own = (header.split(maxsplit=1) or [""])[0] if header[:1].strip() else ""
        build = functools.partial(_structure, "".join(pieces), own, source, number)
        record = attempt(build, number=number, text=header, line=line)
        if record.structure is not None:
            replaced += record.structure.sequence.count("X")
        yield record
    if replaced:
        logging.info("%s: %d residues are none of the twenty: X", source.path, replaced)


def clean_sequence(text: str) -> str:
    """Residues as one-letter codes, as this module says.

    Args:
      text: as written, blanks included.

    Returns:
      Letters of the twenty and X.

    Raises:
      StructureError: for an empty sequence, a character that is no residue, or nucleotides.
    """
    letters = "".join(text.split()).upper().translate(_GAPS).removesuffix("*")
    if not letters:
        raise StructureError("the sequence is empty")
    for at, letter in enumerate(letters, 1):
        if letter not in RESIDUES and letter not in _OTHERS:
            what = "a stop codon inside" if letter == "*" else "no residue"
            raise StructureError(f"character {at}, {letter!r}, is {what}")
    if len(letters) >= _ENOUGH and _NUCLEOTIDES.issuperset(letters):
        raise StructureError("these are nucleotides; translate them: only proteins are read")
    return "".join(letter if letter in RESIDUES else "X" for letter in letters)


def _structure(text: str, own: str, source: Source, number: int) -> Structure:
    sequence = clean_sequence(text)
    return Structure(
        id=source.identify(own, number),
        sequence=sequence,
        labels={"residues": float(len(sequence))},
    )


def _entries(source: Source) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, header and lines of each sequence."""
    entry: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(read_text(source).splitlines(), 1):
        if line.startswith(">"):
            if entry:
                yield entry
            entry = (number, line[1:], [])
        elif line.startswith(";") or not line.strip():
            continue
        elif entry is None:
            raise StructureError(
                f"{source.path}: line {number}: text before the first header line (>id); is it of "
                "another format?"
            )
        else:
            entry[2].append(line)
    if entry:
        yield entry
