"""Heads and rotary positions as configurations state them, in the old and in the new form."""

from __future__ import annotations

from jaxalign.models.huggingface.config import ModelConfig
from jaxalign.models.language.positions import Llama3Scaling, RotaryPositions
from jaxalign.models.weight_files.weights import WeightsError

_KINDS = ("default", "linear", "llama3")
_THETA = 10_000.0


def read_rope(config: ModelConfig) -> RotaryPositions:
    """Base and scaling of rotary positions.

    Args:
      config: with `rope_parameters` (which hold the base too), or `rope_theta` and `rope_scaling`.

    Returns:
      The positions.

    Raises:
      WeightsError: if the scaling is of a kind that is not supported; the message lists the kinds.
    """
    part = config.part("rope_parameters") or config.part("rope_scaling")
    base = config.number("rope_theta", _THETA)
    config.require("partial_rotary_factor", 1.0, default=1.0, why="all features turn")
    if part is None:
        return RotaryPositions(base)
    part.require("partial_rotary_factor", 1.0, default=1.0, why="all features turn")
    base = part.number("rope_theta", base)
    kind = part.choice("rope_type" if part.get("rope_type") else "type", _KINDS, "default")
    if kind == "linear":
        return RotaryPositions(base, divisor=part.number("factor"))
    if kind == "llama3":
        return RotaryPositions(base, scaling=_llama3(part, config))
    return RotaryPositions(base)


def _llama3(part: ModelConfig, config: ModelConfig) -> Llama3Scaling:
    low, high = part.number("low_freq_factor"), part.number("high_freq_factor")
    if low >= high:
        raise WeightsError(
            f"low_freq_factor = {low} must be below high_freq_factor = {high} in config.json"
        )
    name = "original_max_position_embeddings"
    stated = part.get(name) is not None
    context = part.integer(name) if stated else config.integer("max_position_embeddings")
    return Llama3Scaling(part.number("factor"), low, high, context)


def rotary_positions(config: ModelConfig, width: int) -> RotaryPositions:
    """Rotary positions of heads of `width` features.

    Raises:
      WeightsError: as `read_rope`, or if the number of features is odd.
    """
    if width % 2:
        raise WeightsError(
            f"config.json gives heads of {width} features; rotary positions want an even number"
        )
    return read_rope(config)


def head_width(hidden: int, heads: int) -> int:
    """Features of a head where the heads divide the width.

    Raises:
      WeightsError: if they do not.
    """
    if hidden % heads:
        raise WeightsError(
            f"config.json says a width of {hidden} and {heads} attention heads, which do not "
            "divide it"
        )
    return hidden // heads
