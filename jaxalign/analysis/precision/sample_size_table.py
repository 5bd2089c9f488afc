"""Curves of scores against the number of structures: their limits, and what depends on N."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.archives.atomic import atomic_write
from jaxalign.metrics._definition import GramMetric, PairRankMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.significance.extrapolation import EXPONENTS, LINEAR, extrapolate

FOLDER = "score_curves"
FIXED_K, FIXED_SHARE, NO_K = "fixed k", "fixed k/N", "without k"
POINTS = (
    *("metric", "model_a", "model_b", "rule", "k_full", "n", "k", "draws"),
    *("score", "sd", "null_mean"),
)
_CURVE = ["metric", "rule", "k_full"]
_PAIR = ["model_a", "model_b"]

_PRIOR = 5.0  # degrees of freedom that speak for variances that fall as 1/N

_SURE = 0.999  # correlations beyond it count as this

SAME_ORDER = 0.9
"""Rank correlation of pairs from which on their order counts as the same."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreCurves:
    """Scores against N.

    Attributes:
      table: one row a pair, rule and number of structures: `POINTS`. `k_full` is the k over all
        structures, `score` the mean of `draws` disjoint subsets, `sd` their standard deviation,
        `null_mean` the score of independent models, where it is closed.
      limits: one row a pair and rule: `error` of the score of all structures, `limit`,
        `limit_error`, `exponent`, `model`, `reason` why the limit is not to be trusted.
      orders: one row a metric and rule: Spearman correlation of the pairs' scores at the smallest
        and the largest N, the correlation that errors alone would leave, pairs whose score is on
        the other side of the null by more than two errors at both ends, and the verdict.
      notes: points that do not exist, in words.
    """

    table: pd.DataFrame
    limits: pd.DataFrame
    orders: pd.DataFrame
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: pd.DataFrame, *, notes: tuple[str, ...] = ()) -> ScoreCurves:
        """Curves with limits and verdicts from measured points."""
        table = table.assign(error=_errors(table))
        groups = list(table.groupby(_CURVE, sort=False, dropna=False))
        limits = [
            dict(zip(_CURVE + _PAIR, (*key, *pair), strict=True)) | _limit(key[0], points)
            for key, curves in groups
            for pair, points in curves.groupby(_PAIR, sort=False)
        ]
        orders = [dict(zip(_CURVE, key, strict=True)) | _order(curves) for key, curves in groups]
        return cls(table, pd.DataFrame(limits), pd.DataFrame(orders), notes)

    def to_xarray(self) -> xr.Dataset:
        """Points with the dimensions metric, rule, k_full, n, model_a, model_b (k_full 0: none)."""
        index = [*_CURVE, "n", *_PAIR]
        table = self.table.assign(k_full=self.table["k_full"].fillna(0).astype(np.int64))
        return table.set_index(index)[["score", "sd", "error", "null_mean"]].to_xarray()

    def save(self, workdir: str | Path) -> Path:
        """Writes `score_curves/points|limits|orders` as parquet and CSV; returns the folder.

        Of several processes the first one writes.
        """
        folder = Path(workdir) / FOLDER
        if not is_primary_process():
            return folder
        tables = {"points": self.table, "limits": self.limits, "orders": self.orders}
        for name, table in tables.items():
            with atomic_write(folder / f"{name}.parquet") as file:
                file.write(table.to_parquet(index=False))
            with atomic_write(folder / f"{name}.csv", mode="w") as file:
                table.to_csv(file, index=False)
        return folder

    def summary(self) -> dict[str, Any]:
        """What the report shows, as plain values: verdicts, and three curves of each metric."""
        return {
            "orders": _plain(self.orders),
            "curves": [curve for _, row in self.orders.iterrows() for curve in self._shown(row)],
            "notes": list(self.notes),
        }

    def _shown(self, order: pd.Series) -> list[dict[str, Any]]:
        """Curves of the best, the median and the worst pair at the largest N."""
        limits = self.limits[_same(self.limits, order)].dropna(subset=["score"])
        best_first = not metric_definition(order["metric"]).is_similarity
        limits = limits.sort_values("score", ascending=best_first, kind="stable")
        places = {0: "best", len(limits) // 2: "median", len(limits) - 1: "worst"}
        curves = []
        for place, role in places.items() if len(limits) else ():
            limit = limits.iloc[[place]]
            points = self.table[_same(self.table, order)]
            for side in _PAIR:
                points = points[points[side] == limit[side].iloc[0]]
            columns = points[["n", "k", "score", "error", "null_mean"]]
            curves.append(_plain(limit)[0] | {"role": role, "points": _plain(columns)})
        return curves


def _same(table: pd.DataFrame, order: pd.Series) -> pd.Series:
    """Rows of the curve that an order is about."""
    k = order["k_full"]
    same_k = table["k_full"].isna() if pd.isna(k) else table["k_full"] == k
    return (table["metric"] == order["metric"]) & (table["rule"] == order["rule"]) & same_k


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Records of plain values; None for what is not known."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{name: _scalar(value) for name, value in record.items()} for record in records]


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _errors(table: pd.DataFrame) -> pd.Series:
    """Standard errors of the mean scores: few subsets tell little about one size of one pair.

    The variance of one subset is v g/n, with one v for a pair and one profile g over the sizes for
    all pairs of a metric: 1 where there are few pairs. Of all structures there is one subset alone:
    g is that of the largest size with several.
    """
    freedom = (table["draws"] - 1).clip(lower=0)
    scaled = table["sd"].fillna(0.0) ** 2 * table["n"] * freedom
    curve, pair = ([table[name] for name in names] for names in (_CURVE, _CURVE + _PAIR))
    relative = scaled / _total(scaled, pair) * _total(freedom, pair)
    size = [*curve, table["n"]]
    profile = (_total(relative, size) + _PRIOR) / (_total(freedom, size) + _PRIOR)
    profile = profile.where(freedom > 0).groupby(pair, dropna=False).ffill().fillna(1.0)
    variance = _total(scaled / profile, pair) / _total(freedom, pair)
    return np.sqrt(variance * profile / (table["n"] * table["draws"]))


def _total(values: pd.Series, keys: list[pd.Series]) -> pd.Series:
    """Sums of groups at each of their rows; NaN for those of zero."""
    sums = values.groupby(keys, dropna=False).transform("sum")
    return sums.where(sums > 0)


def _limit(metric: str, points: pd.DataFrame) -> dict[str, Any]:
    definition, last = metric_definition(metric), points.iloc[-1]
    linear = isinstance(definition, GramMetric | PairRankMetric)
    found = extrapolate(
        points["n"].to_numpy(np.int64),
        points["score"].to_numpy(np.float64),
        points["error"].to_numpy(np.float64),
        exponents=LINEAR if linear else EXPONENTS,
        low=definition.low,
        high=definition.high,
    )
    facts = {"n": int(last["n"]), "score": last["score"], "error": last["error"]}
    names = {"error": "limit_error"}
    return facts | {names.get(name, name): value for name, value in found._asdict().items()}


def _order(curves: pd.DataFrame) -> dict[str, Any]:
    """Whether the order of pairs, and their side of the null, depend on N."""
    sizes = sorted(curves["n"].unique())
    ends = [
        curves[curves["n"] == size].set_index(_PAIR).add_suffix(f"_{end}")
        for size, end in ((sizes[0], "small"), (sizes[-1], "large"))
    ]
    both = ends[0].join(ends[1], how="inner")
    both = both.dropna(subset=["score_small", "score_large"])
    facts = {"n_small": int(sizes[0]), "n_large": int(sizes[-1]), "pairs": len(both)}
    correlation = _rank_correlation(both["score_small"], both["score_large"])
    expected = _reliability(both)
    tested, changes = _sign_changes(both)
    return facts | {
        "rank_correlation": correlation,
        "expected_correlation": expected,
        "tested_pairs": tested,
        "sign_changes": changes,
        "depends_on_n": (depends := _depends(correlation, expected, len(both))),
        "verdict": _verdict(correlation, depends, changes),
    }


def _rank_correlation(a: pd.Series, b: pd.Series) -> float:
    if len(a) < 4 or a.nunique() < 2 or b.nunique() < 2:
        return math.nan
    return float(a.rank().corr(b.rank()))


def _reliability(both: pd.DataFrame) -> float:
    """Correlation that errors alone would leave: √ of the shares of variance that are no error."""
    shares = []
    for end in ("small", "large"):
        spread = both[f"score_{end}"].var(ddof=1)
        noise = (both[f"error_{end}"] ** 2).mean()
        shares.append(max(1 - noise / spread, 0.0) if spread > 0 else math.nan)
    return math.sqrt(shares[0] * shares[1]) if shares else math.nan


def _sign_changes(both: pd.DataFrame) -> tuple[int, int]:
    """Pairs with a null, and those on its other side at the other end, by two errors at both."""
    sides = []
    for end in ("small", "large"):
        z = (both[f"score_{end}"] - both[f"null_mean_{end}"]) / both[f"error_{end}"]
        sides.append(z)
    known = sides[0].notna() & sides[1].notna()
    opposite = (np.sign(sides[0]) != np.sign(sides[1])) & known
    clear = (sides[0].abs() > 2) & (sides[1].abs() > 2)
    return int(known.sum()), int((opposite & clear).sum())


def _depends(correlation: float, expected: float, pairs: int) -> bool:
    """Whether the order differs, and by more than errors explain (two errors of Fisher's z)."""
    if not (correlation < SAME_ORDER and expected > correlation):
        return False
    z = [math.atanh(min(max(value, -_SURE), _SURE)) for value in (correlation, expected)]
    return z[1] - z[0] > 2 / math.sqrt(pairs - 3)


def _verdict(correlation: float, depends: bool, changes: int) -> str:
    if math.isnan(correlation):
        return "too few pairs to speak of their order"
    words = "the order of pairs does not depend on N"
    if depends:
        words = "the order of pairs depends on N"
    elif correlation < SAME_ORDER:
        words = "the order of pairs differs no more than errors explain"
    if changes:
        words += f"; {changes} on the other side of the null at the smallest N"
    return words
