"""all-MiniLM-L6-v2, a BERT over English text: its sizes, the text by which it sees a structure.

It has never seen chemistry on purpose: what it makes of a SMILES is a control for models that have.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxalign.models.encoder import Example
from jaxalign.models.language.text_tokenizer import TextTokenizer
from jaxalign.models.language.transformer import TransformerConfig
from jaxalign.structures.structure import Structure

CONFIG = TransformerConfig(vocabulary=30522, hidden=384, depth=6, heads=12, intermediate=1536)


def text_featurize(tokenizer_json: bytes) -> Callable[[Structure], Example]:
    """How structures become tokens: their SMILES if they have one, else their residue sequence.

    A SMILES is read as it stands, as if it were a sentence. Of a sequence every letter is a word:
    the tokenizer makes a single unknown token of a word of more than a hundred letters.

    Args:
      tokenizer_json: content of the model's tokenizer.json.

    Returns:
      Structure → `ids`, `special`, `unknown`, `truncated` (see `TextTokenizer`).

    Raises:
      JaxalignError: if the data are no tokenizer, or the package `tokenizers` is missing.
    """
    limit = CONFIG.positions
    by_smiles = TextTokenizer.from_json(tokenizer_json, view="smiles", max_tokens=limit)
    by_residue = TextTokenizer.from_json(
        tokenizer_json, view="sequence", max_tokens=limit, separator=" "
    )

    def featurize(structure: Structure) -> Example:
        # What has neither is told to bring a SMILES.
        residues = structure.smiles is None and structure.sequence is not None
        return (by_residue if residues else by_smiles).featurize(structure)

    return featurize
