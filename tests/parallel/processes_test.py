"""Where a process finds the others, and what is said when it loses them."""

import jax
import pytest

from jaxalign.parallel.processes import (
    ClusterError,
    abort_messages,
    check_place,
    find_cluster,
    join_processes,
    lost_process,
)
from tests.multiprocess.cluster import free_port

STEP = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_NODELIST": "node[1-4]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        (STEP, "SLURM"),
        (STEP | {"SLURM_NTASKS": "1"}, None),
        (STEP | {"SLURM_STEP_NUM_TASKS": "4"}, "SLURM"),
        # An interactive shell of an allocation: one task, though the job has more.
        (STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        # A batch script outside srun.
        ({name: value for name, value in STEP.items() if "STEP" not in name}, None),
        ({"OMPI_MCA_orte_hnp_uri": "1;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2"}, "Open MPI"),
        ({"OMPI_MCA_orte_hnp_uri": "1;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "1"}, None),
        # Without chips the names alone say nothing; without an index no number of processes.
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ],
)
def test_clusters_are_found_by_their_variables(environ, found):
    assert find_cluster(environ) == found


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, "TPU"),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "MEGASCALE_NUM_SLICES": "2"}, "TPU"),
    ],
)
def test_tpu_pods_are_found_where_jax_has_found_chips(monkeypatch, environ, found):
    monkeypatch.setattr(type(jax.config), "jax_platforms", "tpu,cpu")
    assert find_cluster(environ) == found


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("10.0.0.1", 2, 0), "must be HOST:PORT"),
        (("10.0.0.1:0", 2, 0), "must be HOST:PORT"),
        ((None, 0, None), "number of processes must be at least 1: got 0"),
        ((None, 2, 2), "must be from 0 to 1, another one for each process: got 2 of 2"),
        ((None, None, -1), "must be 0 or more"),
    ],
)
def test_impossible_places_are_refused(place, message):
    with pytest.raises(ValueError, match=message):
        check_place(*place)


def test_a_coordinator_that_does_not_answer_is_an_error_in_time():
    port = free_port()
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port} within 1 seconds"):
        join_processes(
            coordinator_address=f"127.0.0.1:{port}", num_processes=2, process_id=1, timeout=1
        )


def test_a_port_in_use_is_an_error_at_once():
    import socket

    with socket.socket() as sock:
        sock.bind(("", 0))
        sock.listen()
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ClusterError, match="another free port"):
            join_processes(coordinator_address=address, num_processes=2, process_id=0, timeout=1)


def test_only_lost_connections_speak_of_other_processes(monkeypatch):
    closed = jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: connection buffers")
    assert lost_process(closed) is None  # one process alone
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert lost_process(closed).startswith("process 1 or its machine ended")
    assert lost_process(full) is None
    assert lost_process(ValueError("gloo")) is None
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    assert lost_process(closed).startswith("one of the other 3 processes")


def test_messages_tell_the_start_from_the_run():
    place = {"address": "10.0.0.1:1234", "count": 2, "index": 1, "timeout": 60}
    aborted, killed = abort_messages(**place, started=False)
    assert "not all 2 processes met at 10.0.0.1:1234 within 60 seconds" in aborted
    assert "this process crashed or was killed" in killed
    aborted, _ = abort_messages(**place, started=True)
    assert "since process 0 (process 0 is the coordinator at 10.0.0.1:1234)" in aborted
    assert "finished work is kept" in aborted
    unknown = abort_messages(address=None, count=None, index=None, timeout=60, started=False)
    assert "not all processes met within 60 seconds" in unknown[0]
