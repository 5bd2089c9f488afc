"""ANI as its own packages run it: torchani 2.2.4 for ANI-1x and ANI-1ccx, auto3d for ANI-2xt.

The two need different versions of torchani, so that each runs in an environment of its own; see
`scripts/golden_ani.py` and `scripts/golden_ani2xt.py`.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 256

_Vectors = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the last hidden states.

    Molecules of like size share a batch, as both packages advise. States of elements with fewer
    units than the widest end in zeros.

    Args:
      model_id: `"ani-1x-0"` to `"ani-1x-7"`, `"ani-1ccx-0"` to `"ani-1ccx-7"` or `"ani-2xt"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id == "ani-2xt":
        vectors, networks, species = _auto3d()
    elif model_id.startswith(("ani-1x-", "ani-1ccx-")) and model_id[-1] in "01234567":
        vectors, networks, species = _torchani(*model_id.rsplit("-", 1))
    else:
        raise ValueError(f"ANI has no model {model_id!r} with an original")
    width = max(network[-1].in_features for network in networks)

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = np.zeros((len(structures), width), np.float32)
        order = np.argsort([len(s.atomic_numbers) for s in structures], kind="stable")
        for start in range(0, len(order), STRUCTURES_PER_BATCH):
            chosen = order[start : start + STRUCTURES_PER_BATCH]
            kinds, positions = _padded([structures[i] for i in chosen], species)
            states = _states(vectors(kinds, positions), kinds, networks, width)
            count = (kinds >= 0).sum(dim=1, keepdim=True)
            rows[chosen] = (states.sum(dim=1) / count).numpy()
        return rows

    return embed


def _padded(structures, species) -> tuple[torch.Tensor, torch.Tensor]:
    most = max(len(s.atomic_numbers) for s in structures)
    kinds = torch.full((len(structures), most), -1)
    positions = torch.zeros(len(structures), most, 3)
    for row, s in enumerate(structures):
        kinds[row, : len(s.atomic_numbers)] = torch.tensor(
            [species[int(z)] for z in s.atomic_numbers]
        )
        positions[row, : len(s.atomic_numbers)] = torch.from_numpy(s.positions)
    return kinds, positions


def _states(vectors, kinds, networks, width: int) -> torch.Tensor:
    states = torch.zeros(kinds.numel(), width)
    flat, kinds = vectors.flatten(0, 1), kinds.flatten()
    for number, network in enumerate(networks):
        own = (kinds == number).nonzero().flatten()
        if len(own):
            values = network[:-1](flat.index_select(0, own))
            states[own, : values.shape[1]] = values
    return states.view(vectors.shape[0], vectors.shape[1], width)


def _auto3d() -> tuple[_Vectors, list[torch.nn.Sequential], dict[int, int]]:
    from Auto3D.engines.models.ani2xt import ANI2xt
    from Auto3D.engines.models.species import ANI2XT_INDEX

    model = ANI2xt(torch.device("cpu"))
    return model.aev_computer, list(model.networks), ANI2XT_INDEX


def _torchani(
    family: str, member: str
) -> tuple[_Vectors, list[torch.nn.Sequential], dict[int, int]]:
    import torchani
    from torchani.neurochem import Constants, load_model

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(fetch(ARCHIVES["torchani"])) as archive:
            archive.extractall(folder, [n for n in archive.namelist() if "/resources/" in n])
        root = Path(folder) / "torchani" / "resources" / f"{family}_8x"
        constants = Constants(str(next(root.glob("*.params"))))
        networks = load_model(constants.species, str(root / f"train{member}" / "networks"))
    computer = torchani.AEVComputer(**constants)
    species = {1: 0, 6: 1, 7: 2, 8: 3}
    return lambda kinds, x: computer((kinds, x)).aevs, list(networks.values()), species
