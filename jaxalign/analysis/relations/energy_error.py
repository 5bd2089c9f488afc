"""Errors of predicted energies beyond composition: what is left when counting atoms explains most.

Total energies are mostly a sum over atoms, and zero points differ between potentials and labels.
With X the counts of elements, `[n, elements]`, the least-squares composition model of energies E is
X X⁺ E; that of the labels is subtracted from the labels, that of each potential from its own
predictions:

    error = 1/n Σ |(I − X X⁺)(E − Ê)|.

Errors per atom are those of energies per atom, with fractions of elements in X.

References:
  Edamadaka, Yang, Li, Gómez-Bombarelli, arXiv:2512.03750 (2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxalign.structures.composition import element_counts as element_counts
from jaxalign.structures.composition import energy_unit
from jaxalign.structures.composition import without_composition as without_composition

_MORE = 2  # structures an element that a fit needs, or its residuals mean little


def energy_errors(table: pd.DataFrame, counts: pd.DataFrame, *, label: str) -> pd.DataFrame:
    """Mean absolute and root-mean-square errors of all potentials beyond composition.

    Every potential is judged on the structures that all of them predict and that have a label.

    Args:
      table: one row a model and structure: `model`, `id`, `energy_ev`, and the label.
      counts: `[structures, elements]` by id, as of `element_counts`.
      label: column of the labels; its name ends with the unit: `_hartree`, `_ev` or
        `_ev_per_atom`. Energies of formation serve as well: they differ by composition alone.

    Returns:
      One row a model, in order: `model`, `n`, `elements`, `mae_ev`, `rmse_ev`, `mae_ev_per_atom`,
      `reason` (why the errors are NaN).

    Raises:
      ValueError: a column that is missing, or a label without a unit.
    """
    missing = {"model", "id", "energy_ev", label} - set(table.columns)
    if missing:
        raise ValueError(
            f"the table of energies lacks {sorted(missing)}: it has {list(table.columns)}"
        )
    predicted = table.pivot(index="id", columns="model", values="energy_ev")
    predicted = predicted[list(dict.fromkeys(table["model"]))]
    known = table.drop_duplicates("id").set_index("id")[label]
    common = predicted.dropna().index.intersection(known.dropna().index)
    common = common.intersection(counts.index)
    elements = counts.loc[common].to_numpy(np.float64)
    atoms = elements.sum(axis=1)
    wanted = _in_ev(known.loc[common].to_numpy(np.float64), atoms, label)
    present = int(elements.any(axis=0).sum())
    facts = {"n": len(common), "elements": present}
    rows = []
    for model in predicted:
        errors = _errors(wanted - predicted.loc[common, model].to_numpy(np.float64), elements)
        rows.append({"model": model, **facts, **errors})
    return pd.DataFrame(rows)


def _errors(difference: np.ndarray, elements: np.ndarray) -> Mapping[str, float | str]:
    n, present = len(difference), int(elements.any(axis=0).sum())
    if n < max(_MORE * present, 2):
        reason = f"{n} common structures with labels are too few to fit {present} elements"
        blank = dict.fromkeys(("mae_ev", "rmse_ev", "mae_ev_per_atom"), math.nan)
        return {**blank, "reason": reason}
    # The fits are linear: the residual of a difference is the difference of the residuals.
    atoms = elements.sum(axis=1)
    left = without_composition(difference, elements)
    per_atom = without_composition(difference / atoms, elements / atoms[:, None])
    return {
        "mae_ev": float(np.mean(np.abs(left))),
        "rmse_ev": float(np.sqrt(np.mean(left**2))),
        "mae_ev_per_atom": float(np.mean(np.abs(per_atom))),
        "reason": "",
    }


def _in_ev(values: np.ndarray, atoms: np.ndarray, label: str) -> np.ndarray:
    factor, per_atom = energy_unit(label)
    return values * factor * (atoms if per_atom else 1)
