"""What a comparison says of a new model, in sentences; and the short answer of the command line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.analysis.comparison.compare import Comparison, nearest_encoders
from jaxalign.analysis.comparison.newcomer import IDENTICAL
from jaxalign.metrics.registry import metric_definition
from jaxalign.report.charts.reading import p_words
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import kind
from jaxalign.significance.p_values import ALPHA

_TOP = 5


def findings(found: Comparison) -> list[str]:
    """What stands out, one sentence a finding, each with its numbers.

    Args:
      found: the comparison.

    Returns:
      Sentences, the answer first.
    """
    row = found.rows[found.metric]
    said = [*_copies(found)]
    if row.empty:
        return [*said, f"{found.name} has no score with any model."]
    said += [_closest(found, row), *_lead(found, row), *_controls(found, row)]
    said += [*_chance(row), *_beyond(found), *_tree(found), *_other_metrics(found)]
    return said


def metric_words(found: Comparison, metric: str | None = None) -> str:
    """A metric for people, with its k."""
    metric = metric or found.metric
    facts = found.alignment.metadata(metric)
    title = facts["title"][:1].upper() + facts["title"][1:]
    return title if facts["k"] is None else f"{title} (k = {facts['k']})"


def interval_words(found: Comparison) -> str:
    """Words for an interval, with its probability: "95 % interval"."""
    return f"{100 * found.confidence:g} % interval"


def top_table(found: Comparison, count: int = _TOP) -> str:
    """The nearest models as lines of text."""
    row = found.rows[found.metric].head(count)
    lines = [f"{metric_words(found)}, n = {found.matching['n']:,}:"]
    width = max((len(name) for name in row["other"]), default=0)
    for entry in row.itertuples():
        line = f"  {entry.other:<{width}}  {labels.score(entry.value):>7}"
        if math.isfinite(entry.ci_low):
            line += f"  [{labels.score(entry.ci_low)}, {labels.score(entry.ci_high)}]"
        if math.isfinite(entry.calibrated):
            line += f"  calibrated {labels.score(entry.calibrated)}"
        lines.append(line + ("" if math.isnan(entry.p) else f"  {p_words(entry.p_holm)}"))
    return "\n".join(lines)


def _copies(found: Comparison) -> list[str]:
    same = [m for m, how in found.same.items() if how == IDENTICAL]
    alike = [m for m in found.same if m not in same]
    said = []
    if same:
        said.append(f"{found.name} is {labels.joined(same)}: every number of the rows is the same.")
    if alike:
        said.append(
            f"No score tells {found.name} from {labels.joined(alike)}: their rows are the same up "
            "to rotation and scale."
        )
    return said


def _closest(found: Comparison, row: pd.DataFrame) -> str:
    best = _best(row)
    numbers = [f"{metric_words(found)} {labels.score(best['value'])}"]
    if math.isfinite(best["calibrated"]):
        numbers.append(f"calibrated {labels.score(best['calibrated'])}")
    if math.isfinite(best["ci_low"]):
        ends = f"{labels.score(best['ci_low'])} to {labels.score(best['ci_high'])}"
        numbers.append(f"{interval_words(found)} {ends}")
    of = "" if kind(found.alignment.cards[best["other"]]) == "model" else " (no pretrained model)"
    return f"{found.name} is closest to {best['other']}{of}: {', '.join(numbers)}."


def _lead(found: Comparison, row: pd.DataFrame) -> list[str]:
    """Whether the nearest encoder is nearer than the second one."""
    encoders = [name for name in nearest_encoders(found) if name != _best(row)["other"]]
    if not encoders:
        return []
    second = row[row["other"] == encoders[0]].iloc[0]
    name, score = second["other"], labels.score(second["value"])
    if math.isnan(second["p"]):
        return [f"The runner-up is {name} with {score}; whether the lead is chance is not known."]
    if second["p"] <= ALPHA:
        return [
            f"It is closer to it than to the runner-up {name} ({score}), {p_words(second['p'])}."
        ]
    return [
        f"The runner-up {name} ({score}) is as close as far as {found.matching['n']:,} structures "
        f"can tell ({p_words(second['p'])})."
    ]


def _controls(found: Comparison, row: pd.DataFrame) -> list[str]:
    """The best descriptor and the best untrained network beside the nearest model."""
    cards, best, said = found.alignment.cards, _best(row), []
    for group, words in (("descriptor", "descriptor"), ("untrained", "untrained network")):
        control = next((r for r in row.itertuples() if kind(cards[r.other]) == group), None)
        if control is None or control.other == best["other"]:
            continue
        sentence = f"The nearest {words}, {control.other}, reaches {labels.score(control.value)}"
        if not math.isnan(control.p):
            nearer = np.sign(control.difference) == _direction(found.metric)
            nearer = "less" if nearer else "more"
            nearer = (
                f"{nearer} than {best['other']}" if control.p <= ALPHA else "no less for certain"
            )
            sentence += f": {nearer} ({p_words(control.p)})"
        said.append(sentence + ".")
    return said


def _chance(row: pd.DataFrame) -> list[str]:
    q = row["null_q"].to_numpy(np.float64)
    tested = np.isfinite(q)
    if not tested.any():
        return []
    above = int((q[tested] <= ALPHA).sum())
    if above == 0:
        return ["It agrees with no model more than a random relabelling of the structures would."]
    total = labels.count(int(tested.sum()), "model")
    return [
        f"With {above} of {total} it agrees more than a random relabelling would (q ≤ {ALPHA})."
    ]


def _beyond(found: Comparison) -> list[str]:
    if found.beyond is None:
        return []
    table, given = found.beyond.table, found.beyond.given
    if table.empty:
        return [f"Whether composition explains this was not asked: {found.beyond.reason}."]
    left = [r for r in table.itertuples() if r.calibrated > 0]
    if not left:
        asked = labels.joined(table["other"])
        return [f"It agrees with none of its nearest models ({asked}) beyond {given}."]
    told = [
        f"{r.other} {labels.score(r.calibrated)} (before {labels.score(r.raw_calibrated)})"
        for r in left
    ]
    return [f"Beyond {given} it still agrees with {labels.joined(told)}, calibrated."]


def _tree(found: Comparison) -> list[str]:
    place = found.placement
    if place is None:
        return []
    shown = labels.joined(place.sisters[:4])
    more = len(place.sisters) - 4
    shown += f" and {more} more" if more > 0 else ""
    share = ""
    if math.isfinite(place.support):
        share = f", as in {100 * place.support:.0f} % of the trees over halves of the structures"
    return [f"In the tree of models it branches off beside {shown}{share}."]


def _other_metrics(found: Comparison) -> list[str]:
    nearest: dict[str, list[str]] = {}
    for metric, row in found.rows.items():
        if metric != found.metric and not row.empty:
            nearest.setdefault(_best(row)["other"], []).append(metric)
    told = [f"{name} ({', '.join(metrics)})" for name, metrics in nearest.items()]
    return [f"Nearest by other metrics: {'; '.join(told)}."] if told else []


def _best(row: pd.DataFrame) -> dict[str, Any]:
    return row[row["nearest"].astype(bool)].iloc[0].to_dict()


def _direction(metric: str) -> float:
    """Sign of (nearer score − farther score)."""
    return 1.0 if metric_definition(metric).is_similarity else -1.0
