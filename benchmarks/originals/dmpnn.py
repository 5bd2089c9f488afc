"""The D-MPNN of ADMET-AI as its own package runs it: chemprop 2 on torch, graphs of RDKit."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from chemprop.data import BatchMolGraph, MoleculeDatapoint
from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer
from chemprop.models import MPNN

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 256
_KINDS = ("classification", "regression")
_MEMBERS = 5


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of what message passing returns.

    Only message passing is run, without the heads of the tasks.

    Args:
      model_id: `"admet-dmpnn-classification-0"` to `-4`, `"admet-dmpnn-regression-0"` to `-4`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    known = {f"admet-dmpnn-{kind}-{n}": (kind, n) for kind in _KINDS for n in range(_MEMBERS)}
    if model_id not in known:
        raise ValueError(f"D-MPNN has no model {model_id!r} with an original: {', '.join(known)}")
    kind, member = known[model_id]
    path = f"admet_ai/resources/models/admet_{kind}/model_{member}.pt"
    file = io.BytesIO(read_entry(fetch(ARCHIVES["admet-ai"]), path))
    passing = MPNN.load_from_file(file, map_location="cpu").eval().message_passing
    featurize = SimpleMoleculeMolGraphFeaturizer()

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = []
        for start in range(0, len(structures), STRUCTURES_PER_BATCH):
            chosen = structures[start : start + STRUCTURES_PER_BATCH]
            graph = BatchMolGraph(
                [featurize(MoleculeDatapoint.from_smi(s.smiles).mol) for s in chosen]
            )
            total = torch.zeros(len(chosen), passing.output_dim)
            total.index_add_(0, graph.batch, passing(graph))
            rows.append(total / torch.bincount(graph.batch)[:, None])
        return torch.cat(rows).numpy()

    return embed
