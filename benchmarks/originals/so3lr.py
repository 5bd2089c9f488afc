"""SO3LR as its own package runs it: so3krates-torch 0.2.1 on torch, graphs of matscipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch
from so3krates_torch.calculator.so3 import SO3LRCalculator
from so3krates_torch.data.atomic_data import AtomicData
from so3krates_torch.data.utils import config_from_atoms
from so3krates_torch.tools.torch_geometric.dataloader import DataLoader

from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 64


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the invariant features of the last block.

    Only the short-range graph is made and only the network without its heads is run, so that the
    original does no more than an embedding needs.

    Args:
      model_id: `"so3lr"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "so3lr":
        raise ValueError(f"the original of SO3LR has one model, 'so3lr', got {model_id!r}")
    calculator = SO3LRCalculator(default_dtype="float32", r_max_lr=None)
    model = calculator.models[0].eval()
    model.use_lr = False

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        graphs = [_graph(calculator, structure) for structure in structures]
        loader = DataLoader(dataset=graphs, batch_size=STRUCTURES_PER_BATCH, shuffle=False)
        rows = []
        for batch in loader:
            values, _ = model.get_representation(batch.to_dict())
            count = torch.bincount(batch.batch).to(values.dtype)
            total = torch.zeros(len(count), values.shape[1], dtype=values.dtype)
            rows.append(total.index_add(0, batch.batch, values) / count[:, None])
        return torch.cat(rows).numpy()

    return embed


def _graph(calculator: SO3LRCalculator, structure: Structure) -> AtomicData:
    atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
    if structure.cell is not None:
        atoms.cell, atoms.pbc = structure.cell, structure.pbc
    config = config_from_atoms(atoms, key_specification=calculator.key_specification)
    return AtomicData.from_config(
        config, z_table=calculator.z_table, cutoff=calculator.r_max, cutoff_lr=None
    )
