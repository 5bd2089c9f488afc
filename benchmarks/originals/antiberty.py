"""AntiBERTy as its own package runs it: torch and transformers, similar lengths together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from antiberty import AntiBERTyRunner

from jaxalign.models.language.antiberty import TOKENS
from jaxalign.structures.structure import Structure

CHAINS_PER_BATCH = 16


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over all tokens of the last layer.

    Chains are cut to what the network has positions for; the package does not do that itself.

    Args:
      model_id: `"antiberty"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "antiberty":
        raise ValueError(f"AntiBERTy has no model {model_id!r}: only antiberty")
    runner = AntiBERTyRunner()

    def embed(structures: Sequence[Structure]) -> np.ndarray:
        chains = [s.sequence[: TOKENS.max_residues] for s in structures]
        order = sorted(range(len(chains)), key=lambda row: len(chains[row]))
        rows = np.empty((len(chains), runner.model.config.hidden_size), np.float32)
        for start in range(0, len(order), CHAINS_PER_BATCH):
            chosen = order[start : start + CHAINS_PER_BATCH]
            states = runner.embed([chains[row] for row in chosen])
            rows[chosen] = [state.mean(dim=0).numpy() for state in states]
        return rows

    return embed
