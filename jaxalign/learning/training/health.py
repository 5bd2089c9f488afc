"""What ends a run before its time: losses that are no numbers, and losses that run away."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from jaxalign.types import JaxalignError

RATIO = 100.0  # of the first loss, above which one is too high
LONG = 200  # updates in a row with such losses

_SHOWN = 100  # ids in messages


class TrainingError(JaxalignError):
    """Training stopped because its numbers make no sense any more.

    Attributes:
      step: the update, counted from 1; 0 before the first.
      ids: structures of its minibatch.
      learning_rate: of the update.
      checkpoint: the last good one, or None.
    """

    def __init__(
        self,
        text: str,
        *,
        step: int,
        ids: Sequence[str],
        learning_rate: float,
        checkpoint: Path | None,
    ):
        self.step, self.ids, self.learning_rate = step, tuple(ids), learning_rate
        self.checkpoint = checkpoint
        more = f" and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        super().__init__(
            f"{text}. Step {step}, learning rate {learning_rate:.3g}, structures of the minibatch: "
            f"{', '.join(self.ids[:_SHOWN]) or 'none'}{more}. The last good checkpoint is "
            f"{checkpoint or 'none'}"
        )


@dataclasses.dataclass
class LossWatch:
    """Looks at the losses of all updates, in their order.

    Attributes:
      first: the first loss of the run; None before it.
      high: updates in a row whose loss was above `RATIO` times the first one (or 1, if that is
        larger: what predicting the mean costs).
    """

    first: float | None = None
    high: int = 0

    def look(self, losses: Sequence[float], gradients: Sequence[float]) -> tuple[int, str] | None:
        """Number of the first update that is wrong, and what is; None if all is well.

        Args:
          losses: of consecutive updates.
          gradients: norms of their gradients.
        """
        for number, (loss, gradient) in enumerate(zip(losses, gradients, strict=True)):
            if not math.isfinite(loss):
                return number, (
                    f"the loss is {loss}: look at these structures and their labels, or lower the "
                    "learning rate"
                )
            if not math.isfinite(gradient):
                return number, (
                    f"the gradient is {gradient} though the loss is {loss:.4g}: atoms that "
                    "coincide do this, or a learning rate that is too high"
                )
            self.first = loss if self.first is None else self.first
            limit = RATIO * max(self.first, 1.0)
            self.high = self.high + 1 if loss > limit else 0
            if self.high >= LONG:
                return number, (
                    f"the learning rate diverges: the loss is {loss:.4g}, and has been above "
                    f"{limit:.4g} for {LONG} steps (the first was {self.first:.4g}); lower the "
                    "learning rate tenfold, or warm up longer"
                )
        return None
