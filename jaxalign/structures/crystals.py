"""The data set `crystals`: 3,938 relaxed crystals of the Materials Project, shipped.

A selection that was published for learning formation energies: ordered crystals of up to 25 sites
and 86 elements, computed with PBE or PBE+U. Scaled positions are rounded to 1e-6, so that
coordinates of symmetric sites are off by up to 5e-7 of a cell vector; vectors are float32.

References:
  Faber et al., Crystal structure representations for machine learning models of formation
  energies, Int. J. Quantum Chem. 115, 1094 (2015).
  Jain et al., The Materials Project, APL Mater. 1, 011002 (2013).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxalign.structures.columns import Columns, crystals, rows_within
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure

_LABELS = {
    "formation_energy_ev_per_atom": "formation_energy_eV_per_atom",
    "energy_above_hull_ev_per_atom": "e_above_hull_eV_per_atom",
}


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The crystals `rows` as records, with ids `crystals/{id of the Materials Project}`."""
    return crystals(columns, rows, prefix="crystals", name="mp_id", labels=_LABELS)


DATASETS = (
    DatasetReader(
        card=DatasetCard(
            name="crystals",
            description="3,938 relaxed Materials Project crystals, 1-25 sites, 86 elements",
            size=3_938,
            views=("atoms",),
            labels=tuple(_LABELS),
            source="matminer==0.3.7",
            licence="CC-BY-4.0",
            citation="Jain et al., APL Mater. 1, 011002 (2013); "
            "Faber et al., Int. J. Quantum Chem. 115, 1094 (2015)",
            file="crystals_3938.npz",
            periodic=True,
        ),
        structures=structures,
        rows_within=rows_within,
        unit="crystals",
    ),
)
