"""The whole way on planted data: order, judgement, resumption, and what is refused."""

import json

import numpy as np
import pytest

from jaxalign.embeddings.record import Embeddings
from jaxalign.learning.selection import evaluation
from jaxalign.learning.selection.select import select
from jaxalign.learning.selection.selection import selection_facts
from jaxalign.learning.selection.task import Task
from jaxalign.learning.selection.wording import describe
from jaxalign.models.card import ModelCard
from jaxalign.report.drawing import canvas
from jaxalign.report.selection.selection_charts import candidates_chart, criteria_chart
from jaxalign.report.selection.selection_page import write_selection

N = 180
SETTINGS = dict(target=60, test=60, draws=2, metrics=("cka",), permutations=199)


def planted():
    """A label that one embedding holds linearly, one as an angle, and the others not."""
    rng = np.random.default_rng(7)
    y = rng.uniform(-np.pi, np.pi, size=N)
    values = {
        "linear": np.c_[y, rng.normal(size=(N, 3))],
        "circle": np.c_[np.cos(4 * y), np.sin(4 * y), np.sign(y), np.sign(np.abs(y) - 1.57)],
        "rotated": np.c_[y + 0.5 * rng.normal(size=N), rng.normal(size=(N, 3))],
        "noise": rng.normal(size=(N, 4)),
        "more noise": rng.normal(size=(N, 4)),
    }
    families = {"linear": "A", "rotated": "A"}
    ids = tuple(f"s{i}" for i in range(N))
    return {
        name: Embeddings(
            x.astype(np.float32),
            ids,
            ModelCard(name, name, families.get(name, name), "3d", True, training_data="angles"),
        )
        for name, x in values.items()
    }, y


def task(y, name="angle", **facts):
    return Task(name, {f"s{i}": float(v) for i, v in enumerate(y)}, **facts)


@pytest.fixture(scope="module")
def candidates():
    return planted()[0]


@pytest.fixture(scope="module")
def labels():
    return planted()[1]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("selection")


@pytest.fixture(scope="module")
def found(candidates, labels, workdir):
    tasks = [task(labels), task(np.abs(labels), "distance")]
    return select(candidates, tasks, **SETTINGS, workdir=workdir)


def test_the_order_is_that_of_what_embeddings_hold(found):
    ranked = found.ranking[found.ranking["task"] == "angle"].set_index("candidate")
    assert ranked.index[0] == "linear"
    assert ranked.loc["linear", "ridge_rank"] == 1
    assert ranked.loc["noise", "distinguishable"]
    assert ranked.loc["linear", "training_data"] == "angles"
    errors = found.errors.query("task == 'angle'").groupby(["probe", "candidate"])["error"].mean()
    assert errors["ridge", "linear"] < 0.05
    assert errors["knn", "circle"] < 0.6 < 0.85 < errors["ridge", "noise"]
    assert errors["knn", "circle"] < errors["ridge", "circle"] - 0.1


def test_the_page_shows_candidates_and_criteria(found, tmp_path):
    page = write_selection(found, tmp_path, version="1").read_text()
    for words in ("choose linear: probe:ridge", "Candidates for angle", "One task left out"):
        assert words in page
    chart = candidates_chart(found, "angle")
    held_out = {t["name"]: t for t in chart.plotly["data"] if t.get("name")}
    ranked = found.ranking[found.ranking["task"] == "angle"]
    assert list(held_out["held out, ridge probe"]["x"]) == pytest.approx(list(ranked["ridge"]))
    assert list(held_out["by the 60 labels seen, ridge probe"]["x"]) == list(ranked["value"])
    chart = criteria_chart(found, "ridge")
    marks = next(t for t in chart.plotly["data"] if t.get("name") == "angle")
    own = found.quality.query("task == 'angle' and truth == 'ridge' and among == 'all candidates'")
    assert sorted(marks["x"]) == pytest.approx(sorted(own["spearman"].dropna()))
    with canvas.style():
        for drawn in (chart, candidates_chart(found, "distance")):
            assert canvas.encode(drawn.draw(), ("svg",))["svg"]


def test_a_page_without_held_out_errors(candidates, labels, tmp_path):
    settings = {**SETTINGS, "test": 0, "target": None, "draws": 1, "rank_by": "label:cka"}
    found = select(candidates, [task(labels)], **settings)
    assert candidates_chart(found, "angle") is None
    assert criteria_chart(found, "ridge") is None
    page = write_selection(found, tmp_path, version="1").read_text()
    assert 'id="table-ranking-angle"' in page
    assert "One task left out" not in page


def test_criteria_are_judged_by_held_out_errors(found):
    quality = found.quality.query("task == 'angle' and truth == 'ridge'").set_index("criterion")
    assert quality.loc["probe:ridge", "spearman"] > 0.6
    assert quality.loc["probe:ridge", "regret"] == 0.0
    assert quality.loc["label:cka", "spearman"] > 0.3
    assert (quality["candidates"] == 5).all()
    assert quality.loc["own:width", "reason"].startswith("orders nothing")
    out = found.leave_one_task_out
    assert set(out["truth"]) == {"ridge", "knn"}
    assert {"angle", "distance", "mean over tasks"} == set(out["task"])


