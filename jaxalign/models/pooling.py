"""From features of nodes (atoms, tokens) to one row a structure: masked reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxalign.models.encoder import NodeFeatures

_Values = Float[Array, "batch nodes d"]
_Mask = Bool[Array, "batch nodes"]
_Rows = Float[Array, "batch width"]


def masked_sum(values: _Values, mask: _Mask) -> _Rows:
    """Sum over the unmasked nodes; zeros where there is none.

    A masked value never enters, not even as 0 · NaN.
    """
    return jnp.sum(jnp.where(mask[..., None], values, 0), axis=1)


def masked_mean(values: _Values, mask: _Mask) -> _Rows:
    """Mean over the unmasked nodes; zeros where there is none."""
    count = jnp.sum(mask, axis=1, keepdims=True).astype(values.dtype)
    return masked_sum(values, mask) / jnp.maximum(count, 1)


def masked_max(values: _Values, mask: _Mask) -> _Rows:
    """Largest value of every feature over the unmasked nodes; zeros where there is none."""
    largest = jnp.max(jnp.where(mask[..., None], values, -jnp.inf), axis=1)
    return jnp.where(jnp.any(mask, axis=1, keepdims=True), largest, 0)


def first_node(values: _Values, mask: _Mask) -> _Rows:
    """Features of node 0 (the [CLS] token of string encoders); zeros for a row without nodes.

    NaN where a row has nodes but node 0 is not among them, as with special tokens that an encoder
    leaves out of pooling: zeros would pass for an embedding.
    """
    missing = jnp.where(jnp.any(mask, axis=1, keepdims=True), jnp.nan, 0).astype(values.dtype)
    return jnp.where(mask[:, :1], values[:, 0], missing)


def last_node(values: _Values, mask: _Mask) -> _Rows:
    """Features of the last unmasked node (of the end of a prompt); zeros where there is none."""
    places = jnp.arange(mask.shape[1], dtype=jnp.int32)
    last = jnp.max(jnp.where(mask, places[None, :], 0), axis=1)
    rows = jnp.take_along_axis(values, last[:, None, None], axis=1, mode="clip")[:, 0]
    return jnp.where(jnp.any(mask, axis=1, keepdims=True), rows, 0)


def cumulants(values: _Values, mask: _Mask) -> _Rows:
    """Mean, variance and third central moment over the unmasked nodes, concatenated.

    κ₁ = ⟨h⟩, κ₂ = ⟨(h − κ₁)²⟩, κ₃ = ⟨(h − κ₁)³⟩, each a mean over nodes: width 3 d. The moments
    are taken of centered values, since raw moments cancel in float32.
    """
    mean = masked_mean(values, mask)
    centered = values - mean[:, None, :]
    moments = [mean, masked_mean(centered**2, mask), masked_mean(centered**3, mask)]
    return jnp.concatenate(moments, axis=-1)


POOLINGS: Mapping[str, Callable[[_Values, _Mask], _Rows]] = MappingProxyType(
    {
        "mean": masked_mean,
        "sum": masked_sum,
        "max": masked_max,
        "cls": first_node,
        "last": last_node,
        "cumulants": cumulants,
    }
)


def check_pooling(method: str) -> str:
    """Returns `method` if it names a pooling.

    Args:
      method: a key of `POOLINGS`.

    Returns:
      `method`.

    Raises:
      ValueError: if there is no such pooling; the message lists them.
    """
    if method not in POOLINGS:
        raise ValueError(f"unknown pooling {method!r}; pass one of {', '.join(POOLINGS)}")
    return method


def pool(features: NodeFeatures, method: str) -> Float[Array, "batch width"]:
    """One row a structure from the features of its nodes.

    Args:
      features: `[batch, nodes, d]` values and their `[batch, nodes]` mask.
      method: `"mean"`, `"sum"`, `"max"`, `"cls"`, `"last"` or `"cumulants"`; static under `jit`.

    Returns:
      `[batch, d]` rows (`[batch, 3 d]` for `"cumulants"`). A row without unmasked nodes is zero.

    Raises:
      ValueError: if the pooling is unknown.
    """
    return POOLINGS[check_pooling(method)](features.values, features.mask)
