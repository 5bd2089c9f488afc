"""Attention with biases, masks and heads of keys that several heads of queries share."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Surroundings(NamedTuple):
    """What all layers share: the keys each query may see, and what positions add."""

    allowed: Bool[
        Array,
        (
            batch  # tokens tokens
        ),
    ]
    bias: Float[Array, "1 heads tokens tokens"] | None
    rotation: tuple[Float[Array, "tokens half"], Float[Array, "tokens half"]] | None


def attend(
    query: Float[Array, "batch tokens heads width"],
    key: Float[Array, "batch tokens kv_heads width"],
    value: Float[Array, "batch tokens kv_heads width"],
    around: Surroundings,
) -> Float[Array, "batch tokens heads width"]:
    """softmax(q kᵀ + bias + mask) v; neighboring heads of queries share a head of keys.

    Args:
      query: scaled.
      key: with as many heads as `value`, a divisor of those of `query`.
      value: what is averaged.
      around: keys that each query may see, and biases.

    Returns:
      Averages for each head of queries.
    """
    batch, tokens, heads, width = query.shape
    shared = heads // key.shape[2]
    einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    grouped = query.reshape(batch, tokens, key.shape[2], shared, width)
    logits = einsum("bqgsd,bkgd->bgsqk", grouped, key).reshape(batch, heads, tokens, tokens)
    if around.bias is not None:
        logits = logits + around.bias
    # A finite number: a row without any token then averages its padding instead of giving NaN.
    weights = jax.nn.softmax(jnp.where(around.allowed[:, None], logits, -1e9), axis=-1)
    weights = weights.reshape(batch, key.shape[2], shared, tokens, tokens)
    return einsum("bgsqk,bkgd->bqgsd", weights, value).reshape(query.shape)
