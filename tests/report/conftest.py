"""A small stand-in for an alignment, with the attributes that the report reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxalign.models.card import ModelCard

_GROUPS = (
    ("ani-1x", "ANI", "3d", True),
    ("rxnfp", "BERT", "string", True),
    ("dmpnn-admet", "D-MPNN", "graph", True),
    ("ani-1x-random", "ANI", "3d", False),
    ("gaussian-noise", "noise", "control", False),
    ("ecfp4", "fingerprint", "control", False),
)
_TITLES = {
    "mutual_knn": "Mutual kNN",
    "cknna": "CKNNA",
    "information_imbalance": "Information imbalance",
}


@dataclasses.dataclass
class FakeAlignment:
    """Attributes as in `jaxalign.alignment.results.Alignment`."""

    metrics: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    cards: Mapping[str, ModelCard]
    diagnostics: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def table(self) -> pd.DataFrame:
        ids = list(self.cards)
        rows = [
            {
                "dataset": "qm9", "model_a": a, "model_b": b, "metric": metric, "variant": "",
                "value": self.scores[metric][i, j], "calibrated": np.nan, "p": np.nan, "q": np.nan,
                "ci_low": np.nan, "ci_high": np.nan, "n": self.diagnostics["n"], "k": 10,
                "normalization": "l2", "dtype": "float32", "precision": "highest", "seed": 0,
                "versions": "jax 0.10.1",
            }
            for metric in self.metrics
            for i, a in enumerate(ids)
            for j, b in enumerate(ids)
            if i <= j or not self.facts[metric].get("symmetric", True)
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def matrix(self, metric: str) -> xr.DataArray:
        ids = list(self.cards)
        return xr.DataArray(
            self.scores[metric],
            dims=("model_a", "model_b"),
            coords={"model_a": ids, "model_b": ids},
            name=metric,
        )

    def metadata(self, metric: str) -> dict[str, Any]:
        return dict(self.facts[metric])

    def permuted(self, order: np.ndarray) -> FakeAlignment:
        ids = list(self.cards)
        scores = {name: value[np.ix_(order, order)] for name, value in self.scores.items()}
        cards = {ids[i]: self.cards[ids[i]] for i in order}
        return dataclasses.replace(self, scores=scores, cards=cards)


def _cards(count: int, *, prefix: str) -> dict[str, ModelCard]:
    cards = {}
    for number in range(count):
        name, family, modality, pretrained = _GROUPS[number % len(_GROUPS)]
        model_id = f"{prefix}{name}-{number // len(_GROUPS)}"
        cards[model_id] = ModelCard(
            id=model_id,
            name=f"{name} number {number // len(_GROUPS)}",
            family=family,
            modality=modality,
            pretrained=pretrained,
            width=128 + number,
            parameters=1_000_000 + number,
            training_data="1.1 million molecules",
            symmetry="invariant" if modality == "3d" else "none",
            licence="MIT",
            verified="weights" if pretrained else "none",
            citation="Somebody et al. (2020), Journal 1, 2",
        )
    return cards


def _scores(cards: Mapping[str, ModelCard], rng: np.random.Generator) -> np.ndarray:
    m = len(cards)
    groups = list(cards.values())
    values = np.zeros((m, m))
    for i in range(m):
        for j in range(i + 1):
            a, b = groups[i], groups[j]
            base = 0.25 if a.modality != b.modality else 0.4
            base = 0.6 if a.family == b.family else base
            base = 0.18 if not (a.pretrained and b.pretrained) else base
            noisy = "noise" in (a.family, b.family)
            values[i, j] = values[j, i] = (
                rng.normal(0.01, 0.0008) if noisy else base + rng.normal(0, 0.04)
            )
    np.fill_diagonal(values, 1.0)
    return values


def make_alignment(
    count: int = 12,
    *,
    metrics: tuple[str, ...] = ("mutual_knn", "cknna"),
    prefix: str = "",
    seed: int = 0,
    n: int = 1000,
) -> FakeAlignment:
    """An alignment of `count` models with realistic block structure."""
    rng = np.random.default_rng(seed)
    cards = _cards(count, prefix=prefix)
    scores = {metric: _scores(cards, rng) for metric in metrics}
    facts = {
        metric: {
            "title": _TITLES.get(metric, metric),
            "range": (0.0, 1.0),
            "similarity": metric != "information_imbalance",
            "symmetric": metric != "information_imbalance",
            "definition": "share of the k nearest neighbors of a structure that two models share",
            "k": 10,
            "normalization": "l2",
            "null": 10 / (n - 1) if metric == "mutual_knn" else None,
        }
        for metric in metrics
    }
    models = {
        name: {
            "dtype": "float32",
            "width": card.width,
            "duplicate_rows": 3 * i,
            "duplicate_groups": i,
            "zero_rows": 1 if i == 2 else 0,
            "nonfinite_rows": 0,
            "tie_fraction": 0.002 * i,
            "hubness_skewness": 0.6 + 0.3 * i,
            "antihub_share": 0.01 * i,
        }
        for i, (name, card) in enumerate(cards.items())
    }
    diagnostics = {
        "n": n,
        "models": models,
        "devices": ["cpu:0"],
        "tile_size": 512,
        "precision": "highest",
        "versions": {"jaxalign": "0.1.0", "jax": "0.10.1", "numpy": "2.4.6"},
        "dataset": {"name": "qm9", "content_hash": "a3f1" * 16},
        "skipped": [{"id": "line 17", "reason": "unparsable SMILES 'C1CC'"}],
        "unseen_inputs": {"rxnfp-bert-pretrained": "3 tokens that it does not know"},
        "seconds": {"embed": 61.5, "align": 8.25},
        "n_models_failed": 0,
        "command": "jaxalign run --config=configs/molecules.py --workdir=demo",
    }
    return FakeAlignment(
        metrics=metrics, scores=scores, cards=cards, diagnostics=diagnostics, facts=facts
    )


@pytest.fixture(scope="session", autouse=True)
def small_pages():
    """Pages without plotly.js (5 MB) and further analyses, which the test in a browser has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxalign.report.html.html_page.get_plotlyjs", lambda: "/* plotly.js */")
        patch.setattr("jaxalign.report.render.analysis_views", lambda alignments: [])
        yield


@pytest.fixture(scope="session")
def fake_alignment() -> Callable[..., FakeAlignment]:
    return make_alignment
