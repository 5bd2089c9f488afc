"""Residue sequence → inputs of SCEPTR, as the third loop (CDR3) of a receptor without V genes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxalign.models.encoder import Batch, Example, UnsupportedStructureError
from jaxalign.models.language.text_views import sequence_text
from jaxalign.structures.chains import RESIDUES
from jaxalign.structures.structure import Structure

CLS = 2  # 0 is nothing and 1 is a mask
_FIRST_RESIDUE = 3
_IDS = {letter: number for number, letter in enumerate(RESIDUES, _FIRST_RESIDUE)}


def encode_loop(sequence: str, *, max_residues: int | None = None) -> Example:
    """Tokens and places of one loop.

    Residues that are none of the twenty are left out and keep their place, as `*` in the original.

    Args:
      sequence: residues, one letter each.
      max_residues: the network has places for so many residues, and the rest is cut off; None if
        places are relative.

    Returns:
      `ids` and `places` `[tokens]` int32, [CLS] first; `length`, the number of residues that have a
      place; `unknown`, how many were left out; `truncated`, how many were cut off.

    Raises:
      UnsupportedStructureError: if a character is no letter, or no residue is left.
    """
    letters = sequence.upper()
    if not (letters.isascii() and letters.isalpha()):
        raise UnsupportedStructureError(
            f"the residue sequence {sequence[:60]!r} has characters that are no letters; remove "
            "gaps, stops and blanks"
        )
    kept = letters[:max_residues]
    tokens = [(_IDS[letter], place) for place, letter in enumerate(kept, 1) if letter in _IDS]
    if not tokens:
        raise UnsupportedStructureError(
            f"the sequence {sequence[:60]!r} has none of the twenty residues; leave it out"
        )
    ids, places = np.array([(CLS, 0), *tokens], np.int32).T
    return {
        "ids": ids,
        "places": places,
        "length": np.array(len(kept), np.int32),
        "unknown": np.array(len(kept) - len(tokens), np.int32),
        "truncated": np.array(len(letters) - len(kept), np.int32),
    }


def loop_featurize(max_residues: int | None, structure: Structure) -> Example:
    """Tokens and places of the residue sequence of a structure; see `encode_loop`.

    Raises:
      UnsupportedStructureError: if it has no sequence, or not a usable one.
    """
    return encode_loop(sequence_text(structure), max_residues=max_residues)


def collate_loops(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads loops to one shape.

    Args:
      examples: at most `batch_size` examples of at most `bucket` tokens.
      bucket: tokens a row.
      batch_size: rows.

    Returns:
      `ids`, `places` and `mask`, each `[batch_size, bucket]`, and `lengths` `[batch_size]`.
    """
    batch = {name: np.zeros((batch_size, bucket), np.int32) for name in ("ids", "places")}
    mask, lengths = np.zeros((batch_size, bucket), bool), np.zeros(batch_size, np.int32)
    for row, example in enumerate(examples):
        count = len(example["ids"])
        for name, values in batch.items():
            values[row, :count] = example[name]
        mask[row, :count], lengths[row] = True, example["length"]
    return {**batch, "mask": mask, "lengths": lengths}
