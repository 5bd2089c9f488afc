"""AntiBERTy, a BERT over the residues of antibodies: its sizes, its alphabet, its batches."""

from __future__ import annotations

from jaxalign.models.language.residues import ResidueTokens
from jaxalign.models.language.tokens import TOKENS_PER_BATCH
from jaxalign.models.language.transformer import TransformerConfig
from jaxalign.structures.chains import RESIDUES

CONFIG = TransformerConfig(vocabulary=25, hidden=512, depth=8, heads=8, intermediate=2048)
_FIRST_RESIDUE = 5
UNKNOWN, CLS, SEP = 1, 2, 3  # 0 is [PAD] and 4 is [MASK]
TOKENS = ResidueTokens(
    ids={letter: number for number, letter in enumerate(RESIDUES, _FIRST_RESIDUE)},
    unknown=UNKNOWN,
    before=(CLS,),
    after=(SEP,),
    max_residues=CONFIG.positions - 2,
)
BATCHING = TOKENS.batching(lambda bucket: max(1, TOKENS_PER_BATCH // (bucket - 2)))
