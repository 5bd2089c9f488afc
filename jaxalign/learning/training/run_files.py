"""What a run keeps on disk while it goes: curves, times, checkpoints, where to resume.

Process 0 writes. At every moment, what is on disk up to the newest state under `resume/` is what an
uninterrupted run would have written; whatever is beyond it is dropped when the run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from jaxalign.learning.networks.network import Params
from jaxalign.learning.training.checkpoints import CheckpointWriter, list_checkpoints, load_resume
from jaxalign.learning.training.curves import METRICS, TIMINGS, Curve, read_curve
from jaxalign.learning.training.run_setup import RunSetup
from jaxalign.learning.training.standing import Standing
from jaxalign.learning.training.update import TrainState
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import is_primary_process, wait_for_all

_ENOUGH = 20  # updates between evaluations, below which their speed says little


class RunFiles:
    """The files of one run.

    Args:
      setup: of the run.
      facts: what every checkpoint carries.
      save_seconds: time between states to resume from.

    Attributes:
      last_good: the newest checkpoint, or None.
    """

    def __init__(self, setup: RunSetup, facts: Mapping[str, Any], *, save_seconds: float):
        self._folder, self._settings = setup.folder, setup.settings
        self._save_seconds, self._saved = save_seconds, time.monotonic()
        self._primary = is_primary_process()
        self._writer = CheckpointWriter(setup.folder, facts)
        self._curve = Curve(setup.folder / METRICS, enabled=self._primary)
        self._times = Curve(setup.folder / TIMINGS, enabled=self._primary)
        self.last_good: Path | None = None

    def take_up(self, like: TrainState) -> tuple[TrainState, Params, Standing]:
        """Where an earlier session was interrupted, or the beginning; drops what is beyond.

        Args:
          like: the state before the first update.

        Returns:
          State, best parameters so far, both on the host, and the rest.
        """
        found = load_resume(self._folder, like)
        wait_for_all("state of training")  # nobody writes before all have read
        state, best, facts = found or (like, like.params, None)
        standing = Standing() if facts is None else Standing.from_json(facts)
        until = standing.step if found else -1
        if found:
            logging.info("%s goes on after step %d", self._folder.name, standing.step)
        with stop_together():
            self._curve.keep_until(until)
            self._times.keep_until(self._settings.steps)
            if self._primary:
                self._writer.clear_after(until)
        kept = list_checkpoints(self._folder)
        self.last_good = kept[-1].path if kept else None
        return state, best, standing

    def record(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Adds to the curve."""
        with stop_together():
            self._curve.add(*records)

    def keep(self, state: TrainState, best: Params, standing: Standing, *, mae_ev: float) -> None:
        """Keeps parameters at the steps of checkpoints, and the whole state now and then.

        Args:
          state: on the devices.
          best: the best parameters so far, on the host.
          standing: the rest of the state.
          mae_ev: validation error of the present parameters.
        """
        settings, now = self._settings, time.monotonic()
        last = standing.stopped(steps=settings.steps, patience=settings.patience)
        with stop_together():
            if self._primary and (last or standing.step in settings.checkpoint_steps()):
                self.last_good = self._writer.save(
                    standing.step, state.params, validation_mae_ev=mae_ev
                )
            if self._primary and (last or now - self._saved >= self._save_seconds):
                self._writer.save_resume(state, best, standing.to_json())
                self._saved = time.monotonic()

    def finish(self, best: Params, standing: Standing, record: Mapping[str, Any]) -> None:
        """Keeps the best parameters and the record of the test; the result may then be written."""
        with stop_together():
            self._curve.add(record)
            if self._primary:
                error = standing.best_mae_ev
                self._writer.save_best(standing.best_step, best, validation_mae_ev=error)
                self._writer.wait()

    def drop_resume(self) -> None:
        """Removes what only an interrupted run needs."""
        if self._primary:
            self._writer.drop_resume()
        wait_for_all("end of training")

    def note_times(self, step: int, updates: int, **seconds: float) -> None:
        """Adds how long the work since the last evaluation took, by its kind."""
        self._times.add({"step": step, "updates": updates, **seconds})

    def speed(self) -> dict[str, float | None]:
        """Fields of `TrainedRun` that tell the time."""
        times = read_curve(self._folder / TIMINGS)
        parts = ("update_seconds", "evaluate_seconds", "checkpoint_seconds")
        # The first evaluations follow each other closely, and the first update compiles.
        long = [record for record in times if record["updates"] >= _ENOUGH]
        names = ("updates", "update_seconds", "wait_seconds")
        updates, updating, waiting = (sum(record[name] for record in long) for name in names)
        return {
            "seconds": sum(record[name] for record in times for name in parts),
            "molecules_per_second": self._settings.minibatch * updates / updating if long else None,
            "input_wait_share": waiting / updating if long else None,
        }

    def settle(self) -> None:
        """Returns when all checkpoints are on disk."""
        self._writer.wait()

    def close(self) -> None:
        """Ends the threads."""
        self._writer.close()