def test_the_record_is_plain_json_and_the_words_name_the_choice(found, workdir):
    path = found.save(workdir)
    facts = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert facts == json.loads(json.dumps(selection_facts(found)))
    assert [t["name"] for t in facts["tasks"]] == ["angle", "distance"]
    assert len(facts["selection"]) == 2 * 5 * len(found.criteria)
    assert len(found.table) == len(found.scores) / 2
    for name in ("selection.parquet", "selection.csv", "ranking.csv", "quality.csv"):
        assert (workdir / name).stat().st_size > 0
    words = describe(found)
    assert "choose linear: probe:ridge 0.0" in words
    assert "trained on angles" in words
    assert "leave one task out" in words


def test_the_same_call_computes_nothing_and_another_label_its_own(
    found, candidates, labels, workdir, monkeypatch
):
    def forbidden(*args, **settings):
        raise AssertionError("computed again")

    tasks = [task(labels), task(np.abs(labels), "distance")]
    with monkeypatch.context() as patched:
        for name in ("alignment_criteria", "cross_validated", "held_out_errors", "log_evidence"):
            patched.setattr(evaluation, name, forbidden)
        again = select(candidates, tasks, **SETTINGS, workdir=workdir)
    assert again.work["computed"] == 0
    assert again.ranking.equals(found.ranking)
    assert again.quality.equals(found.quality)


def test_a_killed_run_resumes_where_it_was(candidates, labels, tmp_path, monkeypatch):
    settings = SETTINGS | {"draws": 1}
    plain = evaluation.held_out_errors
    calls = []

    def dying(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr(evaluation, "held_out_errors", dying)
    monkeypatch.setattr("jaxalign.alignment.resume._SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        select(candidates, [task(labels)], **settings, workdir=tmp_path)
    monkeypatch.setattr(evaluation, "held_out_errors", plain)
    resumed = select(candidates, [task(labels)], **settings, workdir=tmp_path)
    assert resumed.work["reused"] > 8
    whole = select(candidates, [task(labels)], **settings)
    assert resumed.errors.equals(whole.errors)
    assert resumed.scores.equals(whole.scores)


def test_few_labels_are_ranked_and_not_judged(candidates, labels):
    few = {f"s{i}": float(labels[i]) for i in range(60)}
    settings = SETTINGS | {"target": None, "test": 0, "draws": 1}
    with_few = select(candidates, [Task("angle", few)], **settings)
    assert with_few.ranking["candidate"][0] == "linear"
    assert len(with_few.quality) == len(with_few.errors) == 0
    assert "nothing was held out" in describe(with_few)


def test_three_candidates_are_chosen_from_but_not_judged(candidates, labels):
    three = {name: candidates[name] for name in ("linear", "noise", "circle")}
    found = select(three, [task(labels)], **SETTINGS | {"draws": 1})
    assert found.ranking["candidate"][0] == "linear"
    assert found.quality["reason"].str.contains("of at least 4").all()
    assert found.leave_one_task_out["reason"].tolist() == ["not possible: one task"] * 2
    assert "not possible: one task" in describe(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rank_by": "probe:tree"}, "rank_by must be one of probe:linear.*'probe:tree'"),
        ({"metrics": ("cka", "cka")}, "each metric once"),
        ({"metrics": ("nosuch",)}, "unknown metric 'nosuch'"),
        ({"metrics": ("mutual_knn",), "k": 60}, "k=60, n=60"),
        ({"target": 170}, "170 target and 60 test"),
        ({"confidence": 95}, "confidence between 0 and 1: got 199 and 95"),
        ({"permutations": 0}, "permutations must be at least 1"),
    ],
)
def test_bad_settings_are_refused_before_any_work(candidates, labels, change, words):
    with pytest.raises(ValueError, match=words):
        select(candidates, [task(labels)], **SETTINGS | change)


def test_bad_candidates_and_tasks_are_refused(candidates, labels):
    one = {"linear": candidates["linear"]}
    with pytest.raises(ValueError, match="1 candidate, and a choice needs 2"):
        select(one, [task(labels)], **SETTINGS)
    with pytest.raises(ValueError, match="tasks must have different names"):
        select(candidates, [task(labels), task(labels)], **SETTINGS)
    with pytest.raises(ValueError, match="need candidates by data set"):
        select(candidates, [task(labels), task(labels, "b", dataset="other")], **SETTINGS)
    with pytest.raises(ValueError, match=r"no candidates for the data sets \['other'\]"):
        select({"data": candidates}, [task(labels, dataset="other")], **SETTINGS)
    rare = np.zeros(N)
    rare[0] = 1.0
    with pytest.raises(ValueError, match=r"labels of target set \d are equal"):
        select(candidates, [task(rare)], **SETTINGS)
    with pytest.raises(ValueError, match="needs candidates and tasks"):
        select(candidates, [], **SETTINGS)
