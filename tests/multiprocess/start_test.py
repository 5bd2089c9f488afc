"""Processes that do not find each other, or were not started alike, end soon and say why."""

import numpy as np
import pytest

from tests.multiprocess.cluster import Cluster, free_port, run_cluster

LATE = 15  # seconds that JAX and a busy machine may add to a time limit


@pytest.fixture
def folders(tmp_path, rng):
    """Two folders with embeddings of the same names and shapes."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            np.save(tmp_path / folder / f"{name}.npy", rng.normal(size=(40, 8)).astype(np.float32))
    return tmp_path


def align(folder, *flags):
    return ["align", f"--embeddings={folder}", f"--workdir={folder.parent / 'w'}", *flags]


@pytest.mark.slow
def test_nobody_answers_at_the_address_or_the_id_is_impossible(folders):
    port = free_port()

    def words(index):
        place = [f"--coordinator_address=127.0.0.1:{port}"], ["--process_id=2"]
        return align(folders / "one", *place[index])

    with Cluster(lambda index: words(1 - index), starting=2) as cluster:
        wrong, alone = cluster.finish(timeout=40)
    assert wrong.code == 1
    assert "the process id must be from 0 to 1" in wrong.stderr
    assert alone.code == 1
    assert alone.stderr.startswith(
        f"error (process 1): no coordinator answered at 127.0.0.1:{port}"
    )
    assert "within 2 seconds" in alone.stderr
    assert "Traceback" not in wrong.stderr + alone.stderr


@pytest.mark.slow
def test_a_coordinator_that_others_do_not_join_ends(folders):
    with Cluster(align(folders / "one"), starting=2, start=[0]) as cluster:
        result = cluster.finish(timeout=30 + LATE)[0]
    assert result.code != 0
    assert result.last_line.startswith("error (process 0): JAX ended this process, since not all 2")
    assert "--coordinator_timeout" in result.last_line


def test_processes_that_differ_in_flags_name_them_with_both_values(folders):
    flags = [["--k=5", "--metrics=mutual_knn"], ["--k=6", "--metrics=mutual_knn"]]
    results = run_cluster(lambda index: align(folders / "one", *flags[index]), check=False)
    for index, result in enumerate(results):
        assert result.code == 1
        assert (
            f"error (process {index}): the processes of this run differ in --k (" in result.stderr
        )
        assert "process 0: ['5'], process 1: ['6']" in result.stderr
        assert "--metrics" not in result.stderr
        assert "Traceback" not in result.stderr
    assert not (folders / "w").exists()


def test_processes_that_see_other_data_stop(folders):
    np.save(folders / "two" / "a.npy", np.load(folders / "one" / "a.npy"))
    names = "one", "two"
    results = run_cluster(lambda index: align(folders / names[index], "--k=5"), check=False)
    for result in results:
        assert result.code == 1
        assert "the processes of this run differ in embeddings of 'b' (process 0: " in result.stderr
        assert "embeddings of 'a'" not in result.stderr
    assert not list((folders / "w").rglob("*.parquet"))


@pytest.mark.slow
def test_an_error_of_one_process_ends_all(folders):
    (folders / "two" / "b.npy").write_bytes(b"no array")
    names = "two", "one"
    # The coordinator fails, which is the harder case: JAX aborts those who outlive it.
    first, second = run_cluster(lambda index: align(folders / names[index]), check=False)
    assert first.code == 1
    assert first.last_line.startswith("error (process 0): ")
    assert "b.npy" in first.last_line
    assert second.code != 0
    assert second.last_line.startswith("error (process 1): ")
    assert "process 0" in second.last_line
    assert second.ended - first.ended < LATE
