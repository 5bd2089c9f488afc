"""Every metric through one engine call: equal to its public function, resumed, explained."""

import numpy as np
import pytest

import jaxalign as ja
import tests.oracles as oracles
from jaxalign import metrics
from jaxalign.alignment import gram_scores, graph_scores, rank_scores
from jaxalign.alignment.results import ResultError
from jaxalign.alignment.state import block_pairs, covering
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import METRICS

N, K = 120, 8
KS = {name: K for name, metric in METRICS.items() if metric.default_k and not name.startswith("id")}
KS |= {"id:mle": 20, "id:gride": 16}

PUBLIC = {
    "mutual_knn": lambda x, y: metrics.mutual_knn(x, y, k=K),
    "cycle_knn": lambda x, y: metrics.cycle_knn(x, y, k=K),
    "jaccard_knn": lambda x, y: metrics.jaccard_knn(x, y, k=K),
    "lcs_knn": lambda x, y: metrics.lcs_knn(x, y, k=K),
    "edit_knn": lambda x, y: metrics.edit_knn(x, y, k=K),
    "cknna": lambda x, y: metrics.cknna(x, y, k=K),
    "cknna:platonic": lambda x, y: metrics.cknna(x, y, k=K, variant="platonic"),
    "cka": lambda x, y: metrics.cka(x, y),
    "cka:biased": lambda x, y: metrics.cka(x, y, debiased=False),
    "cka:rbf": lambda x, y: metrics.cka(x, y, kernel="rbf"),
    "cka:rbf:biased": lambda x, y: metrics.cka(x, y, kernel="rbf", debiased=False),
    "dcor": lambda x, y: metrics.distance_correlation(x, y),
    "dcor:v": lambda x, y: metrics.distance_correlation(x, y, debiased=False),
    "information_imbalance": lambda x, y: metrics.information_imbalance(x, y, k=K),
    "rsa": lambda x, y: metrics.rsa(x, y),
    "rsa:spearman": lambda x, y: metrics.rsa(x, y, correlation="spearman"),
    "procrustes": lambda x, y: metrics.procrustes(x, y),
    "procrustes:angular": lambda x, y: metrics.procrustes(x, y, angular=True),
    "cca": lambda x, y: metrics.cca(x, y),
    "svcca": lambda x, y: metrics.svcca(x, y),
    "pwcca": lambda x, y: metrics.pwcca(x, y),
    "reconstruction": lambda x, y: metrics.reconstruction_error(x, y),
    "idcor": lambda x, y: metrics.idcor(x, y),
    "id:twonn": lambda x, _: metrics.intrinsic_dimension(x),
    "id:mle": lambda x, _: metrics.intrinsic_dimension(x, method="mle", k=20),
    "id:gride": lambda x, _: metrics.intrinsic_dimension(x, method="gride", k=16),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(np.random.SeedSequence().entropy)
    x, y = oracles.related_pair(rng, N, 12, 12)
    return {"a": x, "b": y, "noise": rng.normal(size=(N, 12)).astype(np.float32)}


@pytest.fixture(scope="module")
def everything(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    return ja.align(data, metrics=tuple(METRICS), k=KS, workdir=folder), folder


def test_every_metric_is_public_and_none_is_forgotten():
    assert set(PUBLIC) == set(METRICS)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_engine_equals_the_public_function(data, everything, name):
    matrix = everything[0].matrix(name)
    second = "a" if isinstance(METRICS[name], ModelMetric) else "b"
    score = PUBLIC[name](data["a"], data["b"])
    assert score.metric == name
    found = float(matrix.sel(model_a="a", model_b=second))
    assert found == pytest.approx(float(score), rel=1e-6, abs=1e-9)
    if not isinstance(METRICS[name], ModelMetric):
        back = PUBLIC[name](data["b"], data["a"])
        found = float(matrix.sel(model_a="b", model_b="a"))
        assert found == pytest.approx(float(back), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [m for m in PUBLIC if not m.startswith("id:")])
def test_metadata_holds_on_the_result(everything, name):
    metric, matrix = METRICS[name], everything[0].matrix(name)
    values = matrix.values
    assert np.isfinite(values).all()
    assert (values >= metric.low - 1e-9).all()
    assert (values <= metric.high + 1e-9).all()
    if metric.symmetric:
        np.testing.assert_array_equal(values, values.T)
    related = float(matrix.sel(model_a="a", model_b="b"))
    unrelated = float(matrix.sel(model_a="a", model_b="noise"))
    assert (related > unrelated) == metric.is_similarity
    facts = everything[0].metadata(name)
    assert facts["definition"].endswith((".", "²"))
    assert facts["title"]


def test_second_call_computes_nothing(data, everything):
    _, folder = everything
    again = ja.align(data, metrics=tuple(METRICS), k=KS, workdir=folder)
    work = again.diagnostics["work"]
    assert (work["graphs_computed"], work["pairs_computed"], work["sweeps"]) == (0, 0, 0)
    for name in METRICS:
        np.testing.assert_array_equal(again.matrix(name), everything[0].matrix(name))
    assert again.diagnostics["estimates"] == everything[0].diagnostics["estimates"]


def test_a_call_that_computes_nothing_writes_no_terms(data, everything):
    _, folder = everything
    files = {path: path.stat().st_mtime_ns for path in (folder / "alignment" / "terms").iterdir()}
    ja.align(data, metrics=tuple(METRICS), k=KS, workdir=folder)
    assert len(files) > 10
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_one_more_model_costs_its_own_row_and_column(data, everything, monkeypatch, rng):
    result, folder = everything
    seen = {}
    for module, name in (
        (gram_scores, "gram_terms"),
        (rank_scores, "rank_sums"),
        (graph_scores, "graph_pair_terms"),
    ):
        original = getattr(module, name)

        def spy(*args, _original=original, _name=name, **options):
            pairs = len(args[1]) if _name == "graph_pair_terms" else options["new"]
            seen.setdefault(_name, []).append(pairs)
            return _original(*args, **options)

        monkeypatch.setattr(module, name, spy)
    more = data | {"new": rng.normal(size=(N, 12)).astype(np.float32)}
    grown = ja.align(more, metrics=tuple(METRICS), k=KS, workdir=folder)
    work = grown.diagnostics["work"]
    # One search for each of the graphs that the metrics read: cosine, and Euclidean.
    assert work["graphs_computed"] == 2
    symmetric = [m for m in METRICS.values() if m.symmetric and not isinstance(m, ModelMetric)]
    directed = [m for m in METRICS.values() if not m.symmetric and not isinstance(m, ModelMetric)]
    # Sweeps sum the new model's row and column alone.
    assert set(map(tuple, seen["gram_terms"])) == {(3,)}
    assert seen["rank_sums"] == [[3]]
    # Four pairs hold the new model (its own among them), and three more in the other order.
    assert sum(seen["graph_pair_terms"]) == 4 + 3
    assert len(symmetric) + len(directed) == len(METRICS) - 3
    for name in METRICS:
        old = grown.matrix(name).sel(model_a=list(data), model_b=list(data))
        np.testing.assert_array_equal(old, result.matrix(name))


def test_several_k_share_one_graph(data):
    several = ja.align(data, metrics=("cknna", "mutual_knn"), k=(3, K))
    assert several.diagnostics["work"]["graphs_computed"] == 3
    for k in (3, K):
        alone = ja.align(data, metrics=("cknna", "mutual_knn"), k=k)
        for name in alone.metrics:
            np.testing.assert_array_equal(several.matrix(name, k=k), alone.matrix(name))
    assert several.metadata("cknna", k=3)["k"] == 3
    rows = several.contributions("mutual_knn", "a", "b", k=3)
    expected = float(several.matrix("mutual_knn", k=3).sel(model_a="a", model_b="b"))
    assert rows.mean() == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"computed for k=\[3, 8\]: got k=4"):
        several.matrix("cknna", k=4)


def test_k_beyond_any_graph_goes_by_thresholds(rng, monkeypatch, tmp_path):
    from jaxalign.alignment import plan

    x, y = oracles.related_pair(rng, N, 12, 12)
    names = ("mutual_knn", "cknna")
    listed = ja.align({"x": x, "y": y}, metrics=names, k=(20, 40))
    monkeypatch.setattr(plan, "MAX_GRAPH_K", 10)
    monkeypatch.setattr(graph_scores, "MAX_GRAPH_K", 10)
    options = {"metrics": names, "k": (5, 20, 40), "workdir": tmp_path}
    masked = ja.align({"x": x, "y": y}, **options)
    assert masked.diagnostics["work"]["sweeps"] == 1
    for name in names:
        for k in (20, 40):
            expected = listed.matrix(name, k=k)
            np.testing.assert_allclose(masked.matrix(name, k=k), expected, rtol=1e-6)
    assert ja.align({"x": x, "y": y}, **options).diagnostics["work"]["sweeps"] == 0
    with pytest.raises(ValueError, match="cknna:platonic: k must be at most 10: got k=20"):
        ja.align({"x": x, "y": y}, metrics=("cknna:platonic",), k=20)


def test_contributions_of_ranks_need_the_embeddings(data, everything):
    result, folder = everything
    rows = result.contributions("information_imbalance", "a", "noise")
    score = float(result.matrix("information_imbalance").sel(model_a="a", model_b="noise"))
    assert rows.mean() == pytest.approx(score, rel=1e-12)
    with pytest.raises(ResultError, match=r"embeddings of .noise., which a loaded"):
        ja.load(folder).contributions("information_imbalance", "a", "noise")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_broken_model_loses_no_other_pair(data, bad):
    broken = data | {"broken": data["a"].copy()}
    broken["broken"][5, 3] = bad
    names = ("cknna", "dcor", "information_imbalance", "cca", "id:twonn")
    result = ja.align(broken, metrics=names, k=K, on_nonfinite="nan")
    for name in names:
        matrix = result.matrix(name)
        if name == "id:twonn":
            assert np.isnan(matrix.sel(model_a="broken", model_b="broken"))
            assert np.isfinite(matrix.sel(model_a="a", model_b="a"))
            continue
        assert np.isnan(matrix.sel(model_a="broken")).all()
        assert np.isfinite(matrix.sel(model_a="a", model_b="b"))
        assert "1 non-finite rows" in result.metadata(name)["reasons"]["a – broken"]


def test_a_constant_model_is_nan_with_a_reason_in_every_metric(data):
    constant = data | {"constant": np.full((N, 12), 3.25, np.float32)}
    result = ja.align(constant, metrics=tuple(METRICS), k=KS)
    for name, metric in METRICS.items():
        matrix = result.matrix(name)
        other = "constant" if isinstance(metric, ModelMetric) else "a"
        assert np.isnan(float(matrix.sel(model_a="constant", model_b=other))), name
        reasons = result.metadata(name)["reasons"]
        assert any("constant" in where and why for where, why in reasons.items()), name
        if not isinstance(metric, ModelMetric):
            assert np.isfinite(matrix.sel(model_a="a", model_b="b")), name


@pytest.mark.parametrize("normalize", ["l2", "max_abs_row", "standardize"])
def test_normalization_and_similarity_are_chosen_and_recorded(data, normalize):
    names = ("mutual_knn", "dcor", "cca")
    result = ja.align(data, metrics=names, k=K, normalize=normalize)
    assert set(result.table["normalization"]) == {normalize}
    found = float(result.matrix("dcor").sel(model_a="a", model_b="b"))
    single = metrics.distance_correlation(data["a"], data["b"], normalize=normalize)
    assert found == pytest.approx(float(single), rel=1e-9)


def test_similarity_orders_the_neighbors(data):
    by = {
        s: ja.align(data, metrics=("mutual_knn",), k=K, similarity=s).matrix("mutual_knn")
        for s in ("cosine", "euclidean")
    }
    default = ja.align(data, metrics=("mutual_knn",), k=K).matrix("mutual_knn")
    np.testing.assert_array_equal(by["cosine"], default)
    raw = ja.align(
        data, metrics=("mutual_knn",), k=K, similarity="euclidean", normalize="none"
    ).matrix("mutual_knn")
    ids = [oracles.knn(x, K, "euclidean") for x in data.values()]
    shared = np.mean([len(set(p) & set(q)) / K for p, q in zip(ids[0], ids[1], strict=True)])
    assert float(raw.sel(model_a="a", model_b="b")) == pytest.approx(shared)
    with pytest.raises(ValueError, match="'cosine' normalizes rows by 'l2'"):
        ja.align(data, metrics=("mutual_knn",), similarity="cosine", normalize="none")
    with pytest.raises(ValueError, match="unknown similarity 'dot'"):
        ja.align(data, metrics=("mutual_knn",), similarity="dot")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_budget": "lots"}, "not an amount of memory: 'lots'"),
        ({"memory_budget": "10KB"}, "at least 1 MiB"),
        ({"k": (3, 3)}, "name each k once"),
        ({"k": {"cknna": 600}, "metrics": ("cknna",)}, "k must be smaller"),
        ({"k": 1, "metrics": ("cknna:platonic",)}, "k must be at least 2"),
    ],
)
def test_bad_settings_are_named_before_any_work(data, options, message):
    with pytest.raises(ValueError, match=message):
        ja.align(data, **({"metrics": ("mutual_knn",)} | options))


