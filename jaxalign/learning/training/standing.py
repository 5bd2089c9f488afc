"""How far a run has come, apart from what is on the devices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxalign.learning.training.health import LossWatch


@dataclasses.dataclass
class Standing:
    """The part of a run's state that the host decides by; plain values, exact in JSON.

    Attributes:
      step: updates done.
      best_step: where the validation error was least; −1 before the first evaluation.
      best_mae_ev: that error.
      waited: evaluations since then.
      watch: of the losses.
    """

    step: int = 0
    best_step: int = -1
    best_mae_ev: float = math.inf
    waited: int = 0
    watch: LossWatch = dataclasses.field(default_factory=LossWatch)

    def evaluated(self, mae_ev: float) -> bool:
        """Takes a validation error; whether it is the least so far."""
        if mae_ev < self.best_mae_ev:
            self.best_step, self.best_mae_ev, self.waited = self.step, mae_ev, 0
            return True
        self.waited += 1
        return False

    def stopped(self, *, steps: int, patience: int) -> str | None:
        """Why the run is over: `"patience"` or `"steps"`; None if it is not."""
        if self.waited >= patience:
            return "patience"
        return "steps" if self.step >= steps else None

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Standing:
        """Inverse of `to_json`; other facts are ignored."""
        known = {field.name: facts[field.name] for field in dataclasses.fields(cls)}
        return cls(**known | {"watch": LossWatch(**facts["watch"])})
