"""Settings of training: steps, schedule, optimizer, and after which steps something is kept."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

LOSSES = ("huber", "mse")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How parameters are fitted. Everything here changes the result.

    Attributes:
      steps: updates at most.
      minibatch: structures an update, over all devices.
      learning_rate: after the warmup; it then falls to 0 as a cosine until the last step.
      warmup: steps over which the learning rate rises.
      weight_decay: of AdamW.
      clip: largest global norm of a gradient; larger ones are scaled down.
      loss: of the standardized residual: `"huber"` (quadratic up to 1) or `"mse"`.
      evaluate_every: steps between evaluations; None for an epoch.
      patience: evaluations without a new best one after which training stops.
      checkpoints_per_decade: checkpoints at steps 0, 1, … that many for each factor of ten.
    """

    steps: int = 2000
    minibatch: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 1.0
    loss: str = "huber"
    evaluate_every: int | None = None
    patience: int = 20
    checkpoints_per_decade: int = 4

    def __post_init__(self):
        for name in ("steps", "minibatch", "patience", "checkpoints_per_decade"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite: got {getattr(self, name)}")
        if not 0 <= self.warmup < self.steps:
            raise ValueError(
                f"warmup must be 0 or more and below steps={self.steps}: got {self.warmup}"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be 0 or more: got {self.weight_decay}")
        if self.evaluate_every is not None and self.evaluate_every < 1:
            raise ValueError(f"evaluate_every must be at least 1: got {self.evaluate_every}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}: got {self.loss!r}")

    def schedule(self) -> optax.Schedule:
        """Updates done → learning rate of the next one."""
        # Not from 0: the first update is to do something.
        first = self.learning_rate / max(self.warmup, 1)
        return optax.warmup_cosine_decay_schedule(
            first, self.learning_rate, self.warmup, self.steps
        )

    def learning_rates(self) -> Float[np.ndarray, " steps"]:
        """Of all updates, in their order."""
        return _rates(self)

    def optimizer(self) -> optax.GradientTransformation:
        """AdamW with this schedule, behind the clipping."""
        adamw = optax.adamw(self.schedule(), weight_decay=self.weight_decay)
        return optax.chain(optax.clip_by_global_norm(self.clip), adamw)

    def checkpoint_steps(self) -> tuple[int, ...]:
        """Log-spaced steps, with 0 and the last."""
        decades = math.log10(self.steps)
        count = math.ceil(decades * self.checkpoints_per_decade)
        spaced = (round(10 ** (i / self.checkpoints_per_decade)) for i in range(count + 1))
        return tuple(sorted({0, self.steps, *(step for step in spaced if step <= self.steps)}))

    def evaluation_steps(self, epoch: int) -> tuple[int, ...]:
        """All steps after which validation structures are looked at; checkpoints are among them.

        Args:
          epoch: steps of an epoch.
        """
        every = self.evaluate_every or epoch
        regular = range(every, self.steps + 1, every)
        return tuple(sorted({*self.checkpoint_steps(), *regular}))

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)


@functools.lru_cache(maxsize=8)
def _rates(settings: TrainingSettings) -> Float[np.ndarray, " steps"]:
    # optax divides integers by floats, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        return np.asarray(jax.jit(jax.vmap(settings.schedule()))(jnp.arange(settings.steps)))
