"""The sweep as a user meets it: files, resumption, cache and profile flags, errors."""

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.commands import run_command

CONFIG = Path(__file__).parents[2] / "configs" / "scaling.py"
SMALL = (
    *(f"--config.base.{size}" for size in ("n=96", "d=8", "models=3", "k=4")),
    *(f"--config.vary.{size}=()" for size in ("n", "d", "models", "k", "tile_size")),
    *("--config.parts=('pairs',)", "--config.strong=(1,2)", "--config.weak=()"),
    "--config.repeats=1",
)


def sweep(*words, code=0):
    command = ["-m", "jaxalign.launch", "sweep", f"--config={CONFIG}", *words]
    done = run_command(
        command, env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": ""}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_sweep_writes_table_and_figures_and_resumes(tmp_path):
    flags = (f"--compilation_cache={tmp_path / 'cache'}", f"--profile={tmp_path / 'trace'}")
    first = sweep(*SMALL, f"--workdir={tmp_path / 'w'}", *flags)
    folder = tmp_path / "w" / "scaling"
    assert f"table: {folder / 'table.parquet'}" in first.stdout
    assert "programs, in" in first.stderr
    table = pd.read_parquet(folder / "table.parquet")
    assert list(table["devices"]) == [1, 2]
    assert (table["compilations"] > 0).all()
    assert (folder / "scaling.png").exists()
    assert len(list((tmp_path / "trace").rglob("*.xplane.pb"))) == 2
    again = sweep(*SMALL, f"--workdir={tmp_path / 'w'}")
    assert again.stderr.count("finished earlier") == 2
    cached = sweep(*SMALL, f"--workdir={tmp_path / 'v'}", flags[0])
    assert "from the compilation cache" in cached.stderr
    table = pd.read_parquet(tmp_path / "v" / "scaling" / "table.parquet")
    assert (table["compilations"] == 0).all()
    assert (table["read_from_cache"] > 0).all()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.strong=(1,64)", "devices=64: there are 8 devices"),
        pytest.param("--mesh=rows:2", "--mesh has no meaning for a sweep", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_run_is_one_error_and_leaves_nothing(tmp_path, flag, message):
    done = sweep(*SMALL, f"--workdir={tmp_path / 'w'}", flag, code=1)
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert message in done.stderr
    assert not (tmp_path / "w").exists()
