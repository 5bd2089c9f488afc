"""Joining the other processes of a run through `jax.distributed`, and saying plainly why one ended.

What JAX itself does where something goes wrong (jax 0.10): a process that cannot register with the
coordinator in time, and every process that outlives the coordinator, is aborted by the C++ client
(SIGABRT, no Python code runs any more); a process that outlives another one gets an error from its
next collective at once, or is aborted when that one's heartbeats have been missing for long enough.
"""

from __future__ import annotations

import collections
import importlib.util
import os
import socket
import time
from collections.abc import Mapping

import jax

from jaxalign.types import JaxalignError

# What reports a lost process in an error of a collective; others (memory, arguments) are our own.
_LOST = ("gloo", "nccl", "connection", "coordination", "socket", "peer", "unavailable", "barrier")
_AGAIN = "Start all processes again with the same command: finished work is kept"


class ClusterError(JaxalignError):
    """The processes of one run cannot find each other, or one of them ended."""


def find_cluster(environ: Mapping[str, str] | None = None) -> str | None:
    """What has started this process together with others, if anything has.

    Only environment variables and the presence of TPU chips are looked at, so that a plain machine
    waits for nobody. JAX itself then finds address, number and id (`jax.distributed.initialize`).

    Args:
      environ: environment variables; None means those of this process.

    Returns:
      `"SLURM"`, `"Open MPI"`, `"TPU"`, `"Kubernetes"`, or None for a process that works alone.
    """
    environ = os.environ if environ is None else environ

    def number(name):
        return int(environ.get(name, "1") or 1)

    step = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
    # An interactive step has one task, though the job whose variables it sees may have more.
    tasks = number("SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else step[2])
    if all(name in environ for name in step) and tasks > 1:
        return "SLURM"
    if "OMPI_MCA_orte_hnp_uri" in environ and number("OMPI_COMM_WORLD_SIZE") > 1:
        return "Open MPI"
    # JAX puts TPU first among its platforms where it finds chips and their library.
    if "tpu" in (jax.config.jax_platforms or "").split(","):
        workers = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES")
        alone = workers is not None and "," not in workers and number("MEGASCALE_NUM_SLICES") == 1
        return None if alone else "TPU"
    indexed = "KUBERNETES_SERVICE_HOST" in environ and "JOB_COMPLETION_INDEX" in environ
    if indexed and importlib.util.find_spec("kubernetes") is not None:
        return "Kubernetes"
    return None


def check_place(
    coordinator_address: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Checks what tells a process its place among others, as far as it is given.

    Raises:
      ValueError: an address without a port, or an id outside `0 … num_processes - 1`.
    """
    if coordinator_address is not None:
        host, _, port = coordinator_address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ValueError(
                "the coordinator address must be HOST:PORT, of the machine that process 0 runs on: "
                f"got {coordinator_address!r}"
            )
    if num_processes is not None and num_processes < 1:
        raise ValueError(f"the number of processes must be at least 1: got {num_processes}")
    if process_id is not None and not 0 <= process_id < (num_processes or process_id + 1):
        wanted = f"from 0 to {num_processes - 1}" if num_processes else "0 or more"
        raise ValueError(
            f"the process id must be {wanted}, another one for each process: got {process_id} "
            f"of {num_processes or 'an unknown number of'} processes"
        )


def join_processes(
    *,
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: int = 120,
    heartbeat_timeout: int = 30,
) -> None:
    """Makes this process one of several; must be called before any JAX computation.

    Args:
      coordinator_address: HOST:PORT of process 0. What is None is found by JAX in the environment
        (`find_cluster`).
      num_processes: how many there are.
      process_id: which one this is.
      timeout: seconds to wait for the coordinator and for all others. If some of them do not come,
        JAX aborts this process a few seconds later.
      heartbeat_timeout: seconds after which a silent process counts as dead.

    Raises:
      ValueError: the place of this process is wrong or cannot be found.
      ClusterError: no coordinator answers in time, its port is taken, or processes have unequal
        numbers of devices.
    """
    check_place(coordinator_address, num_processes, process_id)
    explicit = None not in (coordinator_address, num_processes, process_id)
    began = time.monotonic()
    if explicit and process_id == 0:
        _require_free_port(coordinator_address)
    elif explicit:
        _await_coordinator(coordinator_address, timeout)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for a notice that preemption is near; finished work is kept anyway.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address,
            num_processes,
            process_id,
            cluster_detection_method="deactivate" if explicit else None,
            initialization_timeout=max(1, round(timeout - (time.monotonic() - began))),
            heartbeat_timeout_seconds=heartbeat_timeout,
            shutdown_timeout_seconds=timeout,
        )
    except ValueError as error:
        raise ValueError(
            f"the place of this process among others is not known ({error}); give "
            "--coordinator_address=HOST:PORT, --num_processes and --process_id, or "
            "--distributed=false for a process that works alone"
        ) from error
    except (RuntimeError, OSError) as error:
        raise ClusterError(
            f"this process cannot join the others: {error}; --distributed=false lets it work alone"
        ) from error
    _require_equal_devices()


def lost_process(error: BaseException) -> str | None:
    """What to tell the user if an error of a collective says that another process has ended.

    Returns:
      The message, or None for any other error.
    """
    lost = isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1
    text = str(error)
    if not lost or "RESOURCE_EXHAUSTED" in text or not any(w in text.lower() for w in _LOST):
        return None
    index, count = jax.process_index(), jax.process_count()
    others = f"process {1 - index}" if count == 2 else f"one of the other {count - 1} processes"
    return (
        f"{others} or its machine ended, or cannot be reached, so this one stops; what the "
        f"process that ended first printed says why. {_AGAIN}. (JAX: {text.splitlines()[0]})"
    )


def abort_messages(
    *, address: str | None, count: int | None, index: int | None, timeout: int, started: bool
) -> tuple[str, str]:
    """What to tell the user if this process is aborted by JAX, and if it is killed.

    Args:
      address: of the coordinator, as far as it is known.
      count: of processes.
      index: of this process.
      timeout: seconds to wait for all processes at the start.
      started: whether all have found each other.
    """
    where = f" at {address}" if address else ""
    killed = (
        f"this process crashed or was killed: by a signal, the scheduler, or for lack of memory. "
        f"{_AGAIN}"
    )
    if started:
        others = f"process {1 - index}" if count == 2 and index is not None else "another process"
        return (
            f"JAX ended this process, since {others} (process 0 is the coordinator{where}) or its "
            "machine ended or cannot be reached; what the process that ended first printed says "
            f"why. {_AGAIN}",
            killed,
        )
    all_of_them = f"all {count} processes" if count else "all processes"
    return (
        f"JAX ended this process, since not {all_of_them} met{where} within {timeout} seconds, or "
        "two of them have one id; check that each of them runs, with the same "
        "--coordinator_address and --num_processes and a --process_id of its own from 0 on; "
        "--coordinator_timeout sets the limit",
        killed,
    )


def _require_free_port(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
            sock.listen()  # gRPC would share the port with whoever has it
        except OSError as error:
            raise ClusterError(
                f"process 0 cannot be the coordinator at {address} ({error}); give all processes "
                "another free port, and end what is left of an earlier run"
            ) from error


def _await_coordinator(address: str, timeout: int) -> None:
    host, _, port = address.rpartition(":")
    limit = time.monotonic() + timeout
    while True:
        left = limit - time.monotonic()
        try:
            socket.create_connection((host.strip("[]"), int(port)), min(max(left, 0.1), 5)).close()
            return
        except OSError as error:
            if left <= 0:
                raise ClusterError(
                    f"no coordinator answered at {address} within {timeout} seconds ({error}); "
                    "start process 0 too, give every process the address of its machine, and let "
                    "the port through firewalls; --coordinator_timeout sets the limit"
                ) from error
            time.sleep(min(0.2, max(left, 0.01)))


def _require_equal_devices() -> None:
    found = collections.Counter(device.process_index for device in jax.devices())
    if len(set(found.values())) > 1:
        shown = ", ".join(f"process {i}: {number}" for i, number in sorted(found.items()))
        raise ClusterError(
            f"every process must have as many devices as the others: got {shown}; start them with "
            "the same --cpu_devices, or on machines of one kind"
        )
