"""Predicted energies of all potentials of a run in one table, beside the labels of the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign import api
from jaxalign.archives.atomic import atomic_write
from jaxalign.embeddings.energies import LAYER, NoEnergyError
from jaxalign.launch.workflow import store_path
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.types import JaxalignError

ENERGIES = "energies"


def write_energies(
    models: Sequence[str],
    structures: api.StructureSet,
    workdir: Path,
    *,
    on_error: str,
    progress: bool,
    mesh: Any = None,
) -> Path | None:
    """Writes `energies.parquet` and `energies.csv`: one row a model and structure.

    Columns: `model`, `id`, `group`, `atoms`, `energy_ev`, `interaction_energy_ev`,
    `energy_ev_per_atom`, and the labels of the data set under their own names. Interaction energies
    of each potential are kept in `workdir/energies`, so that an interrupted call resumes.

    Args:
      models: registry ids; those that predict no energies are left out.
      structures: what to predict energies of.
      workdir: the run's folder.
      on_error: `"raise"`, or `"skip"` structures and models that fail.
      progress: print progress lines.
      mesh: devices that work; None means all.

    Returns:
      The parquet file; None if no model predicts energies.
    """
    tables = []
    for model in models:
        store = workdir / ENERGIES / store_path(workdir, model, structures, layer=LAYER).name
        try:
            energies = api.predict_energies(
                model, structures, store=store, on_error=on_error, progress=progress, mesh=mesh
            )
        except NoEnergyError:
            continue
        except JaxalignError as error:
            if on_error != "skip":
                raise
            logging.warning("energies of %s are left out: %s", model, error)
            continue
        tables.append(energies.table())
    if not tables:
        return None
    table = pd.concat(tables, ignore_index=True).merge(_labels(structures), on="id", how="left")
    path = workdir / f"{ENERGIES}.parquet"
    if is_primary_process():
        for target, write in ((path, table.to_parquet), (path.with_suffix(".csv"), table.to_csv)):
            with atomic_write(target) as file:
                write(file, index=False)
    return path


def _labels(structures: api.StructureSet) -> pd.DataFrame:
    rows = [{"id": s.id, "group": s.group, **s.labels} for s in structures]
    return pd.DataFrame(rows)
