"""Two processes embed and align: the same results as one; and again after one of them is killed."""

import itertools
import re
import time

import numpy as np
import pandas as pd
import pytest

import jaxalign as ja
from jaxalign.alignment.graph_cache import GraphCache
from tests.multiprocess.cluster import Cluster, run_cluster

CHEAP = ("composition", "ecfp4", "gaussian-noise")
MODELS = (*CHEAP, "admet-dmpnn-random")
METRICS = ("mutual_knn", "cknna", "dcor")
K, N = 7, 250  # not a multiple of the number of devices
ENDS_WITHIN = 10  # seconds after another process was killed; measured: below one
MEETS_WITHIN = 60  # seconds that processes of a test wait for each other
# Words of the lines that gloo prints of its connections, two of which may run into each other.
GLOO = {"Gloo", "Rank", "is", "connected", "to", "peer", "ranks", "Expected", "number", "of"}
CONFIG = f"""
from ml_collections import config_dict

def get_config():
    config = config_dict.ConfigDict()
    config.title = "Killed and resumed"
    config.dataset = config_dict.create(name="qm9", path="", n={N}, seed=3, elements=())
    config.models = {CHEAP}
    config.layer = config_dict.placeholder(str)
    config.pooling = config_dict.placeholder(str)
    config.metrics = {METRICS}
    config.k = {K}
    config.normalize = config_dict.placeholder(str)
    config.tile_size = config_dict.placeholder(int)
    return config
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The result of one process."""
    structures = ja.load_dataset("qm9", n=N, seed=3)
    embeddings = {model: ja.embed(model, structures) for model in MODELS}
    workdir = tmp_path_factory.mktemp("alone")
    return ja.align(embeddings, metrics=METRICS, k=K, workdir=workdir), workdir


@pytest.fixture
def words(tmp_path):
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    return ["run", f"--config={config}", f"--workdir={tmp_path / 'w'}"]


def plain(label):
    return re.sub("-[0-9a-f]{12}$", "", label)


def assert_same_result(workdir, alone):
    """Scores to 1e-6, neighbor ids to the bit."""
    expected, folder = alone
    found = ja.load(workdir)
    labels = {plain(label): label for label in found.models}
    for metric in METRICS:
        left, right = found.matrix(metric), expected.matrix(metric)
        for a, b in itertools.product(labels, labels):
            value = float(left.sel(model_a=labels[a], model_b=labels[b]))
            wanted = float(right.sel(model_a=a, model_b=b))
            assert value == pytest.approx(wanted, rel=1e-6, abs=1e-9), (metric, a, b)
    assert (found.table["n"] == N).all()
    graphs = [GraphCache(path / "alignment" / "graphs") for path in (workdir, folder)]
    for model, name in labels.items():
        stated = [a.diagnostics["graph_keys"][m] for a, m in ((found, name), (expected, model))]
        for settings in stated[1]:
            mine, theirs = (g.get(k[settings], k=K)[0] for g, k in zip(graphs, stated, strict=True))
            np.testing.assert_array_equal(mine.ids, theirs.ids)


def computed(stderr):
    """Embedding rows and neighbor graphs that a run says it computed."""
    if "nothing was computed again" in stderr:
        return 0, 0
    said = re.search(r"computed ([\d,]+) embedding rows, (\d+) neighbor graphs", stderr)
    return int(said[1].replace(",", "")), int(said[2])


def test_embed_and_align_give_what_one_process_gives(alone, tmp_path):
    workdir = f"--workdir={tmp_path / 'w'}"
    embed = ["embed", f"--models={','.join(MODELS)}", "--dataset=qm9", f"--n={N}", "--seed=3"]
    first, second = run_cluster([*embed, workdir])
    assert [line.split(":")[0] for line in first.stdout.splitlines()] == list(MODELS)
    align = ["align", f"--embeddings={tmp_path / 'w' / 'embeddings'}", f"--k={K}"]
    third, fourth = run_cluster([*align, f"--metrics={','.join(METRICS)}", workdir])
    assert f"cknna, n={N}, k={K}:" in third.stdout
    assert_same_result(tmp_path / "w", alone)
    # One process speaks, and a good end is a quiet one.
    assert second.stdout == fourth.stdout == ""
    for result in (second, fourth):
        assert set(re.findall("[A-Za-z]+", result.stderr)) <= GLOO, result.stderr
    table = pd.read_csv(tmp_path / "w" / "alignment" / "table.csv")
    assert len(table) == len(alone[0].table)


@pytest.mark.parametrize(
    ("victim", "processes"), [(1, 1), pytest.param(0, 2, marks=pytest.mark.slow)]
)
def test_kill_and_resume(alone, words, tmp_path, victim, processes):
    workdir = tmp_path / "w"
    # Something is finished then: a store of embeddings, or a graph.
    finished = "embeddings/ecfp4-*/*" if victim else "alignment/graphs/*.json"
    with Cluster(words) as cluster:
        cluster.wait_until(lambda: any(workdir.glob(finished)))
        results = kill(cluster, victim)
    assert not (workdir / "alignment" / "table.parquet").exists()
    check_ends(results, victim)
    again = run_cluster(words, processes=processes)[0]
    rows, graphs = computed(again.stderr)
    assert rows < len(CHEAP) * N
    assert victim or (rows == 0 and graphs < len(CHEAP))
    assert_same_result(workdir, alone)
    assert (workdir / "report" / "index.html").exists()


@pytest.mark.slow
def test_twenty_kills_at_random_moments(alone, words, tmp_path, rng):
    flags = words[:-1]
    began = time.monotonic()
    run_cluster([*flags, f"--workdir={tmp_path / 'whole'}"])
    duration = time.monotonic() - began
    for number in range(20):
        workdir = tmp_path / str(number)
        again = [*flags, f"--workdir={workdir}"]
        victim, moment = int(rng.integers(2)), rng.uniform(0.1, 1) * duration
        with Cluster(again) as cluster:
            limit = time.monotonic() + moment
            while time.monotonic() < limit and cluster.alive(victim):
                time.sleep(0.01)
            results = kill(cluster, victim)
        check_random_ends(results, victim, finished=(workdir / "alignment" / "table.csv").exists())
        run_cluster(again, processes=int(rng.integers(1, 3)))
        assert_same_result(workdir, alone)


def check_random_ends(results, victim, *, finished):
    """As `check_ends`, also before the processes have met, and after the result is written."""
    other = results[1 - victim]
    if results[victim].code == 0 or (other.code == 0 and finished):
        return
    assert other.code != 0
    assert other.last_line.startswith("error"), other.stderr
    assert other.ended - results[victim].ended < ENDS_WITHIN + MEETS_WITHIN


def kill(cluster, victim):
    """Kills one process; what all leave behind."""
    cluster.kill(victim)
    return cluster.finish()


def check_ends(results, victim):
    """The killed and the other process say what happened, and the other one ends soon."""
    other = results[1 - victim]
    assert results[victim].code == -9
    wanted = f"error (process {victim}): this process crashed or was killed"
    assert results[victim].last_line.startswith(wanted)
    assert other.code != 0
    assert other.last_line.startswith(f"error (process {1 - victim}): ")
    assert f"process {victim}" in other.last_line
    assert "with the same command: finished work is kept" in other.last_line
    assert other.ended - results[victim].ended < ENDS_WITHIN
