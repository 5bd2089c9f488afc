"""How transformers know where a token stands: learned tables, rotations, biases by distance."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class LearnedPositions:
    """A table of position embeddings.

    Attributes:
      rows: of the table.
      padding_id: None numbers the tokens 0, 1, …; else the numbers start at `padding_id` + 1, and
        tokens of this id have the number `padding_id` and are not counted (RoBERTa). A tokenizer
        whose padding is another id than the network's thus shifts them, as in the original.
    """

    rows: int
    padding_id: int | None = None

    @property
    def room(self) -> int:
        """The largest number of tokens."""
        return self.rows if self.padding_id is None else self.rows - self.padding_id - 1


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """Slows the rotations whose wavelength is above the trained context.

    With L = `original_positions`, wavelengths below L / `high` are kept, those above L / `low` are
    multiplied by `factor`, and between the two the frequency is interpolated.
    """

    factor: float
    low: float
    high: float
    original_positions: int


@dataclasses.dataclass(frozen=True)
class RotaryPositions:
    """Rotary embeddings (Su et al., arXiv:2104.09864): features i and i + d/2 turn together.

    Attributes:
      theta: base of the wavelengths.
      divisor: frequencies are divided by it ("linear" scaling).
      scaling: of long wavelengths, or None.
    """

    theta: float = 10_000.0
    divisor: float = 1.0
    scaling: Llama3Scaling | None = None


@dataclasses.dataclass(frozen=True)
class RelativePositions:
    """A learned bias of attention for each head and range of distances (T5, arXiv:1910.10683).

    Attributes:
      buckets: ranges, half of them for each direction.
      max_distance: all distances from here on share the last range.
    """

    buckets: int = 32
    max_distance: int = 128


Positions = LearnedPositions | RotaryPositions | RelativePositions


def position_numbers(
    positions: LearnedPositions, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
) -> Int[Array, "rows tokens"]:
    """Row of the position table for each token; one row if it is the same for all of the batch."""
    if positions.padding_id is None:
        return jnp.arange(ids.shape[1], dtype=jnp.int32)[None, :]
    counted = (mask & (ids != positions.padding_id)).astype(jnp.int32)
    return jnp.cumsum(counted, axis=1, dtype=jnp.int32) * counted + positions.padding_id


def rotary_frequencies(positions: RotaryPositions, width: int) -> Float[np.ndarray, " half"]:
    """Radians a token by which each pair of features turns.

    Args:
      positions: base and scaling.
      width: features of a head, an even number.

    Returns:
      `[width / 2]` float64.
    """
    frequencies = positions.theta ** (-np.arange(0, width, 2) / width) / positions.divisor
    if positions.scaling is None:
        return frequencies
    scaling = positions.scaling
    turns = scaling.original_positions * frequencies / (2 * np.pi)  # within the trained context
    kept = np.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
    return frequencies * (kept + (1 - kept) / scaling.factor)


def rotary_angles(
    positions: RotaryPositions, *, width: int, tokens: int, dtype: jnp.dtype
) -> tuple[Float[Array, "tokens half"], Float[Array, "tokens half"]]:
    """Cosines and sines of the rotation at each position."""
    frequencies = jnp.asarray(rotary_frequencies(positions, width), dtype)
    angles = jnp.arange(tokens).astype(dtype)[:, None] * frequencies[None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(
    x: Float[Array, "batch tokens heads d"],
    cosines: Float[Array, "tokens half"],
    sines: Float[Array, "tokens half"],
) -> Float[Array, "batch tokens heads d"]:
    """Turns features i and i + d/2 of every head by the angle of their position."""
    cosines, sines = cosines[None, :, None, :], sines[None, :, None, :]
    first, second = jnp.split(x, 2, axis=-1)
    turned = first * cosines - second * sines, second * cosines + first * sines
    return jnp.concatenate(turned, axis=-1)


def distance_buckets(positions: RelativePositions, tokens: int) -> Int[np.ndarray, " distances"]:
    """Bucket of each distance key − query from −(tokens − 1) to tokens − 1.

    Half of the buckets of a direction hold one distance each, the others grow geometrically up to
    `max_distance`. In float32, as the original: the distance 64 lies on the edge of two buckets.
    """
    distances = np.arange(-(tokens - 1), tokens)
    half = positions.buckets // 2
    exact = half // 2
    size = np.maximum(np.abs(distances), 1).astype(np.float32)
    scale = np.float32(math.log(positions.max_distance / exact))
    grown = np.log(size / np.float32(exact)) / scale * np.float32(half - exact)
    far = np.minimum(exact + grown.astype(np.int32), half - 1)
    near = np.abs(distances)
    return (np.where(near < exact, near, far) + half * (distances > 0)).astype(np.int32)


def distance_bias(
    table: Float[Array, "buckets heads"], positions: RelativePositions, tokens: int
) -> Float[Array, "1 heads tokens tokens"]:
    """What is added to the attention logits `[heads, query, key]`."""
    values = table[distance_buckets(positions, tokens)].T  # one column a distance
    places = jnp.arange(tokens, dtype=jnp.int32)
    columns = places[None, :] - places[:, None] + (tokens - 1)
    return values.at[:, columns].get(mode="promise_in_bounds")[None]


def causal_mask(tokens: int) -> Bool[Array, "1 tokens tokens"]:
    """Which keys each query may see: itself and those before it."""
    places = jnp.arange(tokens, dtype=jnp.int32)
    return (places[None, :] <= places[:, None])[None]
