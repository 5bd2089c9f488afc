"""All pairs through one engine call: the same numbers as single pairs, resumed by content."""

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import jaxalign as ja
import tests.oracles as oracles
from jaxalign.alignment.results import COLUMNS, ResultError

METRICS = ("mutual_knn", "cknna", "cknna:platonic")
K = 8


def models(rng, n=120):
    x, y = oracles.related_pair(rng, n, 12, 12)
    return {"a": x, "b": y, "noise": rng.normal(size=(n, 12)).astype(np.float32)}


def align(data, **options):
    return ja.align(data, **({"metrics": METRICS, "k": K} | options))


def test_pairs_equal_the_dense_oracles(rng):
    data = models(rng)
    rows = {name: oracles.l2_rows(x) for name, x in data.items()}
    result = align(data)
    dense = (oracles.mutual_knn, oracles.cknna_formula, oracles.cknna_platonic)
    for metric, oracle in zip(METRICS, dense, strict=True):
        matrix = result.matrix(metric)
        for a in data:
            for b in data:
                expected = oracle(rows[a], rows[b], K)
                found = float(matrix.sel(model_a=a, model_b=b))
                assert found == pytest.approx(expected, abs=1e-6), (metric, a, b)


def test_one_call_equals_single_pairs_exactly(rng):
    data = models(rng)
    result = align(data)
    single = ja.metrics.mutual_knn(data["a"], data["b"], k=K)
    assert float(result.matrix("mutual_knn").sel(model_a="a", model_b="b")) == float(single)
    single = ja.metrics.cknna(data["a"], data["noise"], k=K)
    joint = float(result.matrix("cknna").sel(model_a="a", model_b="noise"))
    assert joint == pytest.approx(float(single), rel=1e-12)


def test_table_has_every_column_and_every_pair(rng):
    table = align(models(rng), seed=3).table
    assert tuple(table.columns) == COLUMNS
    counts = table.groupby("metric").size()
    # The platonic variant is directed: both orders.
    assert dict(counts) == {"mutual_knn": 6, "cknna": 6, "cknna:platonic": 9}
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)
    assert set(table["seed"]) == {3}
    assert set(table["variant"]) == {"", "formula", "platonic"}
    assert table["versions"].str.contains(r"jaxlib=\d").all()


def test_default_k_is_each_metrics_own_and_k_may_be_a_mapping(rng):
    data = models(rng)
    by_default = ja.align(data, metrics=METRICS).diagnostics["metrics"]
    assert [by_default[m]["k"] for m in METRICS] == [10, 25, 25]
    mixed = ja.align(data, metrics=METRICS[:2], k={"cknna": K})
    assert mixed.diagnostics["metrics"]["mutual_knn"]["k"] == 10
    # One graph of k = 10 serves both: its prefix is the graph of 8.
    assert mixed.diagnostics["work"]["graphs_computed"] == 3
    np.testing.assert_allclose(mixed.matrix("cknna"), align(data).matrix("cknna"), rtol=1e-12)


def test_contributions_average_to_the_score(rng):
    data = models(rng)
    result = align(data)
    rows = result.contributions("mutual_knn", "a", "b")
    assert rows.shape == (120,)
    score = float(result.matrix("mutual_knn").sel(model_a="a", model_b="b"))
    assert rows.mean() == pytest.approx(score, rel=1e-12)
    a, b = (oracles.mask(oracles.l2_rows(data[m]), K) for m in "ab")
    np.testing.assert_allclose(rows, (a * b).sum(1) / K)
    with pytest.raises(ValueError, match="cknna is not a mean over structures"):
        result.contributions("cknna", "a", "b")


def test_second_call_computes_nothing_and_one_more_model_costs_its_own_pairs(rng, tmp_path):
    data = models(rng)
    first = align(data, workdir=tmp_path)
    work = first.diagnostics["work"]
    assert (work["graphs_computed"], work["pairs_computed"]) == (3, 6 + 6 + 9)
    again = align(data, workdir=tmp_path).diagnostics["work"]
    assert (again["graphs_computed"], again["pairs_computed"]) == (0, 0)
    assert (again["graphs_reused"], again["pairs_reused"]) == (3, 21)
    more = align(data | {"new": rng.normal(size=(120, 12)).astype(np.float32)}, workdir=tmp_path)
    assert more.diagnostics["work"]["graphs_computed"] == 1
    assert more.diagnostics["work"]["pairs_computed"] == 4 + 4 + 7
    for metric in METRICS:
        old = more.matrix(metric).sel(model_a=list(data), model_b=list(data))
        np.testing.assert_array_equal(old, first.matrix(metric))


