"""What the report reads from an alignment: one plain host-side view a metric."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float

from jaxalign.models.card import ModelCard
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import RELATIONS, Spread, relation, spread

_TESTED = ("null_mean", "z", "q", "null")  # columns of the table
FIGURES = "figures"  # folder of the pictures, beside the page


@runtime_checkable
class AlignmentLike(Protocol):
    """The part of `jaxalign.alignment.results.Alignment` that the report uses."""

    table: pd.DataFrame
    metrics: tuple[str, ...]
    cards: Mapping[str, ModelCard]
    diagnostics: Mapping[str, Any]

    def matrix(self, metric: str) -> Any:
        """Scores of all pairs, an `xarray.DataArray` [model_a, model_b]; `k=` where several are."""

    def metadata(self, metric: str) -> Mapping[str, Any]:
        """Title, range, direction, definition and null of a metric."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair of models; `a` and `b` are row numbers of the view."""

    a: int
    b: int
    relation: str
    value: float


@dataclasses.dataclass(frozen=True, eq=False)
class MetricView:
    """All scores of one metric with what is needed to draw and to read them.

    Attributes:
      metric: metric id.
      title: name for people.
      axis: axis label with unit, e.g. `"mutual kNN overlap (share of k = 10 neighbors)"`.
      definition: formula in words.
      similarity: larger means more alike.
      symmetric: value(a, b) = value(b, a).
      best: the score of a perfect match.
      k: neighbors per row, or None.
      null: expected value for independent representations, or None.
      normalization: how rows were normalised, or "".
      nan_reasons: (where, reason) of cells that are not computed.
      ids: model ids, one a row of `values`.
      cards: one card a model.
      values: `[m, m]` float64; NaN where not computed.
      q: `[m, m]` false-discovery values of the scores; NaN where none was tested.
      z: `[m, m]` standard deviations from the null towards more alike; NaN likewise.
      chance: expected scores under the null of every tested pair.
      null_kind: how the null was found; "" where there is none.
      half: `[m, m]` half the width of the confidence intervals; NaN where there is none.
    """

    metric: str
    title: str
    axis: str
    definition: str
    similarity: bool
    symmetric: bool
    best: float
    k: int | None
    null: float | None
    normalization: str
    nan_reasons: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]
    cards: tuple[ModelCard, ...]
    values: Float[np.ndarray, "m m"]
    q: Float[np.ndarray, "m m"]
    z: Float[np.ndarray, "m m"]
    chance: Float[np.ndarray, " tested"]
    null_kind: str
    half: Float[np.ndarray, "m m"]

    @property
    def slug(self) -> str:
        """The metric id as part of a file name."""
        return labels.slug(self.metric)

    @functools.cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of different models, a < b; of directed metrics both directions."""
        m = len(self.ids)
        return tuple(
            Pair(a, b, relation(self.cards[a], self.cards[b]), float(self.values[a, b]))
            for a in range(m)
            for b in range(m)
            if a < b or (a > b and not self.symmetric)
        )

    @functools.cached_property
    def spreads(self) -> dict[str, Spread]:
        """Summary of every group of pairs that occurs, in the order of `RELATIONS`."""
        groups = {name: [p.value for p in self.pairs if p.relation == name] for name in RELATIONS}
        return {name: spread(np.array(group)) for name, group in groups.items() if group}

    @functools.cached_property
    def tested(self) -> tuple[Float[np.ndarray, " tests"], Float[np.ndarray, " tests"]]:
        """Q and z of all tested scores, a symmetric one once."""
        known = ~np.isnan(self.q)
        known = np.triu(known) if self.symmetric else known
        return self.q[known], self.z[known]

    @property
    def floor(self) -> float | None:
        """Noise floor: the mean over pairs with noise; None if no such pair was computed."""
        noise = self.spreads.get("noise")
        return noise.mean if noise and noise.count else None


def metric_views(alignment: AlignmentLike) -> list[MetricView]:
    """All metrics of pairs, in the order of the run, for every k that they were computed for."""
    settings = alignment.diagnostics.get("metrics") or {}
    views = []
    for metric in alignment.metrics:
        if alignment.metadata(metric).get("of_single_models"):
            continue
        ks = (settings.get(metric) or {}).get("k")
        views += [view(alignment, metric, k=k) for k in (ks if isinstance(ks, list) else [None])]
    return views


def first_view(views: Sequence[MetricView]) -> MetricView:
    """The metric that a reader sees first: mutual kNN, or the first of the run."""
    return next((found for found in views if found.metric == "mutual_knn"), views[0])


def view(alignment: AlignmentLike, metric: str, *, k: int | None = None) -> MetricView:
    """Reads one metric of an alignment into host arrays.

    Args:
      alignment: the alignment.
      metric: metric id, one of `alignment.metrics`.
      k: which k, of a metric that was computed for several; None means the first.

    Returns:
      The view; models without a card get one that states nothing but their id.
    """
    chosen = {} if k is None else {"k": k}
    matrix, facts = alignment.matrix(metric, **chosen), alignment.metadata(metric, **chosen)
    ids = tuple(str(name) for name in matrix.coords["model_a"].values)
    values = np.array(matrix.sel(model_b=list(ids)).values, np.float64)
    title = str(facts.get("title") or metric)
    title = title[:1].upper() + title[1:]
    k = None if facts.get("k") is None else int(facts["k"])
    return MetricView(
        metric=metric,
        title=title,
        axis=str(facts.get("axis") or _axis(metric, title, k)),
        definition=str(facts.get("definition") or ""),
        similarity=bool(facts.get("similarity", True)),
        symmetric=bool(facts.get("symmetric", True)),
        best=_best(facts),
        k=k,
        null=_number(facts.get("null")),
        normalization=str(facts.get("normalization") or ""),
        nan_reasons=_reasons(facts.get("nan_reasons") or facts.get("reasons")),
        ids=ids,
        cards=tuple(alignment.cards.get(name) or blank_card(name) for name in ids),
        values=values,
        **_significance(alignment, metric, ids=ids, k=k, symmetric=facts.get("symmetric", True)),
    )


def _significance(
    alignment: AlignmentLike, metric: str, *, ids: tuple[str, ...], k: int | None, symmetric: bool
) -> dict[str, Any]:
    """The fields of `MetricView` about nulls, from the table."""
    rows = alignment.table[alignment.table["metric"] == metric]
    if k is not None and "k" in rows:
        rows = rows[rows["k"] == k]
    if not set(_TESTED) <= set(rows.columns):
        nothing = np.full((len(ids), len(ids)), np.nan)
        fields = dict.fromkeys(("q", "z", "half"), nothing)
        return fields | {"chance": np.empty(0), "null_kind": ""}
    rows = rows.assign(half=(rows["ci_high"] - rows["ci_low"]) / 2)
    found = {name: _as_matrix(rows, name, ids, symmetric) for name in ("q", "z", "half")}
    rows = rows[rows["z"].notna()]
    # "57 permutations" and "999 permutations" are one kind: sampling stops when it is decided.
    kinds = ", ".join(dict.fromkeys(rows["null"].str.replace(_COUNT, "sampled ", regex=True)))
    return found | {"chance": rows["null_mean"].to_numpy(float), "null_kind": kinds}


def _as_matrix(
    rows: pd.DataFrame, name: str, ids: tuple[str, ...], symmetric: bool
) -> Float[np.ndarray, "m m"]:
    """One column of the table, rows read towards columns; NaN where there is no row."""
    place = {model: i for i, model in enumerate(ids)}
    a, b = (rows[side].map(place).to_numpy(int) for side in ("model_a", "model_b"))
    matrix = np.full((len(ids), len(ids)), np.nan)
    if symmetric:
        matrix[b, a] = rows[name]
    matrix[a, b] = rows[name]
    return matrix


def blank_card(model_id: str) -> ModelCard:
    """Card of a model of which nothing is stated, e.g. a plain array."""
    return ModelCard(id=model_id, name=model_id, family="", modality="", pretrained=True)


_COUNT = r"^\d+ (?=permutations)"


def _axis(metric: str, title: str, k: int | None) -> str:
    if metric == "mutual_knn" and k is not None:
        return f"mutual kNN overlap (share of k = {k} neighbors)"
    return title if k is None else f"{title} (k = {k})"


def _best(facts: Mapping[str, Any]) -> float:
    limits = facts.get("range")
    stated = _number(facts.get("best"))
    stated = _number(limits[1]) if stated is None and limits is not None else stated
    return 1.0 if stated is None else stated


def _number(value: Any) -> float | None:
    """A finite float, else None."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def _reasons(reasons: Any) -> tuple[tuple[str, str], ...]:
    """(where, reason) lines of a mapping or list; pairs of ids become "a – b"."""
    if not reasons:
        return ()
    if isinstance(reasons, str):
        return (("", reasons),)
    items = reasons.items() if isinstance(reasons, Mapping) else (("", item) for item in reasons)
    return tuple(
        (" – ".join(map(str, where)) if isinstance(where, tuple) else str(where), str(reason))
        for where, reason in items
    )
