"""SevenNet as its own package runs it: sevenn 0.13.0 on torch and e3nn, graphs of matscipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch
from sevenn.atom_graph_data import AtomGraphData
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import pretrained_name_to_path
from torch_geometric.loader.dataloader import Collater

from jaxalign.structures.structure import Structure

# The fastest of 1, 4, 8, 16 and 48: messages of many structures outgrow the caches.
STRUCTURES_PER_BATCH = 4
MODELS = {
    "sevennet-0-22may2024": ("7net-0_22may2024", None),
    "sevennet-0-11jul2024": ("7net-0", None),
    "sevennet-l3i5": ("7net-l3i5", None),
    "sevennet-mf-0-pbe": ("7net-mf-0", "PBE"),
    "sevennet-mf-0-r2scan": ("7net-mf-0", "R2SCAN"),
}


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the scalars after the last gate.

    Readout, forces and gradients are left out, so that the original does no more than an embedding
    needs.

    Args:
      model_id: registry id.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id not in MODELS:
        raise ValueError(f"sevenn has the originals of {', '.join(MODELS)}, not of {model_id!r}")
    name, modal = MODELS[model_id]
    model = SevenNetCheckpoint(pretrained_name_to_path(name)).build_model().eval()
    model.set_is_batch_data(True)
    model.key_grad = None
    for key in list(model._modules):
        if key.startswith(("reduce", "rescale", "force")):
            model.delete_module_by_key(key)
    collate = Collater([])

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = []
        for start in range(0, len(structures), STRUCTURES_PER_BATCH):
            chunk = structures[start : start + STRUCTURES_PER_BATCH]
            output = model(collate([_graph(structure, modal) for structure in chunk]))
            values, graph = output["x"], output["batch"]
            total = torch.zeros(len(chunk), values.shape[1]).index_add(0, graph, values)
            rows.append(total / torch.bincount(graph, minlength=len(chunk))[:, None])
        return torch.cat(rows).numpy()

    return embed


def _graph(structure: Structure, modal: str | None) -> AtomGraphData:
    atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
    if structure.cell is not None:
        atoms.cell, atoms.pbc = structure.cell, structure.pbc
    graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, 5.0))
    if modal is not None:
        graph["data_modality"] = modal
    return graph
