"""Whether a new model agrees with its nearest ones beyond what composition and size explain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.confounding.conditional import conditional_alignment
from jaxalign.embeddings.sources import StoredEmbeddings

CONFOUNDERS = ("composition", "atom-count", "residue-composition", "sequence-length")
"""Controls of the registry that say what a structure is made of, and how large it is."""

DRAWS = 20
COLUMNS = ("other", "raw", "raw_calibrated", "conditional", "calibrated", "p", "reason")


@dataclasses.dataclass(frozen=True, eq=False)
class Beyond:
    """Scores of what confounders do not explain of the embeddings.

    Attributes:
      table: one row another model, see `COLUMNS`: scores as they are and given the confounders;
        `calibrated` is 0 where nothing remains; empty if the question could not be asked.
      given: the confounders, as words.
      left: share of the new model's variance that they do not explain; NaN if unknown.
      reason: why the question could not be asked; "" if it was.
    """

    table: pd.DataFrame
    given: str = ""
    left: float = float("nan")
    reason: str = ""


def beyond_composition(
    alignment: Alignment,
    metric: str,
    name: str,
    others: Sequence[str],
    *,
    draws: int = DRAWS,
    **settings: Any,
) -> Beyond:
    """Conditional alignment of a model with a few others, given the controls among the models.

    Args:
      alignment: with the embeddings of all models.
      metric: of pairs; its first k counts.
      name: the model.
      others: models it is asked about.
      draws: null draws, at least 19; each costs an alignment of these few models.
      **settings: further arguments of `align`: `mesh`, `tile_size`, `memory_budget`.

    Returns:
      Scores given the confounders, or why there are none.
    """
    given = [m for m, card in alignment.cards.items() if card.id in CONFOUNDERS and m != name]
    others = [other for other in others if other not in given]
    nothing = pd.DataFrame(columns=list(COLUMNS))
    if not given or not others:
        what = "no other model" if given else "no control of composition or size"
        return Beyond(nothing, reason=f"the run has {what}")
    ids = tuple(alignment.diagnostics["ids"])
    models = {
        m: StoredEmbeddings(alignment.rows[m], ids, alignment.cards[m])
        for m in (name, *others, *given)
    }
    groups = alignment.diagnostics["labels"].get("groups")
    try:
        found = conditional_alignment(
            models,
            given,
            metrics=(metric,),
            permutations=draws,
            groups=groups,
            seed=int(alignment.diagnostics["seed"]),
            **_settings(alignment, metric),
            **settings,
        )
    except ValueError as error:  # too few structures for so many confounders
        return Beyond(nothing, ", ".join(given), reason=str(error))
    return Beyond(_rows(found.table, name, others), ", ".join(given), found.left.get(name, np.nan))


def _settings(alignment: Alignment, metric: str) -> Mapping[str, Any]:
    facts = alignment.diagnostics["metrics"][metric]
    k = facts["k"][0] if isinstance(facts["k"], list) else facts["k"]
    return {"k": k, "normalize": facts["normalization"], "similarity": facts["similarity"]}


def _rows(table: pd.DataFrame, name: str, others: Sequence[str]) -> pd.DataFrame:
    """Pairs with the model; of a directed metric model → others."""
    forward = table[table["model_a"] == name].set_index("model_b")
    back = table[table["model_b"] == name].set_index("model_a")
    found = pd.concat([forward, back[~back.index.isin(forward.index)]])
    found = found.reindex([other for other in others if other in found.index])
    return found.rename_axis("other").reset_index()[list(COLUMNS)]
