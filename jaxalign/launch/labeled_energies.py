"""Errors of the energies that a run has predicted, where its data set has labels of energies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign import api
from jaxalign.analysis.relations.energy_error import element_counts, energy_errors

_LABELS = ("formation_energy_ev_per_atom", "total_energy_ev", "u0_hartree", "energy_hartree")
"""Labels that are energies of structures; others in these units, such as gaps, are not."""


def energy_records(
    table: Path, structures: api.StructureSet, *, label: str | None = None
) -> list[dict[str, Any]]:
    """Errors beyond composition of every potential, for the diagnostics of an alignment.

    Args:
      table: what `write_energies` wrote.
      structures: the structures, with their labels.
      label: name of the label; None for the first known one that the structures have.

    Returns:
      Records of `energy_errors`, each with `label`; none where no structure has the label.
    """
    energies = pd.read_parquet(table)
    known = [name for name in ([label] if label else _LABELS) if name in energies]
    if not known:
        logging.warning(
            "energies were predicted, but %s has no label of energies (%s): no errors",
            structures.name,
            label or ", ".join(_LABELS),
        )
        return []
    errors = energy_errors(energies, element_counts(structures), label=known[0])
    return [{**record, "label": known[0]} for record in errors.to_dict("records")]
