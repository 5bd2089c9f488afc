"""Some checkpoints of a finished run, each as an encoder."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from jaxalign.learning.networks.network import Network, params_digest
from jaxalign.learning.training.checkpoints import (
    Checkpoint,
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from jaxalign.models.encoder import Encoder


@dataclasses.dataclass(frozen=True, eq=False)
class TrackedCheckpoint:
    """One checkpoint, ready to embed structures.

    Attributes:
      encoder: the network with its parameters; its id is `run@step`.
      step: updates made.
      error_ev: mean absolute error on validation structures, in eV.
      last: whether these are the parameters that training ended with: the best ones.
      fingerprint: SHA-256 of the parameters.
    """

    encoder: Encoder
    step: int
    error_ev: float
    last: bool
    fingerprint: str


def tracked_checkpoints(
    folder: str | Path, network: Network, *, count: int, training_data: str, label_level: str
) -> list[TrackedCheckpoint]:
    """The best checkpoint of a run, and earlier ones evenly spaced among those it has kept.

    Since checkpoints are kept at log-spaced steps, so are these. Checkpoints after the best one are
    left out: their errors are larger again.

    Args:
      folder: of the run, finished.
      network: of the run.
      count: how many at most, at least 2: the first (step 0, untrained), and the best.
      training_data: for the cards, e.g. `"QM9, 8,000 molecules"`.
      label_level: for the cards.

    Returns:
      In the order of their steps, the best one last.

    Raises:
      ValueError: count is below 2.
      CheckpointError: the run has left no checkpoint, or they are of another network.
    """
    if count < 2:
        raise ValueError(f"a trajectory has its first and its last checkpoint: got count={count}")
    best = best_checkpoint(folder)
    earlier = [c for c in list_checkpoints(folder) if c.step < best.step]
    chosen = [(c, c.step) for c in _spaced(earlier, count - 1)] + [(best, None)]
    found = []
    for checkpoint, key in chosen:
        params = load_checkpoint(folder, key, network=network)
        name = f"{Path(folder).name}@{checkpoint.step}"
        trained = checkpoint.step > 0
        facts = {"training_data": training_data, "label_level": label_level} if trained else {}
        encoder = network.encoder(params, id=name, name=name, pretrained=trained, **facts)
        error = checkpoint.validation_mae_ev
        found.append(
            TrackedCheckpoint(encoder, checkpoint.step, error, key is None, params_digest(params))
        )
    return found


def _spaced(checkpoints: list[Checkpoint], count: int) -> list[Checkpoint]:
    """At most `count` of them, evenly spaced in their order, the first one among them."""
    if len(checkpoints) <= count:
        return checkpoints
    places = sorted({math.floor(i * len(checkpoints) / count) for i in range(count)})
    return [checkpoints[place] for place in places]
