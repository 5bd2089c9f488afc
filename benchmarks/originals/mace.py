"""MACE as its own package runs it: mace-torch 0.3.16 on torch, graphs of matscipy.

The weights are the random ones of `mace-random`, put into a model of the original, so that both
sides do the same work. Set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1: e3nn 0.4.4 reads its constants with
an option that newer torch has turned around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch
from e3nn import o3
from mace import data, modules, tools
from mace.tools.torch_geometric.dataloader import DataLoader

from jaxalign.models.mace.catalog_mace import TWIN
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 16


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the scalars after each block.

    Args:
      model_id: `"mace-random"`; its weights are drawn anew, which costs the same.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "mace-random":
        raise ValueError(f"the original of MACE has one model, 'mace-random', got {model_id!r}")
    model, channels = _model(), TWIN.channels
    table = tools.AtomicNumberTable(list(TWIN.atomic_numbers))
    # Behind the scalars and vectors of the first block stand the scalars of the second.
    columns = np.r_[0:channels, 4 * channels : 5 * channels]

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        graphs = [_graph(table, structure) for structure in structures]
        rows = []
        for batch in DataLoader(graphs, batch_size=STRUCTURES_PER_BATCH, shuffle=False):
            values = model(batch.to_dict(), compute_force=False)["node_feats"][:, columns]
            count = torch.bincount(batch.batch).to(values.dtype)
            total = torch.zeros(len(count), values.shape[1], dtype=values.dtype)
            rows.append(total.index_add(0, batch.batch, values) / count[:, None])
        return torch.cat(rows).numpy()

    return embed


def _model() -> torch.nn.Module:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=TWIN.cutoff,
        num_bessel=10,
        num_polynomial_cutoff=TWIN.smoothness,
        max_ell=TWIN.max_degree,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=TWIN.blocks,
        num_elements=len(TWIN.atomic_numbers),
        hidden_irreps=o3.Irreps(f"{TWIN.channels}x0e + {TWIN.channels}x1o"),
        MLP_irreps=o3.Irreps(f"{TWIN.readout_width}x0e"),
        atomic_energies=np.zeros(len(TWIN.atomic_numbers)),
        avg_num_neighbors=TWIN.neighbors[0],
        atomic_numbers=list(TWIN.atomic_numbers),
        correlation=TWIN.correlation[0],
        gate=torch.nn.functional.silu,
    ).eval()


def _graph(table: tools.AtomicNumberTable, structure: Structure) -> data.AtomicData:
    atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
    if structure.cell is not None:
        atoms.cell, atoms.pbc = structure.cell, structure.pbc
    return data.AtomicData.from_config(
        data.config_from_atoms(atoms), z_table=table, cutoff=TWIN.cutoff, heads=["Default"]
    )
