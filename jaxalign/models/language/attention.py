"""Attention with biases, masks and heads of keys that several heads of queries share."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Logits of one step: in float32 a mebibyte, which stays in a core's cache. Those of a whole batch
# do not, and going through memory takes longer than the exponentials and the narrow products.
_LOGITS = 2**18
# A finite logit: a row without any token then averages its padding instead of giving NaN.
_NEVER = -1e9


class Surroundings(NamedTuple):
    """What all layers share: the keys each query may see, and what positions add.

    Attributes:
      allowed: which keys each query may see; one row of them if it is the same for all queries.
      bias: added to the logits of each head `[query, key]`, or None.
      rotation: cosines and sines of the turn at each position, or None.
    """

    allowed: Bool[Array, "batch queries tokens"]
    bias: Float[Array, "1 heads tokens tokens"] | None = None
    rotation: tuple[Float[Array, "tokens half"], Float[Array, "tokens half"]] | None = None


def attend(
    query: Float[Array, "batch tokens heads width"],
    key: Float[Array, "batch tokens kv_heads width"],
    value: Float[Array, "batch tokens kv_heads width"],
    around: Surroundings,
) -> Float[Array, "batch tokens heads width"]:
    """softmax(q kᵀ + bias + mask) v; neighboring heads of queries share a head of keys.

    On CPUs a few rows, or a few heads of a row, at a time: there the logits of a whole batch never
    go through memory. Accelerators are kept busy by all of them at once.

    Args:
      query: scaled.
      key: with as many heads as `value`, a divisor of those of `query`.
      value: what is averaged.
      around: keys that each query may see, and biases.

    Returns:
      Averages for each head of queries.
    """
    return jax.lax.platform_dependent(
        *(query, key, value, around.allowed, around.bias), cpu=_in_steps, default=_at_once
    )


def _at_once(
    query: Float[Array, "batch tokens heads width"],
    key: Float[Array, "batch tokens kv_heads width"],
    value: Float[Array, "batch tokens kv_heads width"],
    allowed: Bool[Array, "batch queries tokens"],
    bias: Float[Array, "1 heads tokens tokens"] | None,
) -> Float[Array, "batch tokens heads width"]:
    batch, tokens, heads, width = query.shape
    kv_heads = key.shape[2]
    grouped = query.reshape(batch, tokens, kv_heads, heads // kv_heads, width)
    logits = _dot("bqgsd,bkgd->bgsqk", grouped, key).reshape(batch, heads, tokens, tokens)
    if bias is not None:
        logits = logits + bias
    weights = jax.nn.softmax(jnp.where(allowed[:, None], logits, _NEVER), axis=-1)
    weights = weights.reshape(batch, kv_heads, heads // kv_heads, tokens, tokens)
    return _dot("bgsqk,bkgd->bqgsd", weights, value).reshape(query.shape)


def _in_steps(
    query: Float[Array, "batch tokens heads width"],
    key: Float[Array, "batch tokens kv_heads width"],
    value: Float[Array, "batch tokens kv_heads width"],
    allowed: Bool[Array, "batch queries tokens"],
    bias: Float[Array, "1 heads tokens tokens"] | None,
) -> Float[Array, "batch tokens heads width"]:
    batch, tokens, heads, width = query.shape
    kv_heads = key.shape[2]
    shared = heads // kv_heads
    rows = _divisor(batch, _LOGITS // (heads * tokens**2))
    group = _divisor(kv_heads, _LOGITS // (rows * shared * tokens**2))
    steps_a_row = kv_heads // group
    if bias is not None:
        bias = bias.reshape(steps_a_row, 1, group, shared, tokens, tokens)
    allowed = allowed.reshape(batch // rows, rows, 1, 1, -1, tokens)

    def split(x: Float[Array, "batch tokens heads width"]) -> Float[Array, "steps group n width"]:
        return jnp.swapaxes(x, 1, 2).reshape(batch // rows * steps_a_row, rows * group, -1, width)

    def step(parts: tuple[Array, ...]) -> Float[Array, "group n width"]:
        number, query, key, value = parts
        logits = _dot("gqd,gkd->gqk", query, key)
        logits = logits.reshape(rows, group, shared, tokens, tokens)
        if bias is not None:
            logits = logits + _pick(bias, number % steps_a_row)
        logits = jnp.where(_pick(allowed, number // steps_a_row), logits, _NEVER)
        return _average(logits.reshape(rows * group, -1, tokens), value)

    query, key, value = (split(x) for x in (query, key, value))
    averages = jax.lax.map(step, (jnp.arange(len(query), dtype=jnp.int32), query, key, value))
    return jnp.swapaxes(averages.reshape(batch, heads, tokens, width), 1, 2)


_dot = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
_pick = functools.partial(jax.lax.dynamic_index_in_dim, keepdims=False)


def _average(
    logits: Float[Array, "group n tokens"], value: Float[Array, "group tokens width"]
) -> Float[Array, "group n width"]:
    """softmax(logits) v, divided by the sums last: averages are fewer numbers than weights."""
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    return _dot("gqk,gkd->gqd", weights, value) / jnp.sum(weights, axis=-1, keepdims=True)


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is not above a limit, or 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(limit, 1))
