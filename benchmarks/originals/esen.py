"""eSEN and UMA as their own package runs them: fairchem-core 2.24.0 on torch, its own graphs.

The models are of the shapes of `esen-random` and `uma-random`, with weights drawn anew, which cost
the same. Structures go through the package's `AtomicData` and are batched; experts are mixed for
each structure of a batch, as the package does for structures of many compositions.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch

from jaxalign.models.esen.catalog_esen import EDGE_CHANNELS, ENTRIES, MIXED_TWIN, TWIN
from jaxalign.models.esen.esen_settings import EsenSettings
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 8


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the scalars of the node embedding.

    Args:
      model_id: `"esen-random"` or `"uma-random"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    known = dict(zip((entry.card.id for entry in ENTRIES), (TWIN, MIXED_TWIN), strict=True))
    if model_id not in known:
        raise ValueError(f"the originals are {', '.join(known)}, got {model_id!r}")
    _skip_start_of_package()
    from fairchem.core.datasets.atomic_data import AtomicData, atomicdata_list_to_batch

    model = _model(known[model_id])

    def data(structure: Structure) -> AtomicData:
        atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
        if structure.cell is not None:
            atoms.cell, atoms.pbc = structure.cell, structure.pbc
        atoms.info.update(charge=0, spin=0)
        return AtomicData.from_ase(atoms, task_name="omat", r_data_keys=["charge", "spin"])

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = []
        for start in range(0, len(structures), STRUCTURES_PER_BATCH):
            own = structures[start : start + STRUCTURES_PER_BATCH]
            batch = atomicdata_list_to_batch([data(structure) for structure in own])
            values = model(batch)["node_embedding"][:, 0]
            total = torch.zeros(len(own), values.shape[1]).index_add(0, batch.batch, values)
            rows.append(total / batch.natoms[:, None])
        return torch.cat(rows).numpy()

    return embed


def _skip_start_of_package() -> None:
    """The package's own start imports servers and trainers, which are not needed here."""
    if "fairchem.core" not in sys.modules:
        place = importlib.metadata.distribution("fairchem-core").locate_file("fairchem/core")
        package = types.ModuleType("fairchem.core")
        package.__path__ = [str(place)]
        sys.modules["fairchem.core"] = package


def _model(settings: EsenSettings) -> torch.nn.Module:
    from fairchem.core.models.uma.escn_md import eSCNMDBackbone
    from fairchem.core.models.uma.escn_moe import eSCNMDMoeBackbone

    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    common = {
        "max_num_elements": settings.elements,
        "sphere_channels": settings.channels,
        "hidden_channels": settings.hidden,
        "edge_channels": EDGE_CHANNELS,
        "lmax": settings.max_degree,
        "mmax": settings.max_order,
        "num_layers": settings.blocks,
        "num_distance_basis": settings.basis,
        "cutoff": settings.cutoff,
        "ff_type": settings.feed_forward,
        "otf_graph": True,
        "always_use_pbc": False,
        "regress_forces": False,
    }
    if not settings.experts:
        return eSCNMDBackbone(**common, use_dataset_embedding=False).eval()
    return eSCNMDMoeBackbone(
        **common,
        num_experts=settings.experts,
        use_composition_embedding=True,
        dataset_mapping={"omat": "omat"},
    ).eval()