@pytest.mark.slow
def test_small_budget_changes_no_result(data, everything):
    more = {f"{name}{i}": x for i in range(3) for name, x in data.items()}
    names = ("cknna", "dcor", "cca", "reconstruction", "information_imbalance")
    large = ja.align(more, metrics=names, k=K)
    small = ja.align(more, metrics=names, k=K, memory_budget="1MiB")
    for name in names:
        np.testing.assert_allclose(small.matrix(name), large.matrix(name), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_graphs_beyond_the_budget_go_to_a_temporary_folder(rng):
    models = {f"m{i}": rng.normal(size=(800, 4)).astype(np.float32) for i in range(4)}
    options = {"metrics": ("mutual_knn",), "k": 64}
    small = ja.align(models, memory_budget="1MiB", **options)
    assert not small.graphs._memory
    np.testing.assert_array_equal(
        small.matrix("mutual_knn"), ja.align(models, **options).matrix("mutual_knn")
    )
    assert small.contributions("mutual_knn", "m0", "m1").shape == (800,)


def test_blocks_hold_every_pair():
    for count, size in ((1, 1), (5, 1), (7, 2), (60, 7), (4, 9)):
        pairs = {tuple(sorted((i, j))) for p, q in block_pairs(count, size) for i in p for j in q}
        assert pairs == {(i, j) for i in range(count) for j in range(i, count)}
        assert all(len(set(p) | set(q)) <= 2 * size for p, q in block_pairs(count, size))


def test_new_models_cover_what_is_missing():
    assert covering([("c", "c"), ("a", "c"), ("b", "c")], "abc") == [2]
    assert covering([("a", "b")], "abc") == [1]
    assert covering([], "abc") == []


def test_saturated_correlations_carry_a_warning(rng):
    wide = {name: rng.normal(size=(30, 40)).astype(np.float32) for name in "ab"}
    result = ja.align(wide, metrics=("cca", "dcor"))
    assert float(result.matrix("cca").sel(model_a="a", model_b="b")) == pytest.approx(1.0)
    warning = result.diagnostics["warnings"]["cca"]["a – b"]
    assert warning.startswith("all canonical correlations are 1")
    assert "dcor" not in result.diagnostics["warnings"]


def test_gride_bends_its_default_to_few_structures_and_mle_refuses(rng):
    few = {name: rng.normal(size=(40, 6)).astype(np.float32) for name in "ab"}
    result = ja.align(few, metrics=("id:gride", "id:twonn"))
    assert result.metadata("id:gride")["k"] == 39
    values = [np.diag(result.matrix(name)) for name in result.metrics]
    np.testing.assert_allclose(*values, rtol=0.06)  # one estimator but for (N − 1)/N
    with pytest.raises(ValueError, match=r"id:mle: k must be smaller .* got k=50, n=40"):
        ja.align(few, metrics=("id:mle",))
