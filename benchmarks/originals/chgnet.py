"""CHGNet as its own package runs it: chgnet 0.4.2 on torch, graphs of pymatgen and its C code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model.model import CHGNet
from pymatgen.core import Lattice
from pymatgen.core import Structure as Crystal

from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 32
_NAMES = {"chgnet-0.2.0": "0.2.0", "chgnet-0.3.0": "0.3.0", "chgnet-r2scan": "r2scan"}


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of what the energy is read from.

    Args:
      model_id: an id of the registry.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id not in _NAMES:
        raise ValueError(f"the originals of CHGNet are {', '.join(_NAMES)}, got {model_id!r}")
    model = CHGNet.load(model_name=_NAMES[model_id], use_device="cpu", verbose=False)

    # No forces are wanted, so no gradients: faster than the package's own default.
    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        graphs = [model.graph_converter(_crystal(structure)) for structure in structures]
        rows = np.empty((len(graphs), 64), np.float32)
        # Version 0.2.0 gives other rows to graphs without angles if the batch holds an angle.
        has_angles = np.array([len(graph.bond_graph) > 0 for graph in graphs])
        for chosen in (np.flatnonzero(has_angles), np.flatnonzero(~has_angles)):
            for start in range(0, len(chosen), STRUCTURES_PER_BATCH):
                part = chosen[start : start + STRUCTURES_PER_BATCH]
                rows[part] = _mean_rows(model, [graphs[row] for row in part])
        return rows

    return embed


def _mean_rows(model: CHGNet, graphs: Sequence[CrystalGraph]) -> np.ndarray:
    found = model.predict_graph(
        graphs, task="e", return_crystal_feas=True, batch_size=STRUCTURES_PER_BATCH
    )
    found = [found] if isinstance(found, dict) else found
    counts = np.array([len(graph.atomic_number) for graph in graphs], np.float32)
    return np.stack([one["crystal_fea"] for one in found]) / counts[:, None]


def _crystal(structure: Structure) -> Crystal:
    return Crystal(
        Lattice(structure.cell),
        structure.atomic_numbers.tolist(),
        structure.positions,
        coords_are_cartesian=True,
    )
