"""The data set `moses-scaffolds`: drug-like molecules as SMILES alone, shipped.

References:
  Polykovskiy et al., Molecular Sets (MOSES): A benchmarking platform for molecular generation
  models, Front. Pharmacol. 11, 565644 (2020).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rdkit import Chem, rdBase

from jaxalign.structures.columns import Columns
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The molecules `rows` as records, with ids `moses-scaffolds/{row of the source}`."""
    for row in rows.tolist():
        yield Structure(id=f"moses-scaffolds/{row}", smiles=str(columns["smiles"][row]))


def rows_within(columns: Columns, elements: np.ndarray) -> np.ndarray:
    """Positions of the molecules made of the given elements alone, implied hydrogen included."""
    wanted = set(elements.tolist())
    kept = [row for row, text in enumerate(columns["smiles"]) if _elements_of(text) <= wanted]
    return np.array(kept, dtype=np.int64)


def _elements_of(smiles: str) -> set[int]:
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(str(smiles))
    found = {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
    return found | ({1} if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()) else set())


DATASETS = (
    DatasetReader(
        card=DatasetCard(
            name="moses-scaffolds",
            description="5,000 drug-like molecules with scaffolds held out of MOSES training",
            size=5_000,
            views=("smiles",),
            labels=(),
            source="molsets==0.3.1",
            licence="MIT",
            citation="Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020)",
            file="moses_scaffold_test_5k.npz",
        ),
        structures=structures,
        rows_within=rows_within,
        counted="smiles",
    ),
)
