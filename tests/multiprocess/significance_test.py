"""Sampled permutations and intervals are those of one process, however many share the work."""

import numpy as np
import pandas as pd
import pytest

from tests.commands import run_command
from tests.multiprocess.cluster import run_cluster


@pytest.mark.slow
def test_permutations_and_intervals_do_not_depend_on_processes(tmp_path, rng):
    folder, n = tmp_path / "embeddings", 120
    folder.mkdir()
    shared = rng.normal(size=(n, 5))
    for i, name in enumerate("abc"):
        rows = shared @ rng.normal(size=(5, 12)) + (0.5 + i) * rng.normal(size=(n, 12))
        np.save(folder / f"{name}.npy", rows.astype(np.float32))
    words = ["align", f"--embeddings={folder}", "--metrics=mutual_knn,cka,cycle_knn", "--k=7"]
    words += ["--permutations=39", "--confidence=0.9"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    done = run_command(["-m", "jaxalign.launch", *words, f"--workdir={alone}"])
    assert done.returncode == 0, done.stderr
    run_cluster([*words, f"--workdir={together}"])
    one, two = (pd.read_parquet(path / "alignment" / "table.parquet") for path in (alone, together))
    assert one["ci_low"].notna().any()
    assert one["null"].str.contains("permutations").any()
    for column in ("value", "null_mean", "z", "p", "q", "calibrated", "ci_low", "ci_high"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-5, atol=1e-7, err_msg=column)
