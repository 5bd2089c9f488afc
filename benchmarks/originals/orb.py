"""Orb as its own package runs it: orb-models 0.5.5 on torch, graphs of SciPy's k-d tree.

The weights are random ones in the shape of those of `orb-random`, so that both sides do the same
work. The package asks for `cached_path` only to download weights; an empty module stands in for it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch

from jaxalign.models.orb.catalog_orb import TWIN
from jaxalign.structures.structure import Structure

sys.modules.setdefault("cached_path", types.ModuleType("cached_path"))
sys.modules["cached_path"].cached_path = None

from orb_models.forcefield import base, pretrained, segment_ops  # noqa: E402
from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs  # noqa: E402

# The fastest of 1, 4, 16 and 48.
STRUCTURES_PER_BATCH = 16


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the nodes after the last layer.

    Heads are left out, so that the original does no more than an embedding needs.

    Args:
      model_id: `"orb-random"`; its weights are drawn anew, which costs the same.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "orb-random":
        raise ValueError(f"the original of Orb has one model, 'orb-random', got {model_id!r}")
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    config = SystemConfig(radius=6.0, max_num_neighbors=TWIN.neighbors)
    cpu = torch.device("cpu")
    network = pretrained.orb_v3_direct_architecture(device=cpu, system_config=config).model.eval()

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = []
        for start in range(0, len(structures), STRUCTURES_PER_BATCH):
            chunk = structures[start : start + STRUCTURES_PER_BATCH]
            graphs = [ase_atoms_to_atom_graphs(_atoms(s), config, device=cpu) for s in chunk]
            batch = base.batch_graphs(graphs)
            nodes = network(batch)["node_features"]
            rows.append(segment_ops.aggregate_nodes(nodes, batch.n_node, reduction="mean"))
        return torch.cat(rows).numpy()

    return embed


def _atoms(structure: Structure) -> ase.Atoms:
    atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
    if structure.cell is not None:
        atoms.cell, atoms.pbc = structure.cell, structure.pbc
    return atoms
