"""One protein chain of a PDB or mmCIF file, as gemmi parses it → sequence, backbone and numbers.

Sequence: the residues that have coordinates. A modified residue counts as the one it was made from
where gemmi's table knows it (MSE is M, SEP is S), protonation variants of force fields as their
residue (HID, CYX, …), and what is not one of the twenty after that (SEC, PYL, UNK, …) is X. Caps
(ACE, NMA, …) and solvent are left out.

Backbone: of several locations of a residue the one with the highest occupancy, the first on ties;
of several residues at one place likewise. A missing atom is NaN.

Numbers: those of the author at the start, ascending, with a gap at each break and nowhere else.
Insertion codes count (52, 52A, 53 are 52, 53, 54). Where C and the next N are known, their distance
says whether there is a break: authors skip numbers in whole chains, to keep to those of a family,
and number on over loops that were not seen. Where they are not known the author's numbers decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxalign.structures.records import StructureError
from jaxalign.structures.structure import Structure

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty, in alphabetical order of their letters."""

_BACKBONE = ("N", "CA", "C", "O")
_PEPTIDE_BOND = 2.5  # Å from C to N: 1.33 in a chain, 3 and more across a break
_CAPS = ("ACE", "FOR", "NH2", "NMA", "NME")
_OF_FORCE_FIELDS = MappingProxyType(
    {
        **dict.fromkeys(("HID", "HIE", "HIP", "HSD", "HSE", "HSP"), "H"),
        **dict.fromkeys(("CYX", "CYM"), "C"),
        **{"ASH": "D", "GLH": "E", "LYN": "K"},
    }
)


def is_protein(chain: Any, gemmi: Any) -> bool:
    """Whether the polymer of a gemmi chain is a peptide, or has one among what gemmi cannot tell.

    The latter happens in files of simulations, where solvent of other names follows in one chain.
    """
    kind = chain.get_polymer().check_polymer_type()
    if kind == gemmi.PolymerType.Unknown:
        return any(_is_amino_acid(residue, gemmi) for residue in _polymer(chain))
    return kind in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD)


def chain_structure(chain: Any, gemmi: Any, *, id: str, group: str) -> Structure:
    """The residues of one chain.

    Args:
      chain: a protein `gemmi.Chain` whose entities are set up.
      gemmi: the module.
      id: of the structure.
      group: of the structure.

    Returns:
      A structure with sequence, backbone (Å) and residue numbers; its label is their number.

    Raises:
      StructureError: if not one backbone atom has coordinates.
    """
    places = itertools.groupby(_polymer(chain), key=lambda residue: str(residue.seqid))
    residues = [_fullest(list(found)) for _, found in places]
    residues = [residue for residue in residues if _is_amino_acid(residue, gemmi)]
    backbone = np.array([_backbone(residue) for residue in residues]).reshape(-1, 4, 3)
    backbone[~np.isfinite(backbone).all(axis=2)] = np.nan
    if np.isnan(backbone).all():
        raise StructureError("none of its residues has a backbone atom with coordinates")
    author = [(residue.seqid.num, residue.seqid.icode.strip()) for residue in residues]
    return Structure(
        id=id,
        sequence="".join(_letter(residue.name, gemmi) for residue in residues),
        backbone=backbone,
        residue_numbers=residue_numbers(author, backbone),
        labels={"residues": float(len(residues))},
        group=group,
    )


def residue_numbers(
    author: Sequence[tuple[int | None, str]], backbone: Float[np.ndarray, "residues 4 3"]
) -> Int[np.ndarray, " residues"]:
    """Ascending numbers with a gap at each chain break, as this module says.

    Args:
      author: the author's number of each residue (None if there is none) and insertion code.
      backbone: N, CA, C and O in Å, NaN where missing.

    Returns:
      `[residues]` int32, the first one the author's (0 if it has none).
    """
    bonds = np.linalg.norm(backbone[1:, 0] - backbone[:-1, 2], axis=1)
    numbers = [author[0][0] or 0]
    for (before, _), (now, inserted), bond in zip(author, author[1:], bonds, strict=False):
        known = before is not None and now is not None
        step = max(now - before, 1) if known and not inserted else 1
        if np.isfinite(bond):
            step = 1 if bond <= _PEPTIDE_BOND else max(step, 2)
        numbers.append(numbers[-1] + step)
    return np.array(numbers, dtype=np.int32)


def _polymer(chain: Any) -> Sequence[Any]:
    """Residues of the polymer; where gemmi finds none, those that the file calls no ligands."""
    found = list(chain.get_polymer())
    return found or [residue for residue in chain if residue.het_flag == "A"]


def _fullest(residues: Sequence[Any]) -> Any:
    """Of residues that share a place, the one whose atoms have the highest occupancy on average."""
    if len(residues) == 1:
        return residues[0]
    return max(residues, key=lambda residue: _mean([atom.occ for atom in residue]))


def _is_amino_acid(residue: Any, gemmi: Any) -> bool:
    if residue.name in _CAPS:
        return False
    known = gemmi.find_tabulated_residue(residue.name)
    if known.found():
        return known.is_amino_acid()
    return any(atom.name == "CA" for atom in residue)


def _letter(name: str, gemmi: Any) -> str:
    code = gemmi.find_tabulated_residue(name).one_letter_code.strip().upper()
    code = code or _OF_FORCE_FIELDS.get(name, "X")
    return code if code in RESIDUES else "X"


def _backbone(residue: Any) -> list[list[float]]:
    atoms = [atom for atom in residue if atom.name in _BACKBONE]
    chosen = _likeliest(atoms)
    return [_position([a for a in atoms if a.name == name], chosen) for name in _BACKBONE]


def _likeliest(atoms: Iterable[Any]) -> str:
    """Letter of the alternate location whose atoms have the highest occupancy on average."""
    occupancies: dict[str, list[float]] = {}
    for atom in atoms:
        if atom.has_altloc():
            occupancies.setdefault(atom.altloc, []).append(atom.occ)
    return max(occupancies, key=lambda letter: _mean(occupancies[letter]), default="")


def _position(atoms: Sequence[Any], chosen: str) -> list[float]:
    """Coordinates of the atom of the chosen location, or of none, or of the fullest other one."""
    if not atoms:
        return [np.nan] * 3
    atom = max(atoms, key=lambda a: (a.altloc == chosen or not a.has_altloc(), a.occ))
    return atom.pos.tolist()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
