"""A sweep over two processes: both measure every point, the first alone writes."""

from pathlib import Path

import pandas as pd
import pytest

from tests.multiprocess.cluster import run_cluster

CONFIG = Path(__file__).parents[2] / "configs" / "scaling.py"
SMALL = (
    *(f"--config.base.{size}" for size in ("n=96", "d=8", "models=3", "k=4")),
    *(f"--config.vary.{size}=()" for size in ("n", "d", "models", "k", "tile_size")),
    *("--config.parts=('search','pairs')", "--config.weak=()", "--config.repeats=1"),
)


@pytest.mark.slow
def test_both_measure_and_one_writes(tmp_path):
    words = ["sweep", f"--config={CONFIG}", f"--workdir={tmp_path / 'w'}", *SMALL]
    first, second = run_cluster(words, timeout=120)
    assert "table: " in first.stdout
    assert "table: " not in second.stdout
    table = pd.read_parquet(tmp_path / "w" / "scaling" / "table.parquet")
    assert sorted(set(table["devices"])) == [2, 4]
    assert set(table["processes"]) == {2}
    assert set(table["part"]) == {"search", "pairs"}
    assert len(list((tmp_path / "w" / "scaling" / "points").iterdir())) == 4
