"""SMILES → token ids: the regular-expression tokenizer of the reaction language models."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from rdkit import Chem, rdBase

from jaxalign.models.encoder import Batch, Example, UnsupportedStructureError
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

MAX_TOKENS = 512  # learned positions of the reaction language models
# Small steps: a padded token costs as much as a real one, and a shape compiles in about a second.
TOKEN_BUCKETS = (
    *range(12, 64, 4),
    *(64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, MAX_TOKENS),
)
# Enough rows for the products; the last batch of a chunk, which is seldom full, stays small.
TOKENS_PER_BATCH = 1024

# Schwaller et al., ACS Cent. Sci. 5, 1572 (2019), section "Data", with `>>` as one token and the
# ring-bond form %(ddd). Order matters: the first alternative that matches wins.
SMILES_TOKEN = re.compile(
    r"%\(\d{3}\)"  # ring bond above 99
    r"|\[[^\]]+\]"  # bracket atom
    r"|Br?|Cl?|[NOSPFI]"  # organic subset
    r"|[bcnosp]"  # aromatic organic subset
    r"|>>?"  # reaction arrow
    r"|%\d{2}|\d"  # ring bonds
    r"|[|().=#\-+\\/:~@?*$]",  # branches, bonds, wildcards
    flags=re.ASCII,
)


def split_smiles(smiles: str) -> list[str]:
    """Cuts a SMILES string into tokens that joined give it back.

    Args:
      smiles: a molecule or a reaction.

    Returns:
      Tokens in order.

    Raises:
      UnsupportedStructureError: if a character belongs to no token, or the string is empty. (The
        original packages drop such characters silently.)

    References:
      Schwaller et al., "Molecular Transformer", ACS Cent. Sci. 5, 1572 (2019).
    """
    tokens = SMILES_TOKEN.findall(smiles)
    if not tokens or "".join(tokens) != smiles:
        rest = SMILES_TOKEN.sub("", smiles)
        raise UnsupportedStructureError(
            f"cannot cut {smiles!r} into SMILES tokens (left over: {rest!r}); "
            "check that it is a SMILES string without spaces or names"
        )
    return tokens


def canonical_smiles(smiles: str) -> str:
    """RDKit's canonical aromatic form without atom-map numbers, as in the models' training data.

    Reactions (strings with `>`) are returned as they are.

    Args:
      smiles: any valid SMILES of the molecule.

    Returns:
      Canonical isomeric SMILES.

    Raises:
      UnsupportedStructureError: if RDKit cannot read it.
    """
    if ">" in smiles:
        return smiles
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise UnsupportedStructureError(
            f"RDKit cannot read the SMILES {smiles!r}; mend it or leave the structure out"
        )
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(molecule)


class SmilesTokenizer:
    """Vocabulary and special tokens: `[CLS] tokens [SEP]`, foreign tokens become `[UNK]`.

    Args:
      vocabulary: tokens; the id of a token is its position.

    Raises:
      JaxalignError: if a special token is missing.
    """

    def __init__(self, vocabulary: Sequence[str]):
        self._ids = {token: number for number, token in enumerate(vocabulary)}
        missing = [t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if t not in self._ids]
        if missing:
            raise JaxalignError(
                f"vocabulary of {len(vocabulary)} tokens lacks {', '.join(missing)}; "
                "pass the vocab.txt that belongs to the weights"
            )

    @classmethod
    def from_text(cls, text: str) -> SmilesTokenizer:
        """Reads a vocab.txt: one token a line, its id the line number from 0."""
        return cls(text.removesuffix("\n").split("\n"))

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, smiles: str) -> Example:
        """Token ids of one string.

        Args:
          smiles: SMILES, taken as it is.

        Returns:
          `ids` `[tokens]` int32 with [CLS] and [SEP], and `unknown`, the number of [UNK] in it.

        Raises:
          UnsupportedStructureError: if it cannot be cut into tokens, or has more than
            `MAX_TOKENS` of them.
        """
        tokens = split_smiles(smiles)
        if len(tokens) + 2 > MAX_TOKENS:
            raise UnsupportedStructureError(
                f"SMILES of {len(tokens)} tokens: the limit is {MAX_TOKENS - 2}; "
                "leave the structure out (on_error='skip')"
            )
        unknown = self._ids["[UNK]"]
        inner = [self._ids.get(token, unknown) for token in tokens]
        ids = np.array([self._ids["[CLS]"], *inner, self._ids["[SEP]"]], np.int32)
        return {"ids": ids, "unknown": np.array(inner.count(unknown), np.int32)}

    def featurize(self, structure: Structure) -> Example:
        """Token ids of the canonical SMILES of a structure.

        Raises:
          UnsupportedStructureError: if it has no SMILES, or not a usable one.
        """
        if structure.smiles is None:
            raise UnsupportedStructureError(
                "string encoders need a SMILES string, and this structure has none; "
                "read the data from a source with SMILES"
            )
        return self.encode(canonical_smiles(structure.smiles))


def token_count(example: Example) -> int:
    """Number of tokens of one example, [CLS] and [SEP] included."""
    return len(example["ids"])


def collate_tokens(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads token ids to one shape.

    Args:
      examples: at most `batch_size` examples of at most `bucket` tokens.
      bucket: tokens a row.
      batch_size: rows.

    Returns:
      `ids` `[batch_size, bucket]` int32 ([PAD] = 0 beyond the tokens) and `mask` of that shape.
    """
    ids = np.zeros((batch_size, bucket), np.int32)
    mask = np.zeros((batch_size, bucket), bool)
    for row, example in enumerate(examples):
        count = token_count(example)
        ids[row, :count] = example["ids"]
        mask[row, :count] = True
    return {"ids": ids, "mask": mask}
