"""What a selection found, in plain words for a terminal."""

from __future__ import annotations

import math

import pandas as pd

from jaxalign.learning.selection.criteria import KINDS
from jaxalign.learning.selection.leave_one_out import ANY, MEAN, SCOPES
from jaxalign.learning.selection.quality import ALL, TRAINED
from jaxalign.learning.selection.selection import Selection

_SHOWN = 5  # candidates of a ranking
_NAMED = 4  # candidates in a sentence


def describe(selection: Selection) -> str:
    """All tasks, then how well criteria carry over to a task that was left out."""
    parts = [_task(selection, task["name"]) for task in selection.tasks]
    if len(selection.leave_one_task_out):
        parts.append(_left_out(selection))
    return "\n\n".join(parts)


def choices(selection: Selection) -> list[str]:
    """What to choose for each task, one sentence a task."""
    ranked = [selection.ranking[selection.ranking["task"] == t["name"]] for t in selection.tasks]
    return [
        f"{task['name']}: {_choice(rows)}."
        for task, rows in zip(selection.tasks, ranked, strict=True)
        if len(rows)
    ]


def _task(selection: Selection, name: str) -> str:
    facts = next(task for task in selection.tasks if task["name"] == name)
    ranked = selection.ranking[selection.ranking["task"] == name]
    beyond = " beyond composition" if facts["beyond_composition"] else ""
    lines = [
        f"{name}{beyond}: {facts['candidates']} candidates, {facts['target']:,} of "
        f"{facts['n']:,} labels seen"
    ]
    lines += [f"  {note}" for note in facts["notes"]]
    lines += [f"  {_choice(ranked)}", *_table(ranked)]
    quality = selection.quality
    if len(quality):
        lines += [f"  {line}" for line in _quality(quality[quality["task"] == name], selection)]
    else:
        lines.append("  nothing was held out: how good this ranking is stays unknown")
    return "\n".join(lines)


def _choice(ranked: pd.DataFrame) -> str:
    best = ranked.iloc[0]
    trained = best["training_data"] if best["pretrained"] else ""
    lines = f"choose {best['candidate']}: {best['criterion']} {best['value']:.3f}"
    close = ranked["candidate"][[flag is False for flag in ranked["distinguishable"]]].tolist()
    if close:
        more = f" and {len(close) - _NAMED} more" if len(close) > _NAMED else ""
        lines += f"; not distinguishable from it: {', '.join(close[:_NAMED])}{more}"
    elif any(flag is True for flag in ranked["distinguishable"]):
        lines += "; all others are distinguishably worse"
    return lines + (f"; it was trained on {trained}" if trained else "")


def _table(ranked: pd.DataFrame) -> list[str]:
    """The first candidates with their held-out errors."""
    probes = [name for name in ("ridge", "knn") if name in ranked]
    width = max(len(name) for name in ranked["candidate"][:_SHOWN])
    lines = []
    for row in ranked.head(_SHOWN).to_dict("records"):
        cells = [
            f"held out {probe} {row[probe]:.3f}{_limits(row, probe)}, "
            f"rank {row[f'{probe}_rank']:.0f}"
            for probe in probes
        ]
        place = "–" if math.isnan(row["rank"]) else f"{row['rank']:.0f}"
        lines.append(
            f"    {place:>2} {row['candidate']:<{width}}  {row['value']:.3f}  {'; '.join(cells)}"
        )
    return lines


def _limits(row: dict, probe: str) -> str:
    low, high = row[f"{probe}_low"], row[f"{probe}_high"]
    return "" if math.isnan(low) else f" ({low:.3f} to {high:.3f})"


def _quality(rows: pd.DataFrame, selection: Selection) -> list[str]:
    """The best criterion of each kind, and the one that ranked."""
    kinds = {criterion.id: criterion.kind for criterion in selection.criteria}
    lines = []
    ranks_by = selection.settings["rank_by"]
    trained = rows[rows["among"].eq(TRAINED) & rows["criterion"].eq(ranks_by)]
    for truth, own in rows[rows["among"].eq(ALL)].groupby("truth", sort=False):
        known = own[own["spearman"].notna()]
        if not len(known):
            lines.append(f"ranking against held-out {truth} errors: {own['reason'].iloc[0]}")
            continue
        used = known[known["criterion"] == ranks_by]
        words = [f"{_correlation(row)} (ranks here)" for row in used.to_dict("records")]
        fewer = trained[trained["truth"].eq(truth) & trained["spearman"].notna()]
        words += [
            f"of the {row['candidates']} trained ones alone {row['spearman']:+.2f} "
            f"({_interval(row)})"
            for row in fewer.to_dict("records")
        ]
        for kind in KINDS:
            best = known[known["criterion"].map(kinds) == kind].sort_values("spearman").tail(1)
            words += [f"best {kind} {_correlation(row)}" for row in best.to_dict("records")]
        lines.append(f"Spearman with held-out {truth} errors: {'; '.join(words)}")
    if any("best" in line for line in lines):
        lines.append("(the best of a kind are picked with these errors in view)")
    return lines


def _correlation(row: dict) -> str:
    return (
        f"{row['criterion']} {row['spearman']:+.2f} ({_interval(row)}), regret {row['regret']:.0%}"
    )


def _interval(row: dict) -> str:
    if math.isnan(row["low"]):
        return "no interval"
    return f"{row['low']:+.2f} to {row['high']:+.2f}"


def _left_out(selection: Selection) -> str:
    table = selection.leave_one_task_out
    if table["task"].isna().all():
        return f"leave one task out: {table['reason'].iloc[0]}"
    lines = ["leave one task out: the criterion that was best on others, applied to"]
    rows = table[table["rule"].eq(ANY) & table["chosen_on"].eq(SCOPES[0])]
    for row in rows.to_dict("records"):
        name = row["criterion"] and f": {row['criterion']}"
        lines.append(
            f"  {row['task']}{name}, Spearman with held-out {row['truth']} errors "
            f"{row['spearman']:+.2f} ({_interval(row)}), regret {row['regret']:.0%}"
        )
    if any(row["task"] == MEAN for row in rows.to_dict("records")):
        lines.append("  intervals are over families of candidates, not over tasks")
    return "\n".join(lines)
