"""What training minimizes: outputs of a network, and a loss of them on a whole minibatch.

The two are apart because devices share the outputs of a minibatch, but a loss may compare all its
structures (alignment to a teacher does): outputs are computed where the structures are, and the
loss sees all of them, whatever the number of devices.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.learning.networks.network import Network, Params
from jaxalign.models.encoder import Batch

TARGET = "target"
ABSOLUTE_ERROR = "absolute_error"

Outputs = Any  # a pytree of arrays `[slots, ...]`, or of arrays `[minibatch, ...]`
Metrics = Mapping[str, Float[Array, ""]]


@runtime_checkable
class RowsById(Protocol):
    """Rows of numbers with the ids of their structures, as `Embeddings` are."""

    @property
    def values(self) -> Float[np.ndarray, "n ..."]:
        """One row a structure."""

    @property
    def ids(self) -> Sequence[str]:
        """Their ids."""


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A differentiable aim of training.

    Attributes:
      settings: what it was made with, plain values; part of the identity of a run.
      outputs: (params, batch) → arrays with a leading axis of the batch's slots; pure.
      loss: (outputs, targets) → loss and further numbers to be recorded; pure. Both arguments have
        a leading axis of the structures of the minibatch; targets hold `"target"` (standardized
        labels) and the rows of `extra`. If the numbers have an `"absolute_error"` (mean, in
        standardized units), it is recorded in eV.
      extra: name → rows of all training structures (more do no harm).
    """

    settings: Mapping[str, Any]
    outputs: Callable[[Params, Batch], Outputs]
    loss: Callable[[Outputs, Mapping[str, Array]], tuple[Float[Array, ""], Metrics]]
    extra: Mapping[str, RowsById] = dataclasses.field(default_factory=dict)

    def extra_rows(self, ids: Sequence[str]) -> dict[str, Float[np.ndarray, "n ..."]]:
        """Rows of `extra` in the order of some structures, float32.

        Raises:
          ValueError: structures without a row, or rows that are not finite.
        """
        return {name: _rows_of(rows, ids, name) for name, rows in self.extra.items()}

    def identity(self, ids: Sequence[str]) -> dict[str, Any]:
        """Plain values that differ whenever two objectives do, for training on some structures."""
        rows = self.extra_rows(ids)
        digests = {name: hashlib.sha256(part.tobytes()).hexdigest() for name, part in rows.items()}
        return {**self.settings, "extra": digests}


def pointwise_loss(
    residual: Float[Array, " n"] | Float[np.ndarray, " n"], kind: str
) -> Float[Array, " n"]:
    """Loss of each standardized residual: `"mse"` r²; `"huber"` r²/2 up to 1, then |r| − 1/2."""
    residual = jnp.asarray(residual)
    if kind == "mse":
        return residual**2
    size = jnp.abs(residual)
    return jnp.where(size <= 1, residual**2 / 2, size - 0.5)


# Cached, so that the seeds of one network share what is compiled for it.
@functools.lru_cache(maxsize=8)
def regression(network: Network, *, loss: str = "huber") -> Objective:
    """The mean of `pointwise_loss` over the structures of a minibatch.

    Args:
      network: whose predictions are compared with the targets.
      loss: `"huber"` or `"mse"`.
    """

    def mean_loss(predicted, targets):
        residual = predicted - targets[TARGET]
        absolute_error = jnp.mean(jnp.abs(residual))
        return jnp.mean(pointwise_loss(residual, loss)), {ABSOLUTE_ERROR: absolute_error}

    return Objective({"objective": "regression", "loss": loss}, network.predict, mean_loss)


def _rows_of(rows: RowsById, ids: Sequence[str], name: str) -> Float[np.ndarray, "n ..."]:
    places = {identifier: row for row, identifier in enumerate(rows.ids)}
    missing = [identifier for identifier in ids if identifier not in places]
    if missing:
        raise ValueError(
            f"{name} has no rows for {len(missing)} of {len(ids)} training structures, "
            f"{missing[0]!r} among them; embed them all, or train on those it has"
        )
    values = np.asarray(rows.values)[[places[identifier] for identifier in ids]]
    values = np.ascontiguousarray(values, np.float32)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} has rows that are not finite for {len(bad)} training structures, "
            f"{ids[bad[0]]!r} among them; leave these structures out"
        )
    return values


def leading(tree: Outputs, count: int) -> Outputs:
    """The first `count` rows of every array."""
    return jax.tree.map(lambda x: x[:count], tree)
