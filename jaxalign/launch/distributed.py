"""Flags of verbs that compute, and how their processes find each other, agree, and end.

A verb that lets its work be spread over processes says `flags.adopt_module_key_flags(distributed)`;
`process.run_verb` then calls `start` before it and `leave` after it.
"""

from __future__ import annotations

import logging as standard_logging
import os
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import jax
from absl import flags, logging

from jaxalign.launch.watcher import Watcher
from jaxalign.parallel import processes
from jaxalign.parallel.multihost import is_primary_process, require_agreement, wait_for_all

_DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "true", "false"],
    "Whether this is one of several processes of one run; auto: if the flags below are given, or "
    "on SLURM (srun with several tasks), Open MPI, TPU pods and Kubernetes (indexed Jobs).",
)
_ADDRESS = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of the machine of process 0, the same for all."
)
_COUNT = flags.DEFINE_integer("num_processes", None, "How many processes work on this run.")
_ID = flags.DEFINE_integer("process_id", None, "Which one this is: 0, 1, …")
_TIMEOUT = flags.DEFINE_integer(
    "coordinator_timeout", 120, "Seconds to wait for all processes at the start.", lower_bound=1
)
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat_timeout",
    30,
    "Seconds after which a silent process counts as dead and the others end.",
    lower_bound=3,
)
_MESH = flags.DEFINE_string(
    "mesh", None, "Devices that work, e.g. rows:4 or rows:4,models:2; default: all there are."
)
_CPU_DEVICES = flags.DEFINE_integer(
    "cpu_devices",
    None,
    "Work on so many virtual CPU devices: to try out on one machine what many do.",
    lower_bound=1,
)

# Flags that may differ between processes: they decide no result, or name places that a machine may
# mount elsewhere. What is found in those places is compared by content.
_OWN = (
    *("distributed", "coordinator_address", "process_id", "coordinator_timeout"),
    *("heartbeat_timeout", "progress", "traceback", "config", "workdir", "embeddings"),
    *("structures", "profile", "compilation_cache"),
)
# What process 0 waits before it ends by an error, so that others can report the same error before
# the end of their coordinator aborts them.
_GRACE = 2.0

_farewell: Watcher | None = None  # of this process, where it is one of several
_index: int | None = None  # of this process


def start(verb: str, key_flags: Mapping[str, Any]) -> None:
    """Sets the devices, and joins the other processes if there are any.

    Args:
      verb: name of the verb.
      key_flags: flags of the verb by name; all processes must have been given the same.

    Raises:
      ValueError: flags that do not fit each other or the environment.
      ClusterError: the processes do not find each other.
      DisagreementError: they were started with different flags or versions.
    """
    global _farewell, _index
    if _CPU_DEVICES.value is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _CPU_DEVICES.value)
    if not _is_one_of_several():
        return
    _keep_stdout_to_ourselves()
    _farewell, _index = Watcher(), _ID.value
    _farewell.expect(*_messages(started=False))
    processes.join_processes(
        coordinator_address=_ADDRESS.value,
        num_processes=_COUNT.value,
        process_id=_ID.value,
        timeout=_TIMEOUT.value,
        heartbeat_timeout=_HEARTBEAT.value,
    )
    _index = jax.process_index()
    _farewell.expect(*_messages(started=True))
    if is_primary_process():
        logging.info("%d processes, %d devices", jax.process_count(), len(jax.devices()))
    else:
        logging.set_verbosity(logging.WARNING)
        standard_logging.captureWarnings(True)
        handler = logging.get_absl_handler()
        handler.setFormatter(_Numbered(handler.formatter))
    require_agreement(**_facts(verb, key_flags))


def chosen_mesh() -> str | None:
    """What --mesh says; None for the default."""
    return _MESH.value


def several() -> bool:
    """Whether this is one of several processes that were started here."""
    return _farewell is not None


def label() -> str:
    """How an error names this process."""
    return "error" if _index is None else f"error (process {_index})"


def finish() -> None:
    """Ends the part of this process in a run of several; nothing for one that works alone."""
    global _farewell
    if several():
        wait_for_all("end of the run")
        jax.distributed.shutdown()
        _farewell.dismiss()
        _farewell = None


def give_up(status: int, error: BaseException | None = None) -> None:
    """Ends one of several processes after an error, here and now; nothing for one that works alone.

    Args:
      status: exit status.
      error: what came. If it means that another process has ended, that is said after all that
        JAX has to say of it, which may end this process before the next line.
    """
    if not several():
        return
    lost = None if error is None else processes.lost_process(error)
    if lost:
        _farewell.expect(*[f"{label()}: {lost}"] * 2)
    else:
        _farewell.dismiss()
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and _index == 0:
        time.sleep(_GRACE)
    os._exit(status)


def speaks_of_others(error: BaseException) -> bool:
    """Whether an error means that another process has ended."""
    return several() and processes.lost_process(error) is not None


def _is_one_of_several() -> bool:
    given = [_ADDRESS.value, _COUNT.value, _ID.value]
    processes.check_place(*given)
    if _DISTRIBUTED.value == "false":
        return False
    found = processes.find_cluster()
    if given != [None] * 3:
        if None in given and found is None and _COUNT.value != 1:
            raise ValueError(
                "--coordinator_address, --num_processes and --process_id belong together, where no "
                f"scheduler gives what is missing: got {given}"
            )
        return _COUNT.value != 1
    return _DISTRIBUTED.value == "true" or found is not None


def _messages(*, started: bool) -> list[str]:
    messages = processes.abort_messages(
        address=_ADDRESS.value,
        count=jax.process_count() if started else _COUNT.value,
        index=_index,
        timeout=_TIMEOUT.value,
        started=started,
    )
    return [f"{label()}: {message}" for message in messages]


def _facts(verb: str, key_flags: Mapping[str, Any]) -> dict[str, str]:
    facts = {f"version of {name}": version(name) for name in ("jaxalign", "jax", "jaxlib")}
    facts |= {"verb": verb, "JAX_ENABLE_X64": str(jax.config.jax_enable_x64)}
    for name, value in key_flags.items():
        if hasattr(value, "to_dict"):
            facts |= _flatten(f"--{name}", value.to_dict())
        elif name not in _OWN:
            facts[f"--{name}"] = str(value)
    # Also where the flag was not given: the coordinator's number counts.
    return facts | {"--num_processes": str(_COUNT.value or jax.process_count())}


def _flatten(prefix: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    found: dict[str, str] = {}
    for name, entry in value.items():
        found |= _flatten(f"{prefix}.{name}", entry)
    return found


def _keep_stdout_to_ourselves() -> None:
    """What libraries in C++ print (gloo does) goes to standard error: tables may be piped on."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(ours, "w", buffering=1, encoding=sys.stdout.encoding)


class _Numbered(logging.PythonFormatter):
    """Names the process in front of every line of the log."""

    def __init__(self, inner: Any):
        super().__init__()
        self._inner = inner

    def format(self, record: Any) -> str:
        """The line."""
        return f"process {jax.process_index()}: {self._inner.format(record)}"
