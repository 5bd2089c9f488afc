"""What conditional alignment compares, and how it moves under the null: residuals, or strata."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxalign.alignment.inputs import Inputs, ModelInput
from jaxalign.analysis.confounding.confounders import (
    moved_rows,
    regression,
    residual_rows,
    share_left,
)
from jaxalign.analysis.confounding.null_draws import Rows
from jaxalign.analysis.confounding.strata import Strata
from jaxalign.embeddings.sources import Readable, SelectedRows
from jaxalign.significance.permutations import Cells, exchangeable_cells

_LINEAR = "What confounders do to embeddings is linear, and what that leaves is exchangeable."


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Rows to compare, and how they change under the null.

    Attributes:
      inputs: models, ids and groups of the structures that take part.
      raw: rows as they are.
      rows: rows that are compared: residuals, of the models of which something is left.
      moved: (rows of a model, order) → rows of one draw.
      cells: rows that may change places.
      facts: see `ConditionalAlignment`.
      left: share of variance left, by model.
      reasons: why a model has no residual rows.
    """

    inputs: Inputs
    raw: Rows
    rows: Rows
    moved: Callable[[Any, Int[np.ndarray, " n"]], Readable]
    cells: Cells
    facts: dict[str, Any]
    left: dict[str, float] = dataclasses.field(default_factory=dict)
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)


def within_strata(inputs: Inputs, given: Strata, rows: Int[np.ndarray, " n"]) -> Problem:
    """Rows as they are, of the structures that are not alone in their stratum.

    Args:
      inputs: models that are compared.
      given: labels by id; those of arrays without ids, by row.
      rows: row of each structure of `inputs` in the first model.

    Raises:
      ValueError: a structure without label, or no two structures that may change places.
    """
    labels = given.by_id()
    unnamed = list(inputs.ids) == list(map(str, rows.tolist()))
    if unnamed and len(labels) == len(rows) and not set(inputs.ids) & set(labels):
        labels = {str(row): label for row, label in enumerate(given.labels)}
    if missing := [i for i in inputs.ids if i not in labels]:
        raise ValueError(f"strata have no label for {len(missing)} ids, e.g. {missing[:3]}")
    within = [labels[i] for i in inputs.ids]
    cells = exchangeable_cells(len(within), groups=inputs.groups, within=within)
    movable = np.sort(np.concatenate([cell.ravel() for cell in cells]))
    part, raw = _subset(inputs, movable)
    facts = {
        "given": given.by,
        "method": "strata",
        "n": len(movable),
        "left_out": len(within) - len(movable),
        "assumption": given.assumption,
    }
    cells = tuple(np.searchsorted(movable, cell) for cell in cells)
    return Problem(part, raw, raw, SelectedRows, cells, facts)


def residual(inputs: Inputs, name: str, z: Float[np.ndarray, "n p"], *, ridge: float) -> Problem:
    """Residual rows, of the models of which more than rounding is left.

    Args:
      inputs: models that are compared.
      name: of the confounders.
      z: the confounders.
      ridge: see `confounders`.

    Raises:
      ValueError: too many confounders.
    """
    fit = regression(z, ridge=ridge)
    part, raw = _subset(inputs, fit.kept)
    residuals = {model: residual_rows(rows, fit) for model, rows in raw.items()}
    found = {model: share_left(rows) for model, rows in residuals.items()}
    facts = {
        "given": name,
        "method": "residual",
        "n": len(fit.kept),
        "left_out": len(inputs.ids) - len(fit.kept),
        "rank": fit.rank,
        "assumption": _LINEAR,
    }
    return Problem(
        inputs=part,
        raw=raw,
        rows={model: rows for model, rows in residuals.items() if not found[model][1]},
        moved=lambda rows, order: moved_rows(rows, order, fit),
        cells=exchangeable_cells(len(fit.kept), groups=part.groups),
        facts=facts,
        left={model: share for model, (share, _) in found.items()},
        reasons={model: f"{model}: {why}" for model, (_, why) in found.items() if why},
    )


def _subset(inputs: Inputs, index: Int[np.ndarray, " m"]) -> tuple[Inputs, Rows]:
    groups = inputs.groups and tuple(inputs.groups[i] for i in index)
    part = dataclasses.replace(inputs, ids=tuple(inputs.ids[i] for i in index), groups=groups)
    return part, {m.name: SelectedRows(m.rows, index) for m in inputs.models}


def choose_confounders(
    inputs: Inputs, given: Float[np.ndarray, "all p"] | Sequence[str], rows: Int[np.ndarray, " n"]
) -> tuple[Inputs, str, Float[np.ndarray, "n p"]]:
    """Confounders as they come from the user.

    Args:
      inputs: all models.
      given: an array, or labels of models.
      rows: of the array, one for each structure of `inputs`.

    Returns:
      The models that are compared, the name of the confounders, and the confounders.

    Raises:
      ValueError: an array that is too short, or unknown labels.
    """
    if isinstance(given, np.ndarray):
        if len(given) <= rows.max():
            raise ValueError(f"confounders need one row a row of the first model: got {len(given)}")
        return inputs, "confounders", given[rows]
    names = [given] if isinstance(given, str) else list(map(str, given))
    found = {m.name: m for m in inputs.models}
    if not names or not set(names) <= set(found):
        raise ValueError(f"given must name models that are here: got {names}; known: {list(found)}")
    compared = tuple(m for m in inputs.models if m.name not in names)
    z = np.concatenate([_whole(found[name]) for name in names], axis=1)
    return dataclasses.replace(inputs, models=compared), ", ".join(names), z


def _whole(model: ModelInput) -> Float[np.ndarray, "n d"]:
    return np.asarray(model.rows.read(0, model.rows.shape[0]))
