import dataclasses
import html.parser
import io
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxalign.archives.atomic import StorageError
from jaxalign.models.card import ModelCard
from jaxalign.report.page import MissingExtraError, write_report
from jaxalign.report.render import render


class Page(html.parser.HTMLParser):
    """Tags, links and texts of a page; complains about tags that do not close."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.texts, self.tags = [], [], set(), [], []
        self.alts = []
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
        if tag == "img":
            self.alts.append(attrs["alt"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
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
    assert all(page.alts)
    assert len(page.alts) == 4


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


def test_the_order_of_the_models_changes_no_figure(fake_alignment, rng):
    alignment = fake_alignment(8, metrics=("cknna",))
    shuffled = alignment.permuted(rng.permutation(8))
    first, second = render(alignment), render(shuffled)
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
    index = write_report(alignment, tmp_path, title=evil)
    page = Page(index.read_text())
    assert page.tags.count("script") == 1
    assert "".join(page.texts).count(evil) > 8
    svg = (tmp_path / "figures/heatmap-mutual_knn.svg").read_text()
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


@pytest.mark.parametrize("count", [1, 2])
def test_few_models_make_a_page(fake_alignment, tmp_path, count):
    index = write_report(fake_alignment(count), tmp_path)
    words = "".join(Page(index.read_text()).texts)
    assert ("needs at least two models" in words) == (count == 1)


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


def test_a_second_report_replaces_the_first_and_leaves_other_files(fake_alignment, tmp_path):
    write_report(fake_alignment(2, metrics=("mutual_knn", "cknna")), tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    write_report(fake_alignment(2, metrics=("cknna",)), tmp_path)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"heatmap-cknna.png", "heatmap-cknna.svg", "pairs-cknna.png", "pairs-cknna.svg",
                     "mine.png"}  # fmt: skip
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_index_is_written_last(fake_alignment, tmp_path, monkeypatch):
    done = []
    replace = os.replace

    def record(source, target):
        done.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    write_report(fake_alignment(2), tmp_path)
    assert done[-1] == "index.html"
    assert len(done) == 10


def test_an_unwritable_place_is_refused_before_drawing(fake_alignment, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(fake_alignment(2), blocked / "report")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named(fake_alignment, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxalign\[report\]'"):
        write_report(fake_alignment(2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pairs_beyond_the_limit_are_counted(fake_alignment, monkeypatch):
    from jaxalign.report import tables

    monkeypatch.setattr(tables, "MAX_PAIRS", 5)
    files = render(fake_alignment(4, metrics=("mutual_knn",)))
    assert "1 further pair" in files["index.html"].decode()
    assert len(pd.read_csv(io.BytesIO(files["table.csv"]))) == 10
