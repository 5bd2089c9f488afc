import base64
import dataclasses
import html.parser
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxalign.archives.atomic import StorageError
from jaxalign.models.card import ModelCard
from jaxalign.report.html.html_page import render_page
from jaxalign.report.page import write_report
from jaxalign.report.render import render
from jaxalign.report.vocabulary.views import Chart, View


class Page(html.parser.HTMLParser):
    """Tags, links and texts of a page; complains about tags that do not close."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.texts, self.tags = [], [], set(), [], []
        self.alts = []
        self.data = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        if "id" in attrs:
            assert attrs["id"] not in self.ids
            self.ids.add(attrs["id"])
        if attrs.get("role") == "img":
            self.alts.append(attrs["aria-label"])
        self.script = attrs.get("id") if attrs.get("type") == "application/json" else None

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"] and self.script:
            self.data[self.script] = json.loads(data)
        if self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)


@pytest.fixture(scope="module")
def written(fake_alignment, tmp_path_factory):
    alignment = fake_alignment(12)
    return alignment, write_report(alignment, tmp_path_factory.mktemp("report"))


def test_every_link_leads_somewhere_and_nothing_needs_the_network(written):
    _, index = written
    page = Page(index.read_text())
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif link != "data:,":
            assert (index.parent / link).is_file()
    assert "http" not in "".join(page.links)
    assert "default-src 'none'" in index.read_text()
    assert all(page.alts)
    assert {f"chart-{name}" for name in page.data["data-charts"]} <= page.ids
    assert len(page.alts) == len(page.data["data-charts"])
    assert {path.name for path in index.parent.iterdir()} == {
        "index.html", "table.csv", "table.parquet"}  # fmt: skip


def test_every_model_and_fact_is_named(written):
    alignment, index = written
    words = "".join(Page(index.read_text()).texts)
    for name, card in alignment.cards.items():
        assert name in words
        assert card.training_data in words
    assert alignment.diagnostics["dataset"]["content_hash"] in words
    for fact in ("k = 10", "l2", "float32", "highest", "512", "cpu:0", "jax 0.10.1"):
        assert fact in words
    assert alignment.diagnostics["command"] in words
    assert "unparsable SMILES 'C1CC'" in words
    assert "no significance test" in words


def test_the_summary_states_the_numbers(written):
    alignment, index = written
    words = " ".join(Page(index.read_text()).texts)
    ids, scores = list(alignment.cards), alignment.scores["mutual_knn"]
    across = {
        (a, b): scores[a, b]
        for a in range(12)
        for b in range(a)
        if alignment.cards[ids[a]].pretrained
        and alignment.cards[ids[b]].pretrained
        and alignment.cards[ids[a]].modality != alignment.cards[ids[b]].modality
    }
    assert f"across modalities: {np.mean(list(across.values())):.3f} on average" in words
    best = max(across, key=across.get)
    assert {ids[i] for i in best} <= set(
        words.split("Strongest pair")[1].split(" with ")[0].split()
    )
    assert "0.0100 (k = 10, n = 1,000)" in words


def test_the_csv_is_the_tidy_table(written):
    alignment, index = written
    table = pd.read_csv(index.parent / "table.csv")
    assert list(table.columns) == list(alignment.table.columns)
    np.testing.assert_allclose(table["value"], alignment.table["value"])
    exact = pd.read_parquet(index.parent / "table.parquet")
    pd.testing.assert_frame_equal(exact, alignment.table)


def test_the_order_of_the_models_changes_no_figure(fake_alignment, rng):
    alignment = fake_alignment(8, metrics=("cknna",))
    shuffled = alignment.permuted(rng.permutation(8))
    first, second = (render(one, figures=["svg"]) for one in (alignment, shuffled))
    heatmap = "figures/heatmap-cknna.svg"
    assert first[heatmap] == second[heatmap]
    assert first["figures/pairs-cknna.svg"] == second["figures/pairs-cknna.svg"]


def test_hostile_names_are_text(fake_alignment, tmp_path):
    evil = "<script>alert(1)</script>\"'&$x$ onload=1"
    alignment = fake_alignment(3, metrics=("mutual_knn",))
    cards = list(alignment.cards.values())
    cards[0] = dataclasses.replace(
        cards[0], id=evil, name=evil, family=evil, modality=evil, training_data=evil, citation=evil
    )
    diagnostics = {
        **alignment.diagnostics,
        "dataset": evil,
        "command": evil,
        "skipped": [{"id": evil, "reason": evil}],
        "unseen_inputs": {evil: evil},
        "failed_models": {evil: evil},
    }
    facts = {"mutual_knn": {**alignment.facts["mutual_knn"], "reasons": {evil: evil}}}
    alignment = dataclasses.replace(
        alignment, cards={c.id: c for c in cards}, diagnostics=diagnostics, facts=facts
    )
    index = write_report(alignment, tmp_path, title=evil, figures=["svg"])
    page = Page(index.read_text())
    assert page.tags.count("script") == 6
    assert "".join(page.texts).count(evil) > 8
    assert evil in [model["id"] for model in page.data["data-explorer"]["datasets"][0]["models"]]
    charts = json.dumps(page.data["data-charts"])
    assert "&lt;script" in charts
    assert "<script" not in charts  # plotly reads tags
    svg = (tmp_path / "figures/heatmap-mutual_knn.svg").read_text()
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


@pytest.mark.parametrize("count", [1, 2])
def test_few_models_make_a_page(fake_alignment, tmp_path, count):
    index = write_report(fake_alignment(count), tmp_path)
    words = "".join(Page(index.read_text()).texts)
    assert ("it needs two models" in words) == (count == 1)


def test_a_page_without_any_value_says_so(fake_alignment, tmp_path):
    alignment = fake_alignment(3, metrics=("mutual_knn",))
    alignment.scores["mutual_knn"][:] = np.nan
    words = "".join(Page(write_report(alignment, tmp_path).read_text()).texts)
    assert "No pair of different models has a value" in words


def test_bare_diagnostics_and_absent_cards_are_enough(fake_alignment, tmp_path):
    alignment = fake_alignment(3, metrics=("mutual_knn",))
    blank = {name: ModelCard(name, name, "", "", True) for name in alignment.cards}
    bare = dataclasses.replace(alignment, cards=blank, diagnostics={"n": 50})
    words = "".join(Page(write_report(bare, tmp_path).read_text()).texts)
    assert "50 structures were embedded by 3 models." in words


def test_an_empty_alignment_is_refused_clearly(fake_alignment):
    with pytest.raises(ValueError, match="at least one metric and one model"):
        render(fake_alignment(2, metrics=()))


def test_nested_diagnostics_of_the_engine_are_read(fake_alignment, tmp_path):
    alignment = fake_alignment(2, metrics=("mutual_knn",))
    models = {
        name: {"l2/inner": {**facts, "duplicate_rows": 900, "duplicate_groups": 4}}
        for name, facts in alignment.diagnostics["models"].items()
    }
    nested = dataclasses.replace(alignment, diagnostics={**alignment.diagnostics, "models": models})
    words = "".join(Page(write_report(nested, tmp_path).read_text()).texts)
    assert "900 of 1,000 structures share their embedding with another one (4 groups)" in words


def test_what_embeddings_took_is_a_table_of_its_own(fake_alignment, tmp_path):
    alignment = fake_alignment(2, metrics=("mutual_knn",))
    work = {"m0": "2,000 rows at 166 a second", "m1": "2,000 rows reused"}
    facts = {**alignment.diagnostics, "embedding": work}
    page = render(dataclasses.replace(alignment, diagnostics=facts))["index.html"].decode()
    table = page[page.index('id="table-embedding-work"') :].partition("</table>")[0]
    for words in (*work, *work.values()):
        assert words in table
    facts = page[page.index('id="table-run-facts"') :].partition("</table>")[0]
    assert "2,000 rows" not in facts


def test_a_second_report_replaces_the_first_and_leaves_other_files(fake_alignment, tmp_path):
    write_report(fake_alignment(2, metrics=("mutual_knn", "cknna")), tmp_path, figures=["png"])
    figures = tmp_path / "figures"
    assert {path.name for path in figures.glob("*.png")} == {
        "heatmap-mutual_knn.png", "heatmap-cknna.png", "pairs-mutual_knn.png", "pairs-cknna.png"
    }  # fmt: skip
    (figures / "mine.png").write_bytes(b"mine")
    write_report(fake_alignment(2, metrics=("cknna",)), tmp_path, figures=["pdf", "svg"])
    names = {path.name for path in figures.iterdir() if not path.name.startswith(".")}
    assert names == {"heatmap-cknna.pdf", "heatmap-cknna.svg", "pairs-cknna.pdf", "pairs-cknna.svg",
                     "mine.png"}  # fmt: skip
    write_report(fake_alignment(2, metrics=("cknna",)), tmp_path)
    assert [path.name for path in figures.iterdir()] == ["mine.png"]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_unknown_figures_are_refused_before_anything_is_written(fake_alignment, tmp_path):
    with pytest.raises(ValueError, match=r"as png, svg, pdf: got \['gif'\]"):
        write_report(fake_alignment(2), tmp_path / "out", figures=["png", "gif"])
    assert not list((tmp_path / "out").iterdir())


def test_index_is_written_last(fake_alignment, tmp_path, monkeypatch):
    done = []
    replace = os.replace

    def record(source, target):
        done.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    write_report(fake_alignment(2), tmp_path)
    assert done == ["table.csv", "table.parquet", "index.html"]


def test_an_unwritable_place_is_refused_before_drawing(fake_alignment, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(fake_alignment(2), blocked / "report")


WITHOUT_EXTRA = """
import importlib, sys
from jaxalign.types import MissingExtraError
for package in ("matplotlib", "jinja2", "plotly"):
    sys.modules[package] = None
    for page in ("page", "comparison.comparison_page", "selection.selection_page",
                 "scaling.scaling_page"):
        try:
            importlib.import_module(f"jaxalign.report.{page}")
        except MissingExtraError as error:
            assert package in str(error) and "pip install 'jaxalign[report]'" in str(error)
        else:
            raise AssertionError((package, page))
    del sys.modules[package]
