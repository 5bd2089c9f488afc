"""Records of protein files, read by gemmi: PDB, mmCIF, and folders of these. One record a chain.

Of the first model all protein chains are taken, named as the author names them. Other polymers and
chains of water or ligands alone are listed among what was skipped, never an error; what is left out
inside of protein chains (water, ligands, further models) is counted in the log.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import logging

from jaxalign.structures.chains import chain_structure, is_protein
from jaxalign.structures.records import Record, Source, StructureError, attempt
from jaxalign.structures.smiles_files import read_text

PDB_EXTENSIONS = (".pdb", ".ent")
MMCIF_EXTENSIONS = (".cif", ".mmcif")
_MARKS = (b"_atom_site.group_PDB", b"_atom_site.label_comp_id", b"_entity_poly.")
_PIECE = 1 << 20  # bytes
_COORDINATES = (slice(30, 38), slice(38, 46), slice(46, 54))


def pdb_records(source: Source) -> Iterator[Record]:
    """Protein chains of a PDB file.

    Raises:
      StructureError: for a file that is none, is cut off inside a line, or has words where numbers
        belong; gemmi is not installed.
    """
    text, gemmi = read_text(source), _gemmi(source)
    _check_coordinates(source, text)
    yield from _records(source, gemmi, lambda: gemmi.read_pdb_string(text))


def mmcif_records(source: Source) -> Iterator[Record]:
    """Protein chains of an mmCIF file.

    Raises:
      StructureError: for a file that is none or is cut off; several blocks with atoms; gemmi is not
        installed.
    """
    text, gemmi = read_text(source), _gemmi(source)

    def parse() -> Any:
        blocks = [b for b in gemmi.cif.read_string(text) if b.find_values("_atom_site.Cartn_x")]
        if len(blocks) != 1:
            raise StructureError(f"{len(blocks)} data blocks have atoms: pass a file with one")
        return gemmi.make_structure_from_block(blocks[0])

    yield from _records(source, gemmi, parse)


def folder_records(source: Source) -> Iterator[Record]:
    """Protein chains of all PDB and mmCIF files of a folder, by name; other files are left alone.

    A file that cannot be read is one bad record.
    """
    number = 0
    for path, reader in _protein_files(source.path):
        own = dataclasses.replace(source, path=path, stem=_bare(path).stem)
        try:
            records = list(reader(own))
        except StructureError as error:
            reason = str(error).removeprefix(f"{path}: ")
            records = [Record(0, reason=reason, place="the file")]
        for record in records:
            yield dataclasses.replace(record, number=number, place=f"{path.name}: {record.where}")
            number += 1


def has_protein_files(folder: Path) -> bool:
    """Whether a folder holds at least one file that is named like a protein's."""
    return bool(_protein_files(folder))


def is_mmcif(path: Path) -> bool:
    """Whether a `.cif` file is a macromolecule's (mmCIF) rather than a crystal's (core CIF).

    Only categories of the former's dictionary tell them apart; they may come late in the file.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    overlap = max(map(len, _MARKS)) - 1
    tail = b""
    try:
        with opener(path, "rb") as file:
            while piece := file.read(_PIECE):
                if any(mark in tail + piece for mark in _MARKS):
                    return True
                tail = (tail + piece)[-overlap:]
    except (OSError, EOFError, zlib.error):
        return True  # damaged: the reader says how
    return False


def _gemmi(source: Source) -> ModuleType:
    try:
        return importlib.import_module("gemmi")
    except ImportError as error:
        raise StructureError(
            f"{source.path}: PDB and mmCIF files are read by gemmi, which cannot be imported "
            f"({error}); install it with: pip install 'jaxalign[proteins]'"
        ) from error


def _check_coordinates(source: Source, text: str) -> None:
    # gemmi takes what it cannot read for 0.
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("ATOM  ", "HETATM")):
            for columns in _COORDINATES:
                try:
                    float(line[columns])
                except ValueError:
                    raise StructureError(
                        f"{source.path}: line {number}: {line[columns]!r} is no coordinate "
                        "(columns 31 to 54); the line is damaged, cut off, or not of the PDB format"
                    ) from None


def _records(source: Source, gemmi: ModuleType, parse: Callable[[], Any]) -> Iterator[Record]:
    try:
        structure = parse()
        structure.merge_chain_parts()
        structure.setup_entities()
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise StructureError(
            f"{source.path}: cannot be read ({reason}); copy it again, or name its real format "
            "with format="
        ) from error
    if not len(structure) or not len(structure[0]):
        raise StructureError(f"{source.path}: there are no atoms in it; is it of another format?")
    _log_rest(source, structure)
    for number, chain in enumerate(structure[0]):
        place = f"chain {chain.name}"
        if not is_protein(chain, gemmi):
            reason = f"not a protein: {_content(chain)}"
            yield Record(number, reason=reason, place=place, left_out=True)
            continue
        name = f"{source.stem}/{chain.name.strip() or '_'}"
        build = functools.partial(chain_structure, chain, gemmi, id=name, group=source.stem)
        yield dataclasses.replace(attempt(build, number=number), place=place)


def _content(chain: Any) -> str:
    polymer = chain.get_polymer()
    if len(polymer):
        return f"{len(polymer)} residues of {polymer.check_polymer_type().name}"
    names = sorted({residue.name for residue in chain})
    return f"{len(chain)} residues {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def _log_rest(source: Source, structure: Any) -> None:
    kinds = [residue.entity_type.name for chain in structure[0] for residue in chain]
    rest = {
        "water molecules": kinds.count("Water"),
        "ligands": kinds.count("NonPolymer") + kinds.count("Branched"),
        "further models": len(structure) - 1,
    }
    if any(rest.values()):
        found = ", ".join(f"{count} {what}" for what, count in rest.items() if count)
        logging.info("%s: left out: %s", source.path, found)


def _protein_files(folder: Path) -> list[tuple[Path, Callable[[Source], Iterator[Record]]]]:
    found = []
    for path in sorted(folder.iterdir()):
        extension = _bare(path).suffix.lower()
        if path.name.startswith(".") or not path.is_file():
            continue
        if extension in PDB_EXTENSIONS:
            found.append((path, pdb_records))
        elif extension == ".mmcif" or (extension == ".cif" and is_mmcif(path)):
            found.append((path, mmcif_records))
    return found


def _bare(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path
