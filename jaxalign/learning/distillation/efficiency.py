"""Does a teacher help? Ratios of test errors at equal numbers of labels, paired by the seed.

For every student, number of labels and arm, with e_s the test error of seed s and e⁰_s that of the
student alone with the same seed, first parameters and (where it sees the same structures) order of
minibatches,

    ratio = exp(mean_s log(e_s / e⁰_s)),

with Student's interval of the mean logarithm. Below 1 the teacher helps.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit

ALONE = "alone"
CONFIDENCE = 0.95
LEVEL = 0.05  # of corrected p-values
LEAST_SEEDS = 3
_CASE = ("student", "labels")
HELPS, HARMS, UNCLEAR = "helps", "harms", "no clear difference"


def compare_arms(table: pd.DataFrame) -> pd.DataFrame:
    """Every arm beside the student alone.

    Args:
      table: one row a run: `student`, `labels`, `arm`, `seed`, `test_mae_ev`.

    Returns:
      One row a student, number of labels and arm: `student`, `labels`, `arm`, `seeds`,
      `alone_mae_ev`, `mae_ev` (geometric means), `ratio`, `low`, `high` (95 %), `p` (two-sided),
      `p_holm` (over all rows), `better` (seeds with a smaller error), `verdict` (`"helps"`,
      `"harms"`, where `p_holm` is at most .05, else `"no clear difference"`), `reason` (why a
      number is NaN).
    """
    rows = []
    for case, own in table.groupby(list(_CASE), sort=False):
        alone = own[own["arm"] == ALONE].set_index("seed")["test_mae_ev"]
        for arm, found in own[own["arm"] != ALONE].groupby("arm", sort=False):
            errors = found.set_index("seed")["test_mae_ev"]
            seeds = [s for s in errors.index if s in alone.index]
            known = [s for s in seeds if _positive(errors[s]) and _positive(alone[s])]
            facts = dict(zip(_CASE, case, strict=True)) | {"arm": arm, "seeds": len(known)}
            rows.append(facts | _ratio(alone[known].to_numpy(), errors[known].to_numpy()))
    columns = [*_CASE, "arm", "seeds", "alone_mae_ev", "mae_ev", "ratio", "low", "high", "p"]
    found = pd.DataFrame(rows, columns=[*columns, "better", "reason"])
    found["p_holm"] = holm(found["p"].to_numpy(float))
    found["verdict"] = [
        UNCLEAR if not p <= LEVEL else HELPS if ratio < 1 else HARMS
        for ratio, p in zip(found["ratio"], found["p_holm"], strict=True)
    ]
    return found


def holm(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Holm's step-down p-values; NaN stays and does not count.

    References:
      Holm, Scand. J. Statist. 6, 65 (1979).
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _ratio(alone: np.ndarray, errors: np.ndarray) -> dict[str, float | str]:
    count = len(errors)
    blank = dict.fromkeys(("ratio", "low", "high", "p"), math.nan)
    if not count:
        return blank | {"alone_mae_ev": math.nan, "mae_ev": math.nan, "reason": "no common seed"}
    logs = np.log(errors / alone)
    found = {
        "alone_mae_ev": float(np.exp(np.log(alone).mean())),
        "mae_ev": float(np.exp(np.log(errors).mean())),
        "ratio": float(np.exp(logs.mean())),
        "better": int((logs < 0).sum()),
        "reason": "",
    }
    error = float(logs.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    if count < LEAST_SEEDS or error == 0:
        reason = f"no interval: {count} seeds, of at least {LEAST_SEEDS}, that differ"
        return blank | found | {"reason": reason}
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    ends = {"low": math.exp(logs.mean() - half), "high": math.exp(logs.mean() + half)}
    return found | ends | {"p": 2 * float(stdtr(count - 1, -abs(logs.mean()) / error))}


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