def test_changed_inputs_are_never_taken_from_the_store(rng, tmp_path):
    data = models(rng)
    align(data, workdir=tmp_path)
    changed = data | {"a": data["a"].copy()}
    changed["a"][0, 0] += 0.5
    result = align(changed, workdir=tmp_path)
    assert result.diagnostics["work"]["graphs_computed"] == 1
    np.testing.assert_array_equal(result.matrix("cknna"), align(changed).matrix("cknna"))
    grouped = align(data, workdir=tmp_path, groups=np.arange(120) // 2)
    assert grouped.diagnostics["work"]["graphs_computed"] == 3
    other = align(data, workdir=tmp_path, normalize="max_abs_row")
    assert other.diagnostics["work"]["graphs_computed"] == 3


def test_damaged_stored_graph_is_computed_again(rng, tmp_path):
    data = models(rng)
    first = align(data, workdir=tmp_path)
    folders = [f for f in (tmp_path / "alignment" / "graphs").iterdir() if f.is_dir()]
    for folder, damage in zip(folders, ("empty", "half", "one bit"), strict=True):
        file = next(folder.glob("*.centered.npy"))
        raw = bytearray(file.read_bytes())
        raw[-1] ^= damage == "one bit"
        size = {"empty": 0, "half": len(raw) // 2}.get(damage, len(raw))
        file.write_bytes(raw[:size])
    (tmp_path / "alignment" / "terms.json").write_text('{"half')
    again = align(data, workdir=tmp_path)
    assert again.diagnostics["work"]["graphs_computed"] == 3
    np.testing.assert_array_equal(again.matrix("cknna"), first.matrix("cknna"))


def test_load_gives_back_what_was_saved(rng, tmp_path):
    result = align(models(rng), workdir=tmp_path)
    loaded = ja.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.table, result.table)
    for metric in METRICS:
        xr.testing.assert_identical(loaded.matrix(metric), result.matrix(metric))
        assert loaded.metadata(metric)["title"] == result.metadata(metric)["title"]
    rows = loaded.contributions("mutual_knn", "a", "noise")
    np.testing.assert_array_equal(rows, result.contributions("mutual_knn", "a", "noise"))
    with xr.open_dataset(tmp_path / "alignment" / "matrices.nc") as file:
        np.testing.assert_array_equal(file["cknna"], result.matrix("cknna"))
    csv = pd.read_csv(tmp_path / "alignment" / "table.csv")
    np.testing.assert_allclose(csv["value"], result.table["value"])


def test_interrupted_or_absent_results_are_not_trusted(rng, tmp_path):
    with pytest.raises(ResultError, match=r"no alignment in .*alignment\.json is missing"):
        ja.load(tmp_path)
    align(models(rng), workdir=tmp_path)
    table = tmp_path / "alignment" / "table.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(ResultError, match="interrupted or the file was changed"):
        ja.load(tmp_path)


def embeddings(values, ids, name="m"):
    card = ja.ModelCard(id=name, name=name, family="", modality="", pretrained=True)
    return ja.Embeddings(values, tuple(ids), card)


def test_models_are_matched_by_id_not_by_position(rng):
    data = models(rng)
    ids = [f"s{i}" for i in range(120)]
    order = rng.permutation(120)
    shuffled = {
        "a": embeddings(data["a"], ids),
        "b": embeddings(data["b"][order], [ids[i] for i in order]),
    }
    result = align(shuffled)
    plain = align({name: data[name] for name in "ab"})
    np.testing.assert_array_equal(result.matrix("cknna"), plain.matrix("cknna"))
    assert result.diagnostics["matching"]["reordered"] == ["b"]


def test_intersection_of_ids_is_reported_loudly(rng):
    data = models(rng)
    ids = [f"s{i}" for i in range(120)]
    pair = {"a": embeddings(data["a"], ids), "b": embeddings(data["b"][20:], ids[20:])}
    with pytest.warns(UserWarning, match=r"the 100 ids they share; rows left out: \{'a': 20\}"):
        result = align(pair)
    assert result.diagnostics["n"] == 100
    plain = align({"a": data["a"][20:], "b": data["b"][20:]})
    np.testing.assert_array_equal(result.matrix("cknna"), plain.matrix("cknna"))
    with pytest.raises(ValueError, match="no sample id in common"):
        align({"a": pair["a"], "b": embeddings(data["b"], [f"t{i}" for i in range(120)])})


def test_groups_by_sequence_and_by_id(rng):
    data = models(rng)
    groups = np.arange(120) // 3
    by_row = align(data, groups=groups)
    by_id = align(data, groups={str(i): f"g{g}" for i, g in enumerate(groups)})
    np.testing.assert_array_equal(by_row.matrix("mutual_knn"), by_id.matrix("mutual_knn"))
    assert by_row.diagnostics["grouped"]
    assert float(abs(by_row.matrix("cknna") - align(data).matrix("cknna")).max()) > 0


def test_nonfinite_rows_end_dropped_or_as_nan(rng):
    data = models(rng)
    data["b"][[5, 7], 2] = np.nan
    with pytest.raises(ValueError, match=r"'b' holds NaN or infinity in 2 of 120 rows: '5', '7'"):
        align(data)
    keep = np.delete(np.arange(120), [5, 7])
    dropped = align(data, on_nonfinite="drop")
    clean = align({name: x[keep] for name, x in data.items()})
    np.testing.assert_array_equal(dropped.matrix("cknna"), clean.matrix("cknna"))
    assert "5" not in dropped.diagnostics["ids"]
    kept = align(data, on_nonfinite="nan")
    assert np.isnan(kept.matrix("cknna").sel(model_a="b")).all()
    assert not np.isnan(kept.matrix("cknna").sel(model_a="a", model_b="noise"))
    reasons = kept.metadata("cknna")["reasons"]
    assert "b: 2 non-finite rows" in reasons["a – b"]


def test_a_constant_model_is_nan_with_a_reason_and_loses_no_other_pair(rng):
    data = models(rng) | {"constant": np.ones((120, 12), np.float32)}
    result = align(data)
    assert np.isnan(result.matrix("cknna").sel(model_a="a", model_b="constant"))
    assert "constant: all rows are equal" in result.metadata("cknna")["reasons"]["a – constant"]
    assert np.isnan(result.matrix("mutual_knn").sel(model_a="constant", model_b="constant"))
    assert np.isfinite(result.matrix("cknna").sel(model_a="a", model_b="b"))
    facts = result.diagnostics["models"]["constant"]["l2/inner"]
    assert facts["duplicate_rows"] == 120
    assert facts["tie_fraction"] == 1.0


def test_equal_rows_of_one_normalization_do_not_block_another(rng):
    from jaxalign.alignment import engine
    from jaxalign.alignment.inputs import collect_inputs
    from jaxalign.alignment.plan import MetricPlan
    from jaxalign.alignment.state import State
    from jaxalign.metrics.registry import METRICS

    # One direction, lengths 5·2ⁱ: bit-equal rows after L2 normalization, different rows before.
    data = {
        "ray": np.outer(2.0 ** np.arange(-30, 30), [3.0, 4.0]).astype(np.float32),
        "x": rng.normal(size=(60, 4)).astype(np.float32),
    }
    inputs = collect_inputs(data, ids=None, groups=None, on_nonfinite="error")
    state = State(inputs, folder=None, tile_size=64, memory_budget=2**30, progress=False)
    plans = [
        MetricPlan(METRICS["mutual_knn"], 5, normalize, "inner") for normalize in ("l2", "none")
    ]
    found = {(s.plan.normalize, s.a, s.b): s for s in engine.run(state, plans)}
    assert np.isfinite(found["none", "ray", "x"].value)
    assert np.isnan(found["l2", "ray", "x"].value)
    assert found["l2", "ray", "x"].reason.startswith("ray: all rows are equal")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ("cknn",)}, "unknown metric 'cknn', did you mean 'cknna'"),
        ({"metrics": "cknna"}, "metrics must be a sequence"),
        ({"metrics": ()}, "at least one"),
        ({"metrics": ("cknna", "cknna")}, "each metric once"),
        ({"k": 120}, "k must be smaller .* got k=120, n=120; pass k <= 119"),
        ({"k": {"dcor": 3}}, "k names metrics that are not computed"),
        ({"k": 1}, "cknna: k must be at least 2"),
        ({"normalize": "l7"}, "unknown normalization 'l7'"),
        ({"on_nonfinite": "ignore"}, "on_nonfinite must be one of"),
        ({"groups": [1, 2]}, "one label a row of the first model: got 2, wanted 120"),
        ({"groups": {"0": 1}}, "no label for 119 ids"),
        ({"ids": ["x"] * 120}, "ids must be unique"),
        ({"tile_size": 0}, "tile_size must be a positive integer: got 0"),
    ],
)
def test_bad_arguments_are_named(rng, change, message):
    with pytest.raises(ValueError, match=message):
        align(models(rng), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": np.zeros((119, 3), np.float32)}, "equal length: got .*'b': 119"),
        ({"b": np.zeros((120, 3), np.int32)}, "embeddings of 'b' must be a floating-point array"),
        ({"b": np.zeros((120, 3), object)}, "got dtype object"),
    ],
)
def test_bad_arrays_are_named(rng, change, message):
    with pytest.raises(ValueError, match=message):
        align(models(rng) | change)
    with pytest.raises(ValueError, match="labels must differ as text"):
        align({1: models(rng)["a"], "1": models(rng)["b"]})
    with pytest.raises(ValueError, match="at least 2 models"):
        align({"a": models(rng)["a"]})


def test_read_only_workdir_is_refused_before_any_work(rng, tmp_path, monkeypatch):
    from jaxalign.alignment import start as module
    from jaxalign.archives.atomic import StorageError

    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder is wanted")
    monkeypatch.setattr(module, "State", lambda *a, **k: pytest.fail("work was started"))
    with pytest.raises(StorageError, match="cannot write"):
        align(models(rng), workdir=blocked)


def test_saved_facts_are_plain_json(rng, tmp_path):
    align(models(rng), workdir=tmp_path)
    record = json.loads(pathlib.Path(tmp_path / "alignment" / "alignment.json").read_text())
    assert record["diagnostics"]["n"] == 120
    assert set(record["cards"]) == {"a", "b", "noise"}
