"""A run's folder: what was asked for, and what came out.

RUN/run.json        settings of network, task and training; a folder holds one run
RUN/result.json     errors of the best parameters, once the run is finished
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh

from jaxalign.alignment.resume import content_key
from jaxalign.archives.atomic import write_json
from jaxalign.parallel.multihost import from_primary, is_primary_process

ASKED = "run.json"
RESULT = "result.json"

_MADE_WITH = "made_with"


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
      folder: with its checkpoints and curves.
      network: id of the network.
      settings: of the network, as JSON gives them back.
      seed: of parameters and minibatches.
      parameters: their number.
      steps: updates done.
      stopped: `"steps"` if all were done, `"patience"` if no better ones came.
      best_step: whose parameters are the best ones on the validation structures.
      validation_mae_ev: their error there.
      test_mae_ev: their error on the test structures.
      seconds: spent on updates, evaluations and checkpoints, compilation included, in all sessions.
      molecules_per_second: structures in updates, by the time of updates without compilation; None
        if there were too few of them.
      input_wait_share: share of that time in which devices waited for inputs.
    """

    folder: Path
    network: str
    settings: Mapping[str, Any]
    seed: int
    parameters: int
    steps: int
    stopped: str
    best_step: int
    validation_mae_ev: float
    test_mae_ev: float
    seconds: float
    molecules_per_second: float | None
    input_wait_share: float | None

    def save(self) -> None:
        """Writes the result into the run's folder, which makes it finished."""
        facts = {name: value for name, value in vars(self).items() if name != "folder"}
        if is_primary_process():
            write_json(self.folder / RESULT, facts)


def load_run(folder: str | Path) -> TrainedRun | None:
    """The result of a run; None if it is not finished.

    Args:
      folder: of the run.
    """
    path = Path(folder) / RESULT
    found = json.loads(path.read_text()) if path.exists() else None
    found = from_primary(found)
    return None if found is None else TrainedRun(folder=Path(folder), **found)


def claim_folder(folder: Path, asked: Mapping[str, Any], mesh: Mesh) -> str:
    """Makes a folder that of one run; an earlier call with the same settings began it, or none.

    Args:
      folder: of the run.
      asked: everything that decides the result, plain values.
      mesh: devices that will work.

    Returns:
      The identity of the run.

    Raises:
      ValueError: the folder is that of another run; the settings that differ are named.
    """
    asked = plain(asked)
    identity = content_key(**asked)
    tools = {name: version(name) for name in ("jaxalign", "jax", "optax")}
    tools |= {"devices": mesh.size, "platform": jax.default_backend()}
    path = folder / ASKED
    known = from_primary(json.loads(path.read_text()) if path.exists() else None)
    if known is None:
        if is_primary_process():
            write_json(path, {**asked, "identity": identity, _MADE_WITH: tools})
        return identity
    if known["identity"] != identity:
        raise ValueError(
            f"{folder} holds another run: {_differences(known, asked)}; choose another folder, or "
            "delete this one"
        )
    if known[_MADE_WITH] != tools:
        logging.warning(
            "%s was begun with %s, and goes on with %s: its curve may differ by rounding from one "
            "that was not interrupted",
            *(folder, known[_MADE_WITH], tools),
        )
    return identity


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    old, new = _flat(known), _flat(asked)
    names = [name for name in new if old.get(name) != new[name]]
    shown = [f"{name} was {old.get(name, 'not given')} and is now {new[name]}" for name in names]
    return "; ".join(shown) or "some settings are no longer given"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, entry in value.items():
        found |= _flat(entry, f"{prefix}.{name}" if prefix else name)
    return found
