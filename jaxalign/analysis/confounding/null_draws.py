"""Scores of rows, and of draws from their null, for nulls that need the neighbors anew.

A draw moves the rows of every model by a permutation of its own, so that any two are moved against
each other by a uniform one, and scores them like the observed rows. Finished neighbor graphs are
not relabelled: among identical rows it is the row number that decides who is nearer, in all models
alike, and a relabelled graph would lack this agreement, which is no alignment.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from jaxalign.alignment.align import align
from jaxalign.alignment.inputs import Inputs
from jaxalign.embeddings.sources import Readable, StoredEmbeddings
from jaxalign.metrics.registry import metric_definition
from jaxalign.progress import Progress
from jaxalign.significance.p_values import calibrated_score
from jaxalign.significance.permutations import Cells, draw_permutation, sampled_null

Rows = Mapping[str, Readable]
KEYS = ("model_a", "model_b", "metric", "k")
COLUMNS = ("value", "calibrated", "null_mean", "z", "p", "permutations", "reason")


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """`align` with its settings, for several rows of the same models.

    Attributes:
      inputs: cards, ids and groups of the structures.
      settings: of `align`.
      permutations: null draws.
      seed: of the permutations.
      progress: print a progress line.
    """

    inputs: Inputs
    settings: Mapping[str, Any]
    permutations: int
    seed: int = 0
    progress: bool = False

    def scores(self, rows: Rows) -> pd.DataFrame:
        """Table of all pairs of different models; `align` explains its columns."""
        cards = {m.name: m.card for m in self.inputs.models}
        table = align(
            {name: StoredEmbeddings(r, self.inputs.ids, cards[name]) for name, r in rows.items()},
            groups=self.inputs.groups,
            **self.settings,
        ).table
        return table[table["model_a"] != table["model_b"]].reset_index(drop=True)

    def with_null(
        self,
        found: pd.DataFrame,
        rows: Rows,
        cells: Cells,
        moved: Callable[[Any, Int[np.ndarray, " n"]], Readable],
        *,
        words: str,
    ) -> pd.DataFrame:
        """Scores beside their sampled null.

        Args:
          found: `scores(rows)`.
          rows: rows of at least two models.
          cells: structures that may change places.
          moved: (rows of one model, order) → rows of a draw.
          words: label of the progress line.

        Returns:
          `KEYS` and `COLUMNS`, a row for each of `found`.
        """
        draws = []
        with Progress(words, total=self.permutations, unit="draws", enabled=self.progress) as shown:
            for draw in range(self.permutations):
                orders = self._orders(cells, draw, len(rows))
                drawn = zip(rows.items(), orders, strict=True)
                table = self.scores({name: moved(r, order) for (name, r), order in drawn})
                draws.append(table["value"].to_numpy(np.float64))
                shown.advance(1)
        return against(found, np.stack(draws))

    def _orders(self, cells: Cells, draw: int, models: int) -> list[Int[np.ndarray, " n"]]:
        n = len(self.inputs.ids)
        return [
            draw_permutation(cells, n, seed=self.seed, number=draw * models + model)
            for model in range(models)
        ]


def against(found: pd.DataFrame, draws: Float[np.ndarray, "draws scores"]) -> pd.DataFrame:
    """Scores beside what null draws say of them.

    Args:
      found: observed scores, with `KEYS`, `value`, `n` and `reason`.
      draws: null scores in the order of its rows.

    Returns:
      `KEYS` and `COLUMNS`; z is NaN where all draws are equal, as nothing then varies.
    """
    rows = [_row(row, drawn) for row, drawn in zip(found.itertuples(), draws.T, strict=True)]
    table = pd.DataFrame(rows, columns=list(COLUMNS), index=found.index)
    return found[list(KEYS)].join(table)


def _row(score: Any, drawn: Float[np.ndarray, " draws"]) -> tuple:
    if math.isnan(score.value):
        return (*[math.nan] * (len(COLUMNS) - 1), score.reason)
    metric = metric_definition(score.metric)
    null = sampled_null(score.value, drawn, similarity=metric.is_similarity, stopped=False)
    perfect = metric.perfect(score.n, None if pd.isna(score.k) else int(score.k))
    calibrated = calibrated_score(score.value, threshold=null.threshold, perfect=perfect)
    distance = score.value - null.mean if metric.is_similarity else null.mean - score.value
    # Draws that differ by rounding alone have no spread worth a division.
    spread = null.sd if null.sd > 1e-9 * max(abs(null.mean), 1e-9) else math.nan
    z = distance / spread
    return score.value, calibrated, null.mean, z, null.p, null.permutations, score.reason
