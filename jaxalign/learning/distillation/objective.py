"""Task loss and alignment to a teacher's embeddings, on the same minibatch.

    L = task · mean_i ℓ(p_i − t_i) + weight · (1 − alignment(h, T))

with p the predictions, ℓ a pointwise loss, h the mean of the student's features over nodes and T
the teacher's rows of the same structures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.learning import losses
from jaxalign.learning.networks.network import Network
from jaxalign.learning.training.objective import (
    ABSOLUTE_ERROR,
    TARGET,
    Objective,
    RowsById,
    pointwise_loss,
)
from jaxalign.models.pooling import pool

ALIGNMENT_LOSSES: Mapping[str, Callable[..., Float[Array, ""]]] = MappingProxyType(
    {
        "cka": losses.cka_loss,
        "distance_correlation": losses.distance_correlation_loss,
        "soft_cknna": losses.soft_cknna_loss,
    }
)
"""Losses by name; further settings of each go through `alignment_settings`."""

_TEACHER = "teacher"
_PREDICTED, _EMBEDDED = "predicted", "embedded"


def distillation(
    network: Network,
    teacher: RowsById,
    *,
    weight: float,
    task: float = 1.0,
    alignment: str = "cka",
    alignment_settings: Mapping[str, float | str | bool] | None = None,
    loss: str = "huber",
) -> Objective:
    """The objective of a student.

    One objective serves all seeds and all sets of labels: what is compiled for it is shared.

    Args:
      network: the student.
      teacher: embeddings of all training structures (more do no harm).
      weight: of the alignment loss, which lies between 0 and about 1.
      task: weight of the task loss; 0 to learn the geometry alone, which needs no labels.
      alignment: a name of `ALIGNMENT_LOSSES`.
      alignment_settings: e.g. `{"k": 8}` for soft CKNNA.
      loss: pointwise loss of the task.

    Returns:
      The objective; it records `alignment_loss` besides the loss.

    Raises:
      ValueError: an unknown alignment, or weights that are negative or both 0.
    """
    if alignment not in ALIGNMENT_LOSSES:
        raise ValueError(
            f"unknown alignment loss {alignment!r}: choose one of {tuple(ALIGNMENT_LOSSES)}"
        )
    if min(weight, task) < 0 or weight + task <= 0:
        raise ValueError(
            f"weights of the losses must be 0 or more, one of them positive: got weight={weight}, "
            f"task={task}"
        )
    further = dict(alignment_settings or {})
    align = ALIGNMENT_LOSSES[alignment]

    def outputs(params, batch):
        embedded = pool(network.features(params, batch, None), "mean")
        return {_PREDICTED: network.predict(params, batch), _EMBEDDED: embedded}

    def both(found, targets):
        residual = found[_PREDICTED] - targets[TARGET]
        apart = align(found[_EMBEDDED], targets[_TEACHER], **further)
        total = weight * apart + task * jnp.mean(pointwise_loss(residual, loss))
        return total, {ABSOLUTE_ERROR: jnp.mean(jnp.abs(residual)), "alignment_loss": apart}

    settings = {
        "objective": "distillation",
        "loss": loss,
        "task": float(task),
        "weight": float(weight),
        "alignment": alignment,
        "alignment_settings": further,
    }
    return Objective(settings, outputs, both, {_TEACHER: teacher})
