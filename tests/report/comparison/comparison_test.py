"""What a comparison says, and its page: of numbers made by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.analysis.comparison.beyond import Beyond
from jaxalign.analysis.comparison.compare import Comparison
from jaxalign.analysis.comparison.newcomer import IDENTICAL, SIMILAR
from jaxalign.analysis.comparison.placement import Placement
from jaxalign.analysis.relations.tree import model_tree
from jaxalign.models.card import ModelCard
from jaxalign.report.comparison.comparison_page import write_comparison
from jaxalign.report.comparison.comparison_words import findings, top_table

NASTY = "new <b>$x$</b> & 100 %"


def card(name, family="", modality="", pretrained=True):
    return ModelCard(name, name, family, modality, pretrained)


def row(names, values, p):
    count = len(names)
    values = np.array(values)
    return pd.DataFrame(
        {
            "metric": "cknna",
            "k": pd.array([10] * count, "Int64"),
            "other": names,
            "nearest": [number == 0 for number in range(count)],
            "value": values,
            "ci_low": values - 0.05,
            "ci_high": values + 0.05,
            "difference": values[0] - values,
            "difference_low": values[0] - values - 0.1,
            "difference_high": values[0] - values + 0.1,
            "p": p,
            "p_holm": p,
            "q": p,
            "reason": "",
            "calibrated": values - 0.02,
            "calibrated_low": values - 0.07,
            "calibrated_high": values + 0.03,
            "null_mean": 0.01,
            "null_q": [1e-6] * (count - 1) + [0.6],
        }
    )


@pytest.fixture
def comparison():
    """Three encoders, a descriptor, noise, and a new model with a name that is no markup."""
    cards = [
        card("ani", "ANI", "3d"),
        card("bert", "BERT", "string"),
        card("ani-random", "ANI", "3d", False),
        card("soap", "SOAP", "control", False),
        card("gaussian-noise", "noise", "control", False),
        card(NASTY),
    ]
    names = [c.id for c in cards]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i:]]
    table = pd.DataFrame(pairs, columns=["model_a", "model_b"]).reindex(columns=list(COLUMNS))
    table = table.assign(metric="cknna", k=10, value=0.3, reason="")
    diagnostics = {
        "n": 80,
        "dataset": {"name": "qm9"},
        "versions": {"jaxalign": "0"},
        "grouped": False,
        "metrics": {"cknna": {"k": 10, "normalization": "l2", "similarity": "inner"}},
        "models": {NASTY: {"l2/inner": {"n": 80, "width": 4, "duplicate_rows": 60}}},
    }
    found = row(names[:-1], [0.6, 0.5, 0.4, 0.35, 0.02], [np.nan, 0.004, 1e-5, 1e-6, 1e-9])
    return Comparison(
        name=NASTY,
        alignment=Alignment(table, {c.id: c for c in cards}, diagnostics, GraphCache(None)),
        scores=table[table["model_b"] == NASTY],
        rows={"cknna": found},
        metric="cknna",
        matching={"n": 80, "n_run": 80, "n_new": 80, "by_position": True},
        same={},
    )


def test_the_answer_comes_first_with_its_numbers(comparison):
    said = findings(comparison)
    assert said[0] == (
        f"{NASTY} is closest to ani: CKNNA (k = 10) 0.600, calibrated 0.580, 95 % interval 0.550 "
        "to 0.650."
    )
    assert said[1] == "It is closer to it than to the runner-up bert (0.500), p = 0.004."
    assert "nearest descriptor, soap, reaches 0.350: less than ani (p < 0.001)" in said[2]
    assert "untrained network, ani-random, reaches 0.400" in said[3]
    assert (
        said[4] == "With 4 of 5 models it agrees more than a random relabelling would (q ≤ 0.05)."
    )
    lines = top_table(comparison, 2).splitlines()
    assert lines[0] == "CKNNA (k = 10), n = 80:"
    assert lines[2].split() == [
        "bert",
        "0.500",
        "[0.450,",
        "0.550]",
        "calibrated",
        "0.480",
        "p",
        "=",
        "0.004",
    ]


def test_what_is_not_sure_is_said_so(comparison):
    row = comparison.rows["cknna"].assign(p=[np.nan, 0.4, 0.3, 0.2, 1e-9], null_q=0.9)
    weak = dataclasses.replace(comparison, rows={"cknna": row})
    said = " ".join(findings(weak))
    assert "bert (0.500) is as close as far as 80 structures can tell (p = 0.4)" in said
    assert "soap, reaches 0.350: no less for certain (p = 0.2)" in said
    assert "It agrees with no model more than a random relabelling" in said
    untested = row.assign(p=np.nan, ci_low=np.nan, ci_high=np.nan, calibrated=np.nan)
    said = findings(dataclasses.replace(comparison, rows={"cknna": untested}))
    assert "whether the lead is chance is not known" in said[1]
    assert "interval" not in said[0]


def test_a_control_may_be_nearest(comparison):
    row = comparison.rows["cknna"].assign(value=[0.6, 0.5, 0.4, 0.7, 0.02])
    row["difference"] = 0.6 - row["value"]
    said = " ".join(findings(dataclasses.replace(comparison, rows={"cknna": row})))
    assert "soap, reaches 0.700: more than ani" in said


def test_copies_and_composition_are_told(comparison):
    table = pd.DataFrame(
        {"other": ["ani", "bert"], "raw": 0.6, "raw_calibrated": 0.5, "conditional": 0.1}
    ).assign(calibrated=0.0, p=0.5, reason="")
    beyond = Beyond(table, "composition", 0.2)
    found = dataclasses.replace(comparison, same={"ani": IDENTICAL, "bert": SIMILAR}, beyond=beyond)
    said = findings(found)
    assert said[0] == f"{NASTY} is ani: every number of the rows is the same."
    assert "the same up to rotation and scale" in said[1]
    assert "It agrees with none of its nearest models (ani and bert) beyond composition." in said
    left = dataclasses.replace(beyond, table=table.assign(calibrated=[0.3, 0.0]))
    said = findings(dataclasses.replace(found, beyond=left))
    assert "Beyond composition it still agrees with ani 0.300 (before 0.500), calibrated." in said


def test_page_holds_every_tab_and_no_markup_of_names(comparison, tmp_path):
    names = ["ani", "bert", "other", NASTY]
    scores = np.full((4, 4), 0.3) + np.diag([0.7] * 4)
    coords = {"model_a": names, "model_b": names}
    tree = model_tree(xr.DataArray(scores, coords=coords, dims=("model_a", "model_b")))
    cards = {**comparison.alignment.cards, "other": card("other", "X", "graph")}
    found = dataclasses.replace(
        comparison,
        alignment=dataclasses.replace(comparison.alignment, cards=cards),
        placement=Placement(tree, ("ani",), "ani", 0.1, support=0.85),
    )
    assert "beside ani, as in 85 % of the trees over halves" in " ".join(findings(found))
    page = write_comparison(found, tmp_path)
    words = page.read_text()
    for tab in ("All metrics", "Tree", "The embeddings", "How to read this", "without ids"):
        assert tab in words
    assert "<b>$x$" not in words
    assert len(pd.read_csv(tmp_path / "table.csv")) == len(found.scores)
    alone = dataclasses.replace(comparison, rows={"cknna": comparison.rows["cknna"].iloc[:1]})
    assert "runner-up" not in " ".join(findings(alone))
    write_comparison(alone, tmp_path)