sys.modules["matplotlib"] = None
from jaxalign.launch.select import _write_page
_write_page(None, None)  # its tables are the result: it says why there is no page
"""


def test_a_missing_extra_is_named_whatever_is_imported():
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no page: the report needs matplotlib, jinja2, plotly" in done.stderr


def unpacked(metric, name, m):
    """Matrix of one column of the explorer, by the rule that its docstring states."""
    packed = metric["columns"][name]
    size = m * (m + 1) // 2 if metric["symmetric"] else m * m
    if not isinstance(packed, str):
        return np.full((m, m), np.nan if packed is None else packed)
    values = np.frombuffer(base64.b64decode(packed), "<f4")
    assert len(values) == size
    if not metric["symmetric"]:
        return values.reshape(m, m)
    matrix = np.empty((m, m))
    at = iter(values)
    for i in range(m):
        for j in range(i, m):
            matrix[i, j] = matrix[j, i] = next(at)
    return matrix


def test_the_matrix_holds_every_score_of_every_data_set(fake_alignment):
    metrics = ("mutual_knn", "information_imbalance")
    alignments = {"qm9": fake_alignment(5, metrics=metrics), "a b": fake_alignment(3, seed=1)}
    alignments["qm9"].scores["mutual_knn"][1, 3] = alignments["qm9"].scores["mutual_knn"][3, 1] = (
        np.nan
    )
    page = Page(render(alignments)["index.html"].decode())
    datasets = page.data["data-explorer"]["datasets"]
    assert [found["name"] for found in datasets] == ["qm9", "a b"]
    for found, alignment in zip(datasets, alignments.values(), strict=True):
        m = len(alignment.cards)
        assert [model["id"] for model in found["models"]] == list(alignment.cards)
        for metric in found["metrics"]:
            scores = alignment.scores[metric["id"]]
            if metric["symmetric"]:
                scores = np.triu(scores) + np.triu(scores, 1).T
            np.testing.assert_allclose(unpacked(metric, "value", m), scores, rtol=1e-6)
            assert np.isnan(unpacked(metric, "q", m)).all()
            assert sorted(metric["order"]) == list(range(m))
    assert "2 data sets" in "".join(page.texts)
    assert {"qm9", "a b"} <= set(page.texts)


def test_claims_come_first_with_their_verdicts_in_words(fake_alignment):
    tests = [("T1", "supported", 0.5), ("T2", "not supported", -0.5), ("T2", "supported", 0.1),
             ("T3", "not testable here", math.nan)]  # fmt: skip
    claims = pd.DataFrame(
        {
            **{"claim": name, "statement": f"{name} is so", "tested": "a mean", "models": "10"},
            **{"data": "qm9", "n": 2000, "estimate": estimate, "low": estimate - 0.1},
            **{"high": estimate + 0.1, "p": 0.0123, "verdict": verdict, "covers": "all"},
        }
        for name, verdict, estimate in tests
    )
    page = render(fake_alignment(3, metrics=("mutual_knn",)), claims=claims)["index.html"].decode()
    overview = page[page.index('id="overview"') : page.index('id="matrix"')]
    badges = re.findall(r'class="badge (\w+)">([^<]+)<', overview)
    assert badges == [("yes", "supported"), ("open", "mixed"), ("open", "not testable here")]
    assert overview.index("T1 is so") < overview.index("What stands out")
    every = page[page.index('<section class="view" id="claims"') :]
    assert "0.400 to 0.600" in every
    assert "−0.600 to −0.400" in every
    assert "0.012" in every
    assert re.findall(r'class="badge (\w+)"', every) == ["yes", "no", "yes", "open"]


def test_a_run_of_another_version_is_named_and_lacks_nothing_else(fake_alignment):
    alignment = fake_alignment(3, metrics=("mutual_knn",))
    versions = {**alignment.diagnostics["versions"], "jaxalign": "0.0.7"}
    facts = {**alignment.diagnostics, "versions": versions}
    words = "".join(
        Page(render(dataclasses.replace(alignment, diagnostics=facts))["index.html"].decode()).texts
    )
    assert "The run was made with jaxalign 0.0.7 and this page with" in words


def test_two_views_of_one_name_are_refused():
    view = View("tree", "Tree", "A tree.")
    with pytest.raises(
        ValueError, match=r"views of a page need names of their own: got \['tree'\]"
    ):
        render_page(title="T", lead="L", views={"": [view], "More": [view]})
    with pytest.raises(ValueError, match=r"got \['overview'\]"):
        render_page(title="T", lead="L", views={"": [View("overview", "O", "")]})


def test_numbers_that_are_no_json_become_null():
    chart = Chart("c", "C", "a", "c", {"data": [{"y": np.array([1.0, np.nan])}], "layout": {}})
    page = render_page(title="T", lead="L", views={"": [View("v", "V", "", (chart,))]})
    assert Page(page.decode()).data["data-charts"]["c"]["data"] == [{"y": [1.0, None]}]
