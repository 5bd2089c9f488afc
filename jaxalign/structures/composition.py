"""Counts of elements, and the part of an energy that they explain.

Total energies are mostly a sum over atoms. With X the counts of elements, `[n, elements]`, the
least-squares composition model of energies E has one coefficient an element, X⁺ E, and no
intercept.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from ase.units import Hartree
from jaxtyping import Float64

from jaxalign.structures.structure import Structure

_UNITS = {"_ev_per_atom": (1.0, True), "_ev": (1.0, False), "_hartree": (Hartree, False)}


def element_counts(structures: Iterable[Structure]) -> pd.DataFrame:
    """Atoms of every element in every structure.

    Args:
      structures: unique ids; those without atoms are left out.

    Returns:
      `[structures, elements]` int64, by id and atomic number; elements that occur, ascending.
    """
    numbers = {s.id: s.atomic_numbers for s in structures if s.atomic_numbers is not None}
    elements = np.unique(np.concatenate([*numbers.values(), np.empty(0)])).astype(np.int64)
    counts = np.zeros((len(numbers), len(elements)), np.int64)
    for row, atoms in enumerate(numbers.values()):
        found, times = np.unique(atoms, return_counts=True)
        counts[row, np.searchsorted(elements, found)] = times
    return pd.DataFrame(counts, index=pd.Index(numbers, name="id"), columns=elements)


def fit_composition(
    values: Float64[np.ndarray, " n"], counts: Float64[np.ndarray, "n elements"]
) -> Float64[np.ndarray, " elements"]:
    """Least-squares coefficients of values on counts of elements, without intercept.

    Args:
      values: one a structure.
      counts: atoms, or fractions, of each element.

    Returns:
      Coefficients; of the least norm where counts do not determine them, 0 for an element that does
      not occur.
    """
    norms = np.linalg.norm(counts, axis=0)
    # Columns of one scale: a rare element keeps its place above the rank threshold.
    norms = np.where(norms > 0, norms, 1.0)
    return np.linalg.lstsq(counts / norms, values, rcond=None)[0] / norms


def without_composition(
    values: Float64[np.ndarray, " n"], counts: Float64[np.ndarray, "n elements"]
) -> Float64[np.ndarray, " n"]:
    """Residuals of the least-squares fit of values to counts of elements, without intercept."""
    return values - counts @ fit_composition(values, counts)


def energy_unit(label: str) -> tuple[float, bool]:
    """Electronvolts in the unit that a label's name ends with, and whether it is per atom.

    Raises:
      ValueError: a name that ends with none of the known units.
    """
    for ending, unit in _UNITS.items():
        if label.endswith(ending):
            return unit
    raise ValueError(f"a label of energies ends with one of {tuple(_UNITS)}: got {label!r}")
