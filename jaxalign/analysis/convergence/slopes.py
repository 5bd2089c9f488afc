"""How alignment changes as the error falls: over training, over sizes, and where it does not.

Fitted is a = b₀ + b log₁₀ e of alignment a and error e, in three ways:

* over training: one b for every run, over its checkpoints;
* over sizes: one b for every architecture, over the last checkpoints of its runs;
* over networks: all last checkpoints together (`performance.error_slopes`).

Runs of one architecture are near copies, and so are their slopes: what is judged is the mean over
architectures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

LEAST_POINTS = 3
_RUN = ("run", "architecture", "width", "depth", "seed")


def select(
    table: pd.DataFrame, *, reference: str, metric: str = "cknna", last: bool = False
) -> pd.DataFrame:
    """Rows of trajectories that have an alignment and a positive error.

    Args:
      table: as of `trajectories`.
      reference: what is aligned to.
      metric: of the alignment.
      last: only checkpoints that training ended with.
    """
    rows = table[(table["reference"] == reference) & (table["metric"] == metric)]
    rows = rows[np.isfinite(rows["calibrated"]) & np.isfinite(rows["error_ev"])]
    rows = rows[rows["error_ev"] > 0]
    return rows[rows["last"]] if last else rows


def slope(errors: Sequence[float], alignments: Sequence[float]) -> float:
    """Least-squares slope of alignment per factor ten of the error; NaN without a spread."""
    x, y = np.log10(np.asarray(errors, float)), np.asarray(alignments, float)
    centered = x - x.mean() if len(x) else x
    squares = float(centered @ centered)
    if len(x) < LEAST_POINTS or squares <= 1e-12:
        return math.nan
    return float(centered @ y) / squares


def run_slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a run: its slope over training and its rank correlation.

    Args:
      rows: as of `select`.

    Returns:
      `run`, `architecture`, `width`, `depth`, `seed`, `checkpoints`, `slope` (NaN under three
      checkpoints), `spearman`.
    """
    found = []
    for about, own in rows.groupby(list(_RUN), sort=False):
        errors, alignments = own["error_ev"].to_numpy(float), own["calibrated"].to_numpy(float)
        numbers = {
            "checkpoints": len(own),
            "slope": slope(errors, alignments),
            "spearman": _spearman(errors, alignments),
        }
        found.append(dict(zip(_RUN, about, strict=True)) | numbers)
    return pd.DataFrame(found, columns=[*_RUN, "checkpoints", "slope", "spearman"])


def slopes_by_architecture(rows: pd.DataFrame, *, over: str) -> pd.Series:
    """One slope an architecture.

    Args:
      rows: as of `select`.
      over: `"training"`, the mean over its runs; or `"sizes"`, over their last checkpoints.

    Returns:
      Slopes by architecture; those without one are left out.

    Raises:
      ValueError: another word.
    """
    if over == "training":
        means = run_slopes(rows).groupby("architecture", sort=False)["slope"].mean()
        return means.dropna()
    if over != "sizes":
        raise ValueError(f"slopes are over 'training' or 'sizes': got {over!r}")
    ends = rows[rows["last"]]
    found = {
        str(name): slope(own["error_ev"], own["calibrated"])
        for name, own in ends.groupby("architecture", sort=False)
        if own.groupby(["width", "depth"]).ngroups > 1
    }
    return pd.Series(found, dtype=float).dropna()


def exceptions(rows: pd.DataFrame) -> pd.DataFrame:
    """Stretches of training in which the error fell and the alignment fell too.

    Of every run the pair of checkpoints, early and late, with the greatest loss of alignment while
    the error fell. The pair is chosen for its loss: only losses beyond both intervals together
    (half widths added) are told from the choice of structures.

    Args:
      rows: as of `select`.

    Returns:
      One row a run with a loss, greatest first: `run`, `architecture`, `width`, `depth`, `seed`,
      `from_step`, `to_step`, `error_before`, `error_after` (eV), `alignment_before`,
      `alignment_after`, `loss`, `clear` (beyond the intervals; False without these).
    """
    found = []
    for about, own in rows.groupby(list(_RUN), sort=False):
        own = own.sort_values("step")
        errors, values = own["error_ev"].to_numpy(float), own["calibrated"].to_numpy(float)
        halves = ((own["high"] - own["low"]) / 2).to_numpy(float)
        loss = values[:, None] - values[None, :]
        allowed = np.triu(np.ones_like(loss, bool), 1) & (errors[None, :] < errors[:, None])
        loss = np.where(allowed, loss, -math.inf)
        if not loss.size or loss.max() <= 0:
            continue
        before, after = np.unravel_index(int(loss.argmax()), loss.shape)
        steps, drop = own["step"].to_numpy(), float(loss[before, after])
        numbers = {
            "from_step": int(steps[before]),
            "to_step": int(steps[after]),
            "error_before": errors[before],
            "error_after": errors[after],
            "alignment_before": values[before],
            "alignment_after": values[after],
            "loss": drop,
            "clear": bool(drop > halves[before] + halves[after]),
        }
        found.append(dict(zip(_RUN, about, strict=True)) | numbers)
    columns = [*_RUN, "from_step", "to_step", "error_before", "error_after"]
    columns += ["alignment_before", "alignment_after", "loss", "clear"]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values("loss", ascending=False, ignore_index=True)


def _spearman(errors: np.ndarray, alignments: np.ndarray) -> float:
    if len(errors) < LEAST_POINTS or np.ptp(errors) == 0 or np.ptp(alignments) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(errors), rankdata(alignments))[0, 1])
