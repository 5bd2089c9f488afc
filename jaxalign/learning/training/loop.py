"""The updates and evaluations of one run, one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from jaxalign.learning.training.evaluation import Errors
from jaxalign.learning.training.health import TrainingError
from jaxalign.learning.training.objective import ABSOLUTE_ERROR
from jaxalign.learning.training.run_files import RunFiles
from jaxalign.learning.training.run_setup import RunSetup
from jaxalign.learning.training.trained_run import TrainedRun, plain
from jaxalign.learning.training.update import GRADIENT, LOSS, init_state, on_devices, on_host
from jaxalign.progress import Progress

_CHECK_EVERY = 50  # updates between looks at the losses
_SHOWN = 5  # ids in messages


class TrainingLoop:
    """One run under way.

    Between evaluations devices work without the host: losses are fetched every `_CHECK_EVERY`
    updates.

    Args:
      setup: of the run.
      files: where it keeps what it finds, and finds what an earlier session has kept.
      bar: of the updates.
    """

    def __init__(self, setup: RunSetup, files: RunFiles, bar: Progress):
        self._setup, self._settings, self._files, self._bar = setup, setup.settings, files, bar
        self._validation = setup.held_out("validation")
        first = init_state(setup.first_params(), setup.settings)
        state, self._best, self._standing = files.take_up(first)
        self._state = on_devices(state, setup.collation.mesh)
        self._update, self._feed = setup.update(), setup.feed()
        self._numbers: list[Mapping[str, Any]] = []  # of the updates since the last evaluation
        self._checked = 0  # how many of them have been fetched and looked at
        self._since, self._waited = time.monotonic(), 0.0
        bar.skip(self._standing.step)

    def close(self) -> None:
        """Ends the threads."""
        self._feed.close()

    def to_the_end(self) -> TrainedRun:
        """Updates and evaluations until all steps are done or patience ends."""
        if self._standing.best_step < 0:
            self._evaluate()
        for step in self._settings.evaluation_steps(self._setup.order.epoch):
            if step > self._standing.step and not self._stopped:
                self._advance(step)
                self._evaluate()
        return self._finish()

    @property
    def _stopped(self) -> str | None:
        settings = self._settings
        return self._standing.stopped(steps=settings.steps, patience=settings.patience)

    def _advance(self, until: int) -> None:
        """Updates until so many are done."""
        for step in range(self._standing.step, until):
            batches, targets = self._feed.take(step, last=self._settings.steps)
            self._state, numbers = self._update.run(self._state, batches, targets)
            self._numbers.append(numbers)
            self._standing.step = step + 1
            self._bar.advance()
            if len(self._numbers) - self._checked >= _CHECK_EVERY:
                self._check()
        self._check()

    def _check(self) -> None:
        """Fetches the numbers of the last updates and makes sure that they are sound."""
        fresh = jax.device_get(self._numbers[self._checked :])
        self._numbers[self._checked :] = fresh
        self._checked = len(self._numbers)
        losses, gradients = ([float(n[name]) for n in fresh] for name in (LOSS, GRADIENT))
        wrong = self._standing.watch.look(losses, gradients)
        if wrong is not None:
            number, text = wrong
            self._fail(self._standing.step - len(fresh) + number, text)

    def _evaluate(self) -> None:
        """Looks at the validation structures, records, and keeps what is to be kept."""
        standing, times = self._standing, [self._since, time.monotonic()]
        errors = self._validation.errors(self._state.params)
        self._require_finite(errors, "validation", step=standing.step - 1)
        if standing.evaluated(errors.mae_ev):
            self._best = on_host(self._state.params)
        if self._stopped or standing.step in self._settings.checkpoint_steps():
            name = self._setup.name
            logging.info("%s: step %d, validation %.4f eV", name, standing.step, errors.mae_ev)
        times.append(time.monotonic())
        self._files.record(self._records(errors))
        self._files.keep(self._state, self._best, standing, mae_ev=errors.mae_ev)
        times.append(time.monotonic())
        self._note_times(times)
        self._numbers, self._checked = [], 0

    def _records(self, errors: Errors) -> list[dict[str, Any]]:
        """Means over the updates since the last evaluation, and the validation errors."""
        step, records = self._standing.step, []
        if self._numbers:
            names = sorted(self._numbers[0])
            means = {name: _mean([n[name] for n in self._numbers]) for name in names}
            absolute, loss = means.pop(ABSOLUTE_ERROR, None), means.pop(LOSS)
            mae = None if absolute is None else absolute * self._setup.inputs.task.std
            records.append(self._setup.record(step, "train", loss=loss, mae_ev=mae) | means)
        found = {"loss": errors.loss, "mae_ev": errors.mae_ev}
        return [*records, self._setup.record(step, "validation", **found)]

    def _note_times(self, times: list[float]) -> None:
        updating, evaluating, keeping = np.diff(times).tolist()
        waited = self._feed.waited_seconds
        self._files.note_times(
            self._standing.step,
            len(self._numbers),
            update_seconds=updating,
            wait_seconds=waited - self._waited,
            evaluate_seconds=evaluating,
            checkpoint_seconds=keeping,
        )
        self._since, self._waited = times[-1], waited

    def _require_finite(self, errors: Errors, split: str, *, step: int) -> None:
        if errors.broken:
            ids = getattr(self._setup.inputs.task.splits, split).ids
            shown = ", ".join(ids[row] for row in errors.broken[:_SHOWN])
            text = (
                f"predictions for {len(errors.broken)} of {len(ids)} {split} structures are not "
                f"finite after this update, such as {shown}: lower the learning rate, or look at "
                "these structures"
            )
            self._fail(step, text)

    def _fail(self, step: int, text: str) -> None:
        """Stops at the update after `step` others."""
        self._files.settle()
        raise TrainingError(
            f"{self._setup.name}: {text}",
            step=step + 1,
            ids=self._setup.minibatch_ids(step),
            learning_rate=self._setup.learning_rate(step),
            checkpoint=self._files.last_good,
        )

    def _finish(self) -> TrainedRun:
        setup, standing = self._setup, self._standing
        best = on_devices(self._best, setup.collation.mesh)
        errors = setup.held_out("test").errors(best)
        self._require_finite(errors, "test", step=standing.best_step - 1)
        found = {"loss": errors.loss, "mae_ev": errors.mae_ev}
        record = setup.record(standing.step, "test", **found) | {"best_step": standing.best_step}
        self._files.finish(self._best, standing, record)
        result = self._result(errors)
        result.save()
        self._files.drop_resume()
        logging.info("%s: test %.4f eV", setup.name, errors.mae_ev)
        return result

    def _result(self, errors: Errors) -> TrainedRun:
        network, standing = self._setup.inputs.network, self._standing
        return TrainedRun(
            folder=self._setup.folder,
            network=network.card.id,
            settings=plain(network.settings),
            seed=self._setup.seed,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(self._best)),
            steps=standing.step,
            stopped=self._stopped,
            best_step=standing.best_step,
            validation_mae_ev=standing.best_mae_ev,
            test_mae_ev=errors.mae_ev,
            **self._files.speed(),
        )


def _mean(values: list[Any]) -> float | None:
    """In float64; None if it is no number, which JSON cannot hold."""
    mean = float(np.mean(np.asarray(values, np.float64)))
    return mean if math.isfinite(mean) else None
