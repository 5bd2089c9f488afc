"""Controls on strings: how long a sequence or SMILES is, and what it is made of.

What is left of a text when its order is forgotten, or all but its length: the trivial part of
whatever a language model knows about it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from jaxalign.models.descriptors.controls import control_entry
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.entry import ModelEntry
from jaxalign.models.language.text_views import sequence_text, smiles_text
from jaxalign.models.language.tokens import split_smiles
from jaxalign.structures.structure import Structure

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"
"""The twenty and X, in the order of the columns of `residue-composition`."""

RING, BRACKET, ELEMENT, HYDROGEN, PLUS, MINUS = "ring", "bracket", "element", "H", "[+]", "[-]"
SMILES_VOCABULARY = (
    *("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I", "b", "c", "n", "o", "p", "s", "*"),
    *("-", "=", "#", "$", ":", "/", "\\", ".", "(", ")", RING),
    *(BRACKET, ELEMENT, HYDROGEN, "@", "@@", PLUS, MINUS),
)
"""Tokens in the order of the columns of `smiles-tokens`.

Elements count the same in and out of brackets; those of no token of their own are `element`, ring
bonds of all numbers `ring`. A pair of brackets is one `bracket`; of what is inside, isotopes and
atom maps do not count, H₃ is three H and 2+ two charges.
"""

_INSIDE = re.compile(
    r"\[\d*(?P<element>[A-Z][a-z]?|[a-z]{1,2}|\*)(?P<turn>@{0,2})[A-Z0-9]*?(?P<hydrogen>H\d*)?"
    r"(?P<charge>\++\d*|-+\d*)?(:\d+)?\]"
)


def residue_composition(structure: Structure) -> Float[np.ndarray, " residues"]:
    """Fractions of the twenty residues, and of those that are none of them.

    Args:
      structure: one with a sequence.

    Returns:
      `[21]` numbers that sum to 1, in the order of `RESIDUES`.

    Raises:
      UnsupportedStructureError: if there is no sequence.
    """
    codes = _codes(structure)
    return np.bincount(codes, minlength=len(RESIDUES)) / len(codes)


def dipeptide_composition(structure: Structure) -> Float[np.ndarray, " pairs"]:
    """Fractions of the 400 pairs of successive residues.

    Args:
      structure: one with a sequence; pairs with a residue that is none of the twenty do not count.

    Returns:
      `[400]` numbers that sum to 1: AA, AC, … YY.

    Raises:
      UnsupportedStructureError: if there is no sequence, or no pair in it.
    """
    codes = _codes(structure)
    known = len(RESIDUES) - 1
    first, second = codes[:-1], codes[1:]
    pairs = (known * first + second)[(first < known) & (second < known)]
    if not len(pairs):
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has no two successive residues of the twenty; leave it "
            "out (on_error='skip')"
        )
    return np.bincount(pairs, minlength=known**2) / len(pairs)


def sequence_length(structure: Structure) -> Float[np.ndarray, " two"]:
    """Number of residues, and a constant 1, which keeps the number visible to cosine similarity.

    Raises:
      UnsupportedStructureError: if there is no sequence.
    """
    return np.array([len(sequence_text(structure)), 1.0])


def smiles_composition(structure: Structure) -> Float[np.ndarray, " tokens"]:
    """Fractions of the tokens of the canonical SMILES.

    Args:
      structure: one with a SMILES.

    Returns:
      `[35]` numbers that sum to 1, in the order of `SMILES_VOCABULARY`.

    Raises:
      UnsupportedStructureError: if there is no readable SMILES.
    """
    counts = Counter(_smiles_tokens(smiles_text(structure)))
    row = np.array([counts[token] for token in SMILES_VOCABULARY], np.float64)
    return row / row.sum()


def smiles_length(structure: Structure) -> Float[np.ndarray, " two"]:
    """Number of tokens of the canonical SMILES (a bracket atom is one), and a constant 1.

    Raises:
      UnsupportedStructureError: if there is no readable SMILES.
    """
    return np.array([len(split_smiles(smiles_text(structure))), 1.0])


def _codes(structure: Structure) -> np.ndarray:
    codes = np.array([RESIDUES.find(letter) for letter in sequence_text(structure)])
    return np.where(codes < 0, len(RESIDUES) - 1, codes)


def _smiles_tokens(smiles: str) -> Iterator[str]:
    for token in split_smiles(smiles):
        if token[0] == "[":
            yield BRACKET
            yield from _inside(token)
        elif token[0] in "%0123456789":
            yield RING
        elif token in SMILES_VOCABULARY:
            yield token


def _inside(token: str) -> Iterator[str]:
    found = _INSIDE.fullmatch(token)
    if found is None:
        yield ELEMENT
        return
    yield found["element"] if found["element"] in SMILES_VOCABULARY else ELEMENT
    if found["turn"]:
        yield found["turn"]
    yield from [HYDROGEN] * _times(found["hydrogen"])
    charge = found["charge"] or ""
    yield from [PLUS if charge[:1] == "+" else MINUS] * _times(charge)


def _times(text: str | None) -> int:
    """How often a mark stands there: "", "H", "H3", "++", "2+" as "+2"."""
    if not text:
        return 0
    digits = text.lstrip("H+-")
    return int(digits) if digits else len(text)


ENTRIES: tuple[ModelEntry, ...] = (
    control_entry(
        residue_composition,
        id="residue-composition",
        name="Residue composition",
        family="composition",
        width=len(RESIDUES),
        notes="Fractions of the twenty residues and X in the sequence; its order is not seen.",
    ),
    control_entry(
        dipeptide_composition,
        id="dipeptide-composition",
        name="Dipeptide composition",
        family="composition",
        width=400,
        notes="Fractions of the 400 pairs of successive residues; pairs with X do not count.",
    ),
    control_entry(
        sequence_length,
        id="sequence-length",
        name="Number of residues",
        family="length",
        width=2,
        notes="(count, 1); chains of one length share one row.",
    ),
    control_entry(
        smiles_composition,
        id="smiles-tokens",
        name="SMILES token composition",
        family="composition",
        width=len(SMILES_VOCABULARY),
        notes="Fractions of 35 kinds of tokens in the canonical SMILES: elements, bonds, branches, "
        "rings, brackets and what is in them; their order is not seen.",
    ),
    control_entry(
        smiles_length,
        id="smiles-length",
        name="SMILES length",
        family="length",
        width=2,
        notes="(tokens of the canonical SMILES, 1); molecules of one length share one row.",
    ),
)
