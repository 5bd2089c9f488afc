"""A small pre-norm transformer on the tokens of canonical SMILES: no graph, no coordinates.

The layers of `jaxalign.models.language`, with rotary positions and attention in both directions;
the readout is a network of one hidden layer on the mean over all tokens.
"""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from jaxalign.learning.networks.assembly import assemble
from jaxalign.learning.networks.network import Network, Params
from jaxalign.learning.networks.readouts import MeanReadout
from jaxalign.models.batching import RowBuckets
from jaxalign.models.bound import bind
from jaxalign.models.encoder import Batch
from jaxalign.models.language.positions import RotaryPositions
from jaxalign.models.language.prenorm_transformer import (
    PreNormConfig,
    PreNormTransformer,
    prenorm_states,
)
from jaxalign.models.language.tokens import SmilesTokenizer, collate_tokens, token_count

# What drug-like molecules are written with; any other bracket atom is [UNK], and counted.
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    *("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I", "b", "c", "n", "o", "p", "s"),
    *("(", ")", ".", "-", "=", "#", ":", "/", "\\", *"0123456789", "%10", "%11", "%12"),
    *("[H]", "[C@]", "[C@@]", "[C@H]", "[C@@H]", "[C-]", "[CH-]", "[CH2-]", "[C+]", "[CH+]"),
    *("[c-]", "[cH-]", "[N+]", "[NH+]", "[NH2+]", "[NH3+]", "[NH4+]", "[N-]", "[NH-]"),
    *("[nH]", "[n+]", "[nH+]", "[n-]", "[O-]", "[OH-]", "[O+]", "[OH+]", "[OH2+]", "[o+]"),
    *("[P+]", "[P-]", "[PH]", "[S-]", "[S+]", "[s+]", "[S@]", "[S@@]", "[Si]", "[SiH]"),
    *("[Se]", "[se]", "[Li+]", "[Na+]", "[K+]", "[Mg+2]", "[Ca+2]", "[F-]", "[Cl-]", "[Br-]"),
    "[I-]",
)
HEADS = 4
_TOKENIZER = SmilesTokenizer(VOCABULARY)
_TOKENS_PER_BATCH = 4096

STRINGS = RowBuckets(
    size=token_count,
    buckets=(12, 24, 48, 64, 96, 128, 256, 512),  # few, as in `atom_batches`
    batch_size=lambda bucket: max(1, _TOKENS_PER_BATCH // bucket),
    pad=collate_tokens,
)
"""How SMILES share batches."""


class SmilesTransformer(nn.Module):
    """Pre-norm transformer with a readout of the mean over tokens.

    Attributes:
      config: sizes.
    """

    config: PreNormConfig

    @property
    def layers(self) -> tuple[str, ...]:
        """`embedding`, `layer_1` to the last, which is after the final norm."""
        return self.config.layer_names

    def setup(self) -> None:
        """Names the parts."""
        self.transformer = PreNormTransformer(self.config)
        self.readout = MeanReadout()

    def __call__(self, batch: Batch) -> Float[Array, " batch"]:
        """One number a string."""
        states = self.transformer(batch["ids"], batch["mask"])
        return self.readout(states, batch["mask"])


def _states(
    config: PreNormConfig, params: Params, batch: Batch, layer: str
) -> Float[Array, "batch tokens d"]:
    return prenorm_states(config, params["transformer"], batch, layer)


def build_transformer(*, width: int, depth: int, heads: int = HEADS) -> Network:
    """A transformer on SMILES tokens.

    Args:
      width: of the hidden states; a multiple of twice the heads.
      depth: number of layers.
      heads: attention heads.

    Returns:
      The network.

    Raises:
      ValueError: if the width cannot be divided among the heads.
    """
    if heads < 1 or width % (2 * heads):
        raise ValueError(
            f"rotary positions turn pairs of features of each head: got width {width} and {heads} "
            f"heads; take a multiple of {2 * max(heads, 1)} as the width, or other heads"
        )
    config = PreNormConfig(
        vocabulary=len(VOCABULARY),
        hidden=width,
        depth=depth,
        heads=heads,
        kv_heads=heads,
        head_width=width // heads,
        intermediate=2 * width,
        positions=RotaryPositions(),
        logit_scale=(width // heads) ** -0.5,
    )
    return assemble(
        SmilesTransformer(config),
        settings={"architecture": "transformer", "width": width, "depth": depth, "heads": heads},
        featurize=_TOKENIZER.featurize,
        batching=STRINGS,
        states=bind(_states, config),
        name=f"SMILES transformer, width {width}, depth {depth}",
        family="SMILES transformer",
        modality="string",
        symmetry="invariant",  # a string has no coordinates to rotate
        notes="Reads RDKit's canonical SMILES; readout: of the mean over tokens, [CLS] and [SEP] "
        "among them.",
    )
