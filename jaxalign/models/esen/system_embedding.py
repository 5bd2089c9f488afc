"""What is stated of a structure besides its atoms, as a vector: charge, spin, data set.

It is the same for all structures that one encoder embeds, so it is computed once, on the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from jaxalign.models.esen.esen_settings import System
from jaxalign.models.weight_files.weights import WeightsError

MAX_CHARGE, MAX_SPIN = 100, 100
# What the original's linear embedding takes for "spin not stated".
_NO_SPIN = -100.0


def system_vector(state: Any, channels: int, system: System) -> Float[np.ndarray, " channels"]:
    """The vector that is added to the scalars of all atoms.

    Args:
      state: arrays of the backbone (an `EsenArrays`).
      channels: width of the vector.
      system: charge, spin and data set.

    Returns:
      SiLU of a map of the joined embeddings; zeros for a network without them.

    Raises:
      WeightsError: if the file has no embedding of the data set, or of other shapes.
    """
    if not state.holds("mix_csd.weight"):
        return np.zeros(channels, state.take("sphere_embedding.weight").dtype)
    parts = [
        _number(state, "charge", system.charge, channels),
        _number(state, "spin", system.spin, channels),
    ]
    if system.dataset is not None:
        name = f"dataset_embedding.dataset_emb_dict.{system.dataset}.weight"
        parts.append(state.shaped(name, 1, channels)[0])
    mix = state.linear("mix_csd", len(parts) * channels, channels)
    kernel, bias = (mix[name].astype(np.float64) for name in ("kernel", "bias"))
    x = np.concatenate(parts).astype(np.float64) @ kernel + bias
    return (x / (1 + np.exp(-x))).astype(mix["kernel"].dtype)


def _number(state: Any, kind: str, value: int, width: int) -> Float[np.ndarray, " width"]:
    """Embedding of the charge or the spin, whichever of the original's three the file has."""
    name = f"{kind}_embedding"
    if state.holds(f"{name}.W"):
        angles = 2 * np.pi * value * state.shaped(f"{name}.W", width // 2).astype(np.float64)
        waves = np.concatenate([np.sin(angles), np.cos(angles)])
        return np.zeros_like(waves) if kind == "spin" and value == 0 else waves
    if state.holds(f"{name}.lin_emb.weight"):
        line = state.linear(f"{name}.lin_emb", 1, width)
        number = _NO_SPIN if kind == "spin" and value == 0 else float(value)
        return number * line["kernel"][0] + line["bias"]
    rows, offset = (2 * MAX_CHARGE + 1, MAX_CHARGE) if kind == "charge" else (MAX_SPIN + 1, 0)
    if not state.holds(f"{name}.rand_emb.weight"):
        raise WeightsError(f"the file has no embedding of the {kind} ({name}.…)")
    return state.shaped(f"{name}.rand_emb.weight", rows, width)[value + offset]
