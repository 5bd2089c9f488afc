"""The text by which a language model sees a structure: SMILES, SELFIES or the residue sequence."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.language.tokens import canonical_smiles
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError


@functools.cache
def strings_module(name: str) -> ModuleType:
    """A module of the extra `strings`, imported when it is first needed.

    Args:
      name: `"tokenizers"`, `"selfies"` or `"huggingface_hub"`.

    Returns:
      The module.

    Raises:
      JaxalignError: if it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise JaxalignError(
            f"this model needs the package {name!r}, which cannot be imported ({error}); "
            "install it with: pip install 'jaxalign[strings]'"
        ) from error


def smiles_text(structure: Structure) -> str:
    """RDKit's canonical SMILES of a structure.

    Raises:
      UnsupportedStructureError: if it has none, or one that RDKit cannot read.
    """
    if structure.smiles is None:
        raise UnsupportedStructureError(
            "this encoder reads SMILES, and the structure has none; read the data from a source "
            "with SMILES"
        )
    return canonical_smiles(structure.smiles)


def selfies_text(structure: Structure) -> str:
    """SELFIES of the canonical SMILES, by the package `selfies`.

    Raises:
      UnsupportedStructureError: if there is no SMILES, or SELFIES cannot express it.
    """
    smiles, selfies = smiles_text(structure), strings_module("selfies")
    try:
        return selfies.encoder(smiles)
    except selfies.EncoderError as error:
        reason = " ".join(str(error).split())
        raise UnsupportedStructureError(
            f"SELFIES cannot express the SMILES {smiles!r} ({reason}); leave the structure out "
            "(on_error='skip')"
        ) from error


def sequence_text(structure: Structure) -> str:
    """The residues of a chain, one letter each.

    Raises:
      UnsupportedStructureError: if there is no residue.
    """
    if not structure.sequence:
        what = "none" if structure.sequence is None else "an empty one"
        raise UnsupportedStructureError(
            f"this encoder reads a residue sequence, and the structure has {what}; read the data "
            "from FASTA, PDB or mmCIF files"
        )
    return structure.sequence


VIEWS: Mapping[str, Callable[[Structure], str]] = MappingProxyType(
    {"smiles": smiles_text, "selfies": selfies_text, "sequence": sequence_text}
)


def check_view(view: str) -> str:
    """Returns `view` if it is one of `VIEWS`.

    Raises:
      ValueError: if not; the message lists them.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown input {view!r}; pass one of {', '.join(VIEWS)}")
    return view
