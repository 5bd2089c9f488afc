"""What processes compare before they start, and flags that do not fit each other."""

import subprocess
import sys

import pytest
from absl import flags
from ml_collections import config_dict

from jaxalign.launch import distributed


@pytest.fixture
def parsed():
    flags.FLAGS.mark_as_parsed()
    yield
    flags.FLAGS.unparse_flags()


def test_facts_are_the_flags_that_decide_results(parsed):
    config = config_dict.create(k=5, dataset=config_dict.create(name="qm9", n=80))
    given = {"config": config, "metrics": ["cka"], "workdir": "/a", "process_id": 1, "profile": "x"}
    facts = distributed._facts("run", given)
    assert facts["verb"] == "run"
    assert facts["--config.dataset.n"] == "80"
    assert facts["--config.k"] == "5"
    assert facts["--metrics"] == "['cka']"
    assert facts["--num_processes"] == "1"
    assert facts["version of jax"]
    assert not {"--config", "--workdir", "--process_id", "--profile"} & set(facts)


@pytest.mark.slow
def test_a_place_that_is_half_known_is_refused(tmp_path):
    words = ["align", f"--embeddings={tmp_path}", f"--workdir={tmp_path}", "--num_processes=2"]
    done = subprocess.run(
        [sys.executable, "-m", "jaxalign.launch", *words],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "--coordinator_address, --num_processes and --process_id belong together" in done.stderr
    assert "Traceback" not in done.stderr
