"""Stores in an S3 that others have written: moto's server, which is too heavy for the test extra.

Not collected by itself. Run it with

    pip install 'moto[server]'
    python -m pytest tests/embeddings/s3_check.py

or, with moto in an environment of its own, `MOTO_PYTHON=/path/to/python python -m pytest …`.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.embeddings.extract import embed_structures
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.store import open_store
from jaxalign.types import JaxalignError
from tests.embeddings import toys
from tests.embeddings.processes_test import KILLED
from tests.multiprocess.cluster import Cluster, free_port, run_cluster


@pytest.fixture(scope="module")
def environment():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    python = os.environ.get("MOTO_PYTHON", sys.executable)
    command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _make_bucket(url, process)
            yield {
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
            }
        finally:
            process.kill()


def _make_bucket(url, process):
    for _ in range(300):
        if process.poll() is not None:
            pytest.fail(f"moto does not start: {process.stderr.read().decode()[-500:]}")
        try:
            request = urllib.request.Request(f"{url}/bucket", method="PUT")
            return urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail("moto did not answer in 30 seconds")


@pytest.fixture(autouse=True)
def _set(environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_embed_and_align(tmp_path):
    molecules = ja.load_dataset("qm9", n=40, seed=2)
    root = f"s3://bucket/{tmp_path.name}"
    for name in ("atom-count", "composition"):
        here = ja.embed(name, molecules, store=tmp_path / name)
        there = ja.embed(name, molecules, store=f"{root}/{name}")
        np.testing.assert_array_equal(here.values, there.values)
    models = read_embedding_collection(root, in_memory=False)
    local = read_embedding_collection(tmp_path, in_memory=False)
    tables = [ja.align(m, metrics=("mutual_knn", "cka"), k=3).table for m in (models, local)]
    np.testing.assert_array_equal(tables[0]["value"], tables[1]["value"])


def test_no_bucket():
    molecules = ja.load_dataset("qm9", n=4, seed=2)
    with pytest.raises(JaxalignError, match="no bucket"):
        ja.embed("atom-count", molecules, store="s3://nowhere/a")


def test_two_processes_write_and_resume(tmp_path, environment, rng):
    seed, path = int(rng.integers(2**31)), f"s3://bucket/{tmp_path.name}/s"
    with Cluster(KILLED, args=[path, seed], env=environment) as cluster:
        cluster.wait_until(lambda: not cluster.alive(1))
        cluster.kill(0)
    left = open_store(path).pending()
    assert 0 < len(left) < 11
    code = KILLED.replace("process_id == 1", "process_id == 7")
    both = run_cluster(code + "    print(sum(written))\n", args=[path, seed], env=environment)
    assert sum(int(r.stdout) for r in both) == sum(start for start, _ in left)
    structures = toys.strings(103, seed)
    alone = embed_structures(toys.toy(), structures, chunk_rows=10, progress=False)
    np.testing.assert_allclose(open_store(path).load().values, alone.values, rtol=1e-6)
    assert Location(path).names("commits") == []
