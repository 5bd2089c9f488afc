"""Errors on structures that training does not see."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float64

from jaxalign.learning.networks.network import Params
from jaxalign.learning.training.minibatches import Collation
from jaxalign.learning.training.objective import Outputs, pointwise_loss
from jaxalign.learning.training.update import compiled_outputs
from jaxalign.models.encoder import Batch, Example


@dataclasses.dataclass(frozen=True)
class Errors:
    """Errors of predictions.

    Attributes:
      loss: mean pointwise loss in standardized units.
      mae_ev: mean absolute error in eV (per atom, where the label is).
      broken: rows of the structures whose predictions are not finite.
    """

    loss: float
    mae_ev: float
    broken: tuple[int, ...] = ()


class HeldOut:
    """Structures of known labels, kept on the devices, in batches of the shape of training.

    Args:
      predict: of the network.
      examples: inputs of the structures.
      targets: their standardized labels.
      collation: how they are put together.
      std_ev: eV of a standardized unit.
      loss: kind of the pointwise loss.
    """

    def __init__(
        self,
        predict: Callable[[Params, Batch], Outputs],
        examples: Sequence[Example],
        targets: Float64[np.ndarray, " n"],
        collation: Collation,
        *,
        std_ev: float,
        loss: str,
    ):
        self._targets, self._std, self._loss = targets, std_ev, loss
        self._run = compiled_outputs(predict, share=collation.share, mesh=collation.mesh)
        starts = range(0, len(examples), collation.size)
        parts = (examples[start : start + collation.size] for start in starts)
        self._batches = [collation.place(part) for part in parts]

    def predict(self, params: Params) -> Float64[np.ndarray, " n"]:
        """Predictions in standardized units.

        Args:
          params: on the devices.
        """
        found = jax.device_get([self._run(params, batch) for batch in self._batches])
        return np.concatenate(found)[: len(self._targets)].astype(np.float64)

    def errors(self, params: Params) -> Errors:
        """Errors with these parameters, which are on the devices."""
        residual = self.predict(params) - self._targets
        losses = np.asarray(_pointwise(self._loss)(residual.astype(np.float32)), np.float64)
        broken = np.flatnonzero(~np.isfinite(losses)).tolist()
        mae_ev = float(self._std * np.abs(residual).mean())
        return Errors(float(losses.mean()), mae_ev, tuple(broken))


@functools.cache
def _pointwise(kind: str) -> Callable:
    return jax.jit(functools.partial(pointwise_loss, kind=kind))
