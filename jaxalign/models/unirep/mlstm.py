"""Multiplicative LSTM with normalized weights, scanned over time.

With gains g and directions W of every weight matrix, V = g W / ‖W‖ (norms of columns),

    m_t = (x_t V_mx) ⊙ (h_{t−1} V_mh)
    i, f, o, u = split(x_t V_x + m_t V_h + b)
    c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(u)
    h_t = σ(o) ⊙ tanh(c_t),                     h_0 = c_0 = 0

The products with x_t do not depend on the state: they are computed for all steps at once. Where x_t
is one of a few tokens, they are rows of a small table, looked up step by step.

References:
  Krause et al., "Multiplicative LSTM for sequence modelling", arXiv:1609.07959, eqs. 9-14;
  Salimans and Kingma, "Weight normalization", arXiv:1602.07868, eq. 2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Cell = Mapping[str, Float[Array, "..."]]  # directions wx, wh, wmx, wmh; gains gx, gh, gmx, gmh; b
States = Float[Array, "time batch d"]
Drive = tuple[Float[Array, "*rows gates"], Float[Array, "*rows d"]]  # x V_x + b and x V_mx

_EPSILON = 1e-12  # least squared norm of a column
# One bfloat16 pass would not agree with the original.
_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def normalized(cell: Cell, name: str) -> Float[Array, "inputs outputs"]:
    """The weight matrix `name` (`"x"`, `"h"`, `"mx"` or `"mh"`) of a cell."""
    directions, gains = cell[f"w{name}"], cell[f"g{name}"]
    square = jnp.sum(directions**2, axis=0, keepdims=True)
    return directions / jnp.sqrt(jnp.maximum(square, _EPSILON)) * gains[None, :]


def drive(cell: Cell, x: Float[Array, "*rows inputs"]) -> Drive:
    """What the inputs contribute to the gates and to the factor of the state.

    Args:
      cell: parameters.
      x: inputs.

    Returns:
      x V_x + b and x V_mx, of the same leading axes.
    """
    bias = jnp.broadcast_to(cell["b"], (*x.shape[:-1], cell["b"].shape[0]))
    return _product(x, normalized(cell, "x")) + bias, _product(x, normalized(cell, "mx"))


def scan_tokens(
    cell: Cell,
    embedding: Float[Array, "tokens inputs"],
    ids: Int[Array, "time batch"],
    *,
    keep: str = "h",
) -> States:
    """States of a cell whose inputs are embedded tokens.

    Args:
      cell: parameters.
      embedding: inputs by token id.
      ids: token ids, time first.
      keep: `"h"` for hidden states, `"c"` for cell states.

    Returns:
      `[time, batch, d]`.
    """
    gates, factors = drive(cell, embedding)

    def look_up(ids: Int[Array, " batch"]) -> Drive:
        return tuple(table.at[ids].get(mode="promise_in_bounds") for table in (gates, factors))

    return _scan(cell, ids, look_up, keep)


def scan_states(cell: Cell, x: Float[Array, "time batch inputs"], *, keep: str = "h") -> States:
    """States of a cell above another one.

    Args:
      cell: parameters.
      x: hidden states of the cell below, time first.
      keep: as in `scan_tokens`.

    Returns:
      `[time, batch, d]`.
    """
    return _scan(cell, drive(cell, x), lambda part: part, keep)


def _scan(cell: Cell, inputs: Any, drive_of: Callable[[Any], Drive], keep: str) -> States:
    from_hidden, from_product = normalized(cell, "mh"), normalized(cell, "h")

    def step(state: tuple[Array, Array], part: Any) -> tuple[tuple[Array, Array], Array]:
        hidden, memory = state
        gates, factor = drive_of(part)
        gates = gates + _product(factor * _product(hidden, from_hidden), from_product)
        enter, stay, leave, update = jnp.split(gates, 4, axis=-1)
        memory = jax.nn.sigmoid(stay) * memory + jax.nn.sigmoid(enter) * jnp.tanh(update)
        hidden = jax.nn.sigmoid(leave) * jnp.tanh(memory)
        return (hidden, memory), memory if keep == "c" else hidden

    batch = jax.tree.leaves(inputs)[0].shape[1]
    zeros = jnp.zeros((batch, from_hidden.shape[0]), from_hidden.dtype)
    return jax.lax.scan(step, (zeros, zeros), inputs)[1]
