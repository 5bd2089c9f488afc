"""Attention of So3krates: what atoms send to their neighbors; `so3krates` has the formulas."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxalign.models.so3lr.so3krates_graph import COMPONENTS, DEGREE_OF, HARMONICS, PARITY
from jaxalign.models.so3lr.so3krates_weights import FEATURES, HEADS, NEIGHBORS

_OWN = FEATURES // HEADS
_KEYS = ("k_inv", "k_ev", "v_inv")  # what a neighbor sends …
_QUERIES = ("q_inv", "q_ev")  # … and what the center meets it with
_KINDS = ("inv", "ev")
# 1 / √(2l + 1), rounded as in the original, which keeps it in float32 in all precisions.
_COUPLING = (1 / np.sqrt(COMPONENTS)).astype(np.float32)

_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Pairs(NamedTuple):
    """What all blocks need to know of the pairs."""

    centers: Int[Array, " pairs"]
    neighbors: Int[Array, " pairs"]
    weights: Float[Array, " pairs"]
    radial: Float[Array, "pairs radial"]
    harmonics: Float[Array, "pairs harmonics"]


class State(NamedTuple):
    """Invariant and equivariant features of all atoms."""

    invariant: Float[Array, "atoms features"]
    equivariant: Float[Array, "atoms harmonics"]


def dense(linear: Mapping[str, Any], x: Float[Array, "rows n"]) -> Float[Array, "rows m"]:
    """A linear map with bias, in full precision on every device."""
    return _product(x, linear["kernel"]) + linear["bias"][None, :]


def gather(table: Float[Array, "rows d"], rows: Int[Array, " n"]) -> Float[Array, "n d"]:
    """Rows of a table; they must lie inside it."""
    return table.at[rows].get(mode="promise_in_bounds")


def square_lengths(v: Float[Array, "rows harmonics"]) -> Float[Array, "rows degrees"]:
    """|v|²_l of each degree."""
    return _product(v * v, jnp.asarray(DEGREE_OF, v.dtype))


def degree_invariants(v: Float[Array, "rows harmonics"]) -> Float[Array, "rows degrees"]:
    """|v|²_l / √(2l + 1): the coupling of each degree with itself to degree 0."""
    return square_lengths(v) * jnp.asarray(_COUPLING, v.dtype)[None, :]


def _filter(
    params: Mapping[str, Any],
    radial: Float[Array, "pairs radial"],
    change: Float[Array, "rows degrees"],
) -> Float[Array, "pairs features"]:
    """Filters w of all pairs; `change` may have one row for all."""
    w = dense(params["radial_out"], jax.nn.silu(dense(params["radial_in"], radial)))
    shift = dense(params["change_out"], jax.nn.silu(dense(params["change_in"], change)))
    return w + jnp.broadcast_to(shift, w.shape)


def _project(block: Any, names: tuple[str, ...], x: Float[Array, "atoms d"]) -> Array:
    """Each head's own linear map of its own features, as one product with a mostly empty matrix.

    That has four times the work of the maps alone, and is still faster than four small products.
    """
    maps = jnp.stack([block[name] for name in names], axis=2)
    own = jnp.eye(HEADS, dtype=x.dtype)
    table = maps[:, :, :, None, :] * own[:, None, None, :, None]
    return _product(x, table.reshape(FEATURES, len(names) * FEATURES))


def _attention(
    query: Float[Array, "pairs features"],
    key: Float[Array, "pairs features"],
    weights: Float[Array, " pairs"],
) -> Float[Array, "pairs heads"]:
    products = (query * key).reshape(len(query), HEADS, _OWN)
    return jnp.sum(products, axis=2) * (weights / NEIGHBORS)[:, None]


def _messages(
    received: Float[Array, "pairs queries"],
    sent: Float[Array, "pairs keys"],
    filters: tuple[Array, Array],
    pairs: Pairs,
) -> Float[Array, "pairs message"]:
    """What atoms get from the other end of each pair, for x and v side by side."""
    q_inv, q_ev = jnp.split(received, len(_QUERIES), axis=1)
    k_inv, k_ev, values = jnp.split(sent, len(_KEYS), axis=1)
    of_heads = _attention(q_inv, k_inv * filters[0], pairs.weights)
    of_degrees = _attention(q_ev, k_ev * filters[1], pairs.weights)
    return jnp.concatenate(
        [
            jnp.repeat(of_heads, _OWN, axis=1) * values,
            of_components(of_degrees) * pairs.harmonics,
        ],
        axis=1,
    )


def of_components(of_degrees: Float[Array, "rows degrees"]) -> Float[Array, "rows harmonics"]:
    """One number a degree → the same for each of its 2l + 1 components."""
    widths = np.array(COMPONENTS)
    return jnp.repeat(of_degrees, widths, axis=1, total_repeat_length=HARMONICS)


def attend(block: Any, state: State, pairs: Pairs, *, is_first: bool) -> State:
    """Adds the messages of all neighbors."""
    x, v = state
    # Before the first block v is 0 everywhere, and the change along every pair as well.
    ends = v[:1] if is_first else gather(v, pairs.neighbors) - gather(v, pairs.centers)
    change = degree_invariants(ends)
    filters = tuple(_filter(block[f"filter_{kind}"], pairs.radial, change) for kind in _KINDS)
    projected = _project(block, (*_QUERIES, *_KEYS), x)
    queries = len(_QUERIES) * FEATURES
    center, neighbor = gather(projected, pairs.centers), gather(projected, pairs.neighbors)
    back = pairs._replace(harmonics=pairs.harmonics * jnp.asarray(PARITY, v.dtype)[None, :])
    there = _messages(center[:, :queries], neighbor[:, queries:], filters, pairs)
    back = _messages(neighbor[:, :queries], center[:, queries:], filters, back)
    both = jnp.concatenate([x, v], axis=1)
    both = both.at[pairs.centers].add(there, mode="promise_in_bounds", indices_are_sorted=True)
    both = both.at[pairs.neighbors].add(back, mode="promise_in_bounds")
    return State(both[:, :FEATURES], both[:, FEATURES:])
