"""Permutations that leave a null hypothesis as it is, and what sampled scores say of a score.

Under the null hypothesis, units of one cell may be exchanged: units are structures, or whole groups
of dependent structures; cells hold units that are alike (of equal composition, say) and equally
large.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxalign.significance.p_values import ALPHA

Cells = tuple[Int64[np.ndarray, "_ _"], ...]

EXCEEDANCES = 20
"""Null scores at least as good as the observed one after which sampling stops."""


def exchangeable_cells(
    n: int, *, groups: Sequence[Hashable] | None = None, within: Sequence[Hashable] | None = None
) -> Cells:
    """Rows that permutations may exchange.

    Args:
      n: structures.
      groups: one label a structure; structures of a group move together, in the order they have,
        and change places with a group of the same size.
      within: one label a structure; only structures of one label change places. Groups with several
        labels change places with groups that have the same labels as often, label by label.

    Returns:
      Cells of two units and more, each `[units, rows of a unit]`.

    Raises:
      ValueError: too few permutations are possible to reach p ≤ .05.
    """
    labels = [0] * n if within is None else _numbered(within)
    units: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(range(n) if groups is None else groups):
        units[group].append(row)
    cells: dict[tuple, list[list[int]]] = defaultdict(list)
    for unit in units.values():
        rows = sorted(unit, key=labels.__getitem__)  # stable: of one label in the order they have
        cells[tuple(labels[row] for row in rows)].append(rows)
    found = tuple(np.array(rows, np.int64) for rows in cells.values() if len(rows) > 1)
    _require_enough(found, sizes=sorted({len(rows) for rows in units.values()}))
    return found


def _numbered(labels: Sequence[Hashable]) -> list[int]:
    """Labels by the order in which they come first: what may not be sorted can still be ordered."""
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [numbers[label] for label in labels]


def movable_share(cells: Cells, n: int) -> float:
    """Share of the structures that some permutation moves."""
    return sum(cell.size for cell in cells) / n


def _require_enough(cells: Cells, *, sizes: Sequence[int]) -> None:
    count = sum(math.lgamma(len(cell) + 1) for cell in cells)
    if not cells:
        raise ValueError(
            "no permutation is possible: no two structures (or groups of one size) share the "
            f"labels of permute_within (group sizes: {sizes[:5]}); choose coarser labels"
        )
    if count < math.log(1 / ALPHA):
        raise ValueError(
            f"only {round(math.exp(count))} permutations are possible, so p cannot reach "
            f"{ALPHA}: choose coarser labels of permute_within, or more structures"
        )


def draw_permutation(cells: Cells, n: int, *, seed: int, number: int) -> Int64[np.ndarray, " n"]:
    """One random permutation: row i takes the place of row π(i), units within their cells.

    Args:
      cells: see `exchangeable_cells`.
      n: structures.
      seed: of the run.
      number: which permutation; the same for all pairs, metrics and layers.

    Returns:
      π, uniform over all permutations that the cells allow.
    """
    random = np.random.default_rng([seed, number])
    order = np.arange(n)
    for cell in cells:
        order[cell] = cell[random.permutation(len(cell))]
    return order


class SampledNull(NamedTuple):
    """What sampled permutations say of one score.

    Attributes:
      mean: of the null scores.
      sd: their standard deviation.
      threshold: τ, the (1−α) order statistic of null scores and observation together.
      p: P(null score at least as good), valid whether or not sampling stopped early.
      permutations: how many were drawn.
    """

    mean: float
    sd: float
    threshold: float
    p: float
    permutations: int


def sampled_null(
    value: float, samples: Float64[np.ndarray, " permutations"], *, similarity: bool, stopped: bool
) -> SampledNull:
    """Add-one p-value, threshold and moments of a score from its permutations.

    With e of K null scores at least as good, p = (1 + e)/(K + 1); if sampling stopped at the K-th
    because it was the h-th such one, p = h/K.

    Args:
      value: the observed score.
      samples: null scores in the order they were drawn.
      similarity: larger scores are better.
      stopped: whether sampling stopped at the `EXCEEDANCES`-th exceedance.

    References:
      Phipson, Smyth: Stat. Appl. Genet. Mol. Biol. 9, 39 (2010); Besag, Clifford: Biometrika 78,
      301 (1991) (sequential).
    """
    samples = samples[~np.isnan(samples)]
    count = len(samples)
    sign = 1.0 if similarity else -1.0
    worse = np.sort(sign * np.append(samples, value))
    exceeding = exceedances(value, samples, similarity=similarity)
    p = exceeding / count if stopped else (1 + exceeding) / (count + 1)
    rank = math.ceil((1 - ALPHA) * (count + 1)) - 1
    sd = float(samples.std(ddof=1)) if count > 1 else math.nan
    mean = float(samples.mean()) if count else math.nan
    return SampledNull(mean, sd, sign * float(worse[rank]), float(p), count)


def exceedances(
    value: float, samples: Float64[np.ndarray, " permutations"], *, similarity: bool
) -> int:
    """Null scores at least as good as the observed one; ties count."""
    return int(np.sum(samples >= value if similarity else samples <= value))


def require_permutations(permutations: int) -> None:
    """Stops where so few permutations cannot reach the level.

    Raises:
      ValueError: negative, or p cannot reach .05.
    """
    least = round(1 / ALPHA) - 1
    if permutations < 0 or 0 < permutations < least:
        raise ValueError(
            f"permutations must be 0 (closed forms alone) or at least {least}: got {permutations}; "
            f"p = (1 + exceedances)/(permutations + 1) could not reach {ALPHA}"
        )
