"""Traces name the stages of the work."""

import gzip
import json

import jax.numpy as jnp

from jaxalign.profiling.traces import stage, trace


def test_stages_appear_in_the_trace(tmp_path):
    with trace(tmp_path / "t"), stage("search"):
        (jnp.ones(8) + 1).block_until_ready()
    files = list((tmp_path / "t").rglob("*.trace.json.gz"))
    assert len(files) == 1
    with gzip.open(files[0]) as file:
        events = json.load(file)["traceEvents"]
    assert "jaxalign search" in {event.get("name") for event in events}
    assert list((tmp_path / "t").rglob("*.xplane.pb"))


def test_without_a_folder_nothing_is_traced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trace(None), stage("search"):
        pass
    assert not list(tmp_path.iterdir())
