"""Shapes of SevenNet's parameters, and random ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxalign.models.atomistic.tensor_products import coupling_paths
from jaxalign.models.sevennet.sevennet import BLOCKS, SILU_SCALE, SevenNetConfig

BASIS, RADIAL_HIDDEN = 8, (64, 64)
_NEIGHBORS = 36.0  # what the sum over neighbors is divided by in random networks, as in SevenNet-0


def block_channels(config: SevenNetConfig, number: int) -> tuple[tuple[int, ...], ...]:
    """Channels by degree of a block: of its inputs, of its messages' sums, and before its gate.

    Args:
      config: settings of the network.
      number: of the block, from 0.

    Returns:
      Inputs, sums, hidden.
    """
    inputs = config.channels[:1] if number == 0 else config.channels
    outputs = config.channels[:1] if number == BLOCKS - 1 else config.channels
    paths = coupling_paths(len(inputs) - 1, config.degree, len(outputs) - 1)
    sums = tuple(
        sum(inputs[path.left] for path in paths if path.product == degree)
        for degree in range(len(outputs))
    )
    return inputs, sums, (sum(outputs), *outputs[1:])


def join_blocks(blocks: Sequence[Any]) -> dict[str, Any]:
    """Parameters of all blocks; those between the first and the last are alike, and are stacked.

    Args:
      blocks: arrays or shapes of each block.

    Returns:
      `first`, `middle` (with a leading axis of blocks) and `last`.
    """
    return {
        "first": blocks[0],
        "middle": jax.tree.map(_stack, *blocks[1:-1]),
        "last": blocks[-1],
    }


def _stack(*arrays: Any) -> Any:
    if isinstance(arrays[0], jax.ShapeDtypeStruct):
        return _shape(len(arrays), *arrays[0].shape)
    return np.stack(arrays)


def param_shapes(config: SevenNetConfig, *, modal: bool = False) -> dict[str, Any]:
    """Names and shapes of all parameters.

    Args:
      config: settings of the network.
      modal: whether the network was trained on several modalities.

    Returns:
      A pytree of `jax.ShapeDtypeStruct`.
    """
    width, species = config.channels[0], len(config.elements)
    blocks = []
    for number in range(BLOCKS):
        inputs, sums, hidden = block_channels(config, number)
        paths = coupling_paths(len(inputs) - 1, config.degree, len(sums) - 1)
        columns = [
            sum(inputs[p.left] for p in paths if p.right == degree)
            for degree in range(config.degree + 1)
        ]
        widths = (BASIS, *RADIAL_HIDDEN)
        blocks.append(
            {
                "radial": [_shape(n, m) for n, m in itertools.pairwise(widths)],
                "paths": [_shape(RADIAL_HIDDEN[-1], n) for n in columns if n],
                "skip": _linear_shapes(inputs, hidden, False),
                "mix": _linear_shapes(inputs, inputs, modal),
                "update": _linear_shapes(sums, hidden, modal),
            }
        )
    return {
        "frequencies": _shape(BASIS),
        "embedding": _shape(species, width),
        **join_blocks(blocks),
        "readout": _linear_shapes((width,), (1,), modal),
        "scale": _shape(species),
    }


def init_params(config: SevenNetConfig, *, seed: int) -> dict[str, Any]:
    """Random parameters as the original draws them: N(0, 1/n) for n inputs.

    Args:
      config: settings of the network.
      seed: seed of the random numbers.

    Returns:
      Parameters for `sevennet.block_states`.
    """
    rng = np.random.default_rng(seed)
    # Matrices [n, m], stacked or not: n is last but one. A vector is the scale of energies.
    params = jax.tree.map(
        lambda shape: rng.normal(size=shape.shape) / math.sqrt((1, *shape.shape)[-2]),
        param_shapes(config),
    )
    for name in ("first", "middle", "last"):
        params[name]["radial"][1] *= SILU_SCALE
        params[name]["paths"] = [w * (SILU_SCALE / _NEIGHBORS) for w in params[name]["paths"]]
    frequencies = np.arange(1, BASIS + 1) * math.pi / config.cutoff
    return {**params, "frequencies": frequencies, "scale": np.ones(len(config.elements))}


def _linear_shapes(inputs: Sequence[int], outputs: Sequence[int], bias: bool) -> dict[str, Any]:
    shapes: dict[str, Any] = {
        "weights": [_shape(n, m) for n, m in zip(inputs, outputs, strict=False)]
    }
    return {**shapes, "bias": _shape(outputs[0])} if bias else shapes


def _shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, np.float64)
