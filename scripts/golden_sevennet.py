"""Proves the SevenNet port against sevenn and writes the golden activations of its tests.

Needs an environment of its own with sevenn 0.13.0 (and so torch, e3nn and torch_geometric) besides
this package:

    python scripts/golden_sevennet.py --out=tests/data --proofs=benchmarks/results

The embedding, all irreducible features after the gate of every block, and energies of the five
potentials are compared on crystals of the Materials Project, molecules of QM9 and hostile
structures: in float32 (largest difference relative to the largest value of the layer in the same
structure; must be ≤ 1e-4, and energies ≤ 1e-4 eV an atom) and in float64 (≤ 1e-10). The original
keeps its coupling tables as float32 in its files; the comparison in float64 gives it those that
e3nn computes in float64. Takes about ten minutes.
"""

import argparse
import dataclasses
import functools
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import ase
import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import torch
from e3nn.o3 import wigner_3j
from sevenn.atom_graph_data import AtomGraphData
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import pretrained_name_to_path
from torch_geometric.loader.dataloader import Collater

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.sevennet import sevennet
from jaxalign.models.sevennet.catalog_sevennet import read_sevennet
from jaxalign.models.sevennet.pair_graph import PACKING, featurize_pairs
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

# Registry id → name for sevenn, source in our catalog, modality.
MODELS = {
    "sevennet-0-22may2024": ("7net-0_22may2024", "22may2024", None),
    "sevennet-0-11jul2024": ("7net-0", "11jul2024", None),
    "sevennet-l3i5": ("7net-l3i5", "l3i5", None),
    "sevennet-mf-0-pbe": ("7net-mf-0", "mf-0", "PBE"),
    "sevennet-mf-0-r2scan": ("7net-mf-0", "mf-0", "R2SCAN"),
}
LAYERS = ("embedding", *(f"block_{n}" for n in range(1, sevennet.BLOCKS + 1)))
# What the golden file keeps: these structures, and some columns of every atom.
GOLDEN = ("isolated atom", "ethanol", "slab", "unwrapped", "rattled rocksalt", "iron, one atom")
COLUMNS = slice(None, None, 48)
PER_BATCH = 6


def from_ase(name: str, atoms: ase.Atoms) -> Structure:
    return Structure(
        id=name,
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=np.round(atoms.positions, 4),
        cell=np.round(atoms.cell.array, 4) if atoms.pbc.any() else None,
        pbc=tuple(map(bool, atoms.pbc)),
    )


def hostile() -> list[Structure]:
    rocksalt = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    rattled = rocksalt.copy()
    rattled.rattle(0.15, seed=0)
    skewed = ase.Atoms(
        "LiFePO",
        scaled_positions=[[0.03, 0.02, 0.01], [0.5, 0.45, 0.52], [0.07, 0.95, 0.55], [0.5, 0.5, 0]],
        cell=[3.9, 4.4, 6.0, 72, 79, 66],
        pbc=True,
    )
    squeezed = skewed.copy()
    squeezed.set_cell(squeezed.cell * 0.85, scale_atoms=True)
    unwrapped = skewed.copy()
    unwrapped.positions[1] += 2 * unwrapped.cell[0] - unwrapped.cell[2]
    slab = ase.build.fcc111("Cu", (2, 2, 3), vacuum=8.0)
    ase.build.add_adsorbate(slab, "O", 1.3, "fcc")
    slab.rattle(0.05, seed=1)
    boxed = ase.build.molecule("CH3CH2OH", vacuum=8.0)
    boxed.pbc = True
    wire = ase.Atoms("PtO", [[0, 0, 0], [0, 1.2, 1.1]], cell=[0, 0, 2.6], pbc=(False, False, True))
    apart = ase.Atoms("Xe2", [[0, 0, 0], [0, 0, 5.5]])
    found = {
        "isolated atom": ase.Atoms("He", [[0.0, 0, 0]]),
        "no edges": apart,
        "dimer at 4.9 Å": ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 4.9]]),
        "ethanol": ase.build.molecule("CH3CH2OH"),
        "ethanol in a box": boxed,
        "iron, one atom": ase.build.bulk("Fe"),
        "rocksalt": rocksalt,
        "rattled rocksalt": rattled,
        "skewed": skewed,
        "squeezed": squeezed,
        "unwrapped": unwrapped,
        "slab": slab,
        "wire": wire,
    }
    return [from_ase(name, atoms) for name, atoms in found.items()]


def original_rows(name: str, modal: str | None, structures, dtype) -> list[dict]:
    """For each structure: states after each block (flat, as e3nn orders them) and total energy."""
    model = SevenNetCheckpoint(pretrained_name_to_path(name)).build_model().to(dtype).eval()
    if dtype == torch.float64:
        for key, table in model.named_buffers():
            if "_w3j_" in key:
                degrees = map(int, key.split("_w3j_")[1].split("_"))
                table.copy_(wigner_3j(*degrees, dtype=dtype))
    model.delete_module_by_key("force_output")
    model.key_grad = None
    model.set_is_batch_data(True)
    states: list[np.ndarray] = []

    def cast(module, inputs, output):
        for key in ("x", "node_attr"):
            output[key] = output[key].to(dtype)

    model._modules["onehot_idx_to_onehot"].register_forward_hook(cast)
    for key in ("onehot_to_feature_x", *(f"{n}_equivariant_gate" for n in range(sevennet.BLOCKS))):
        model._modules[key].register_forward_hook(
            lambda module, inputs, output: states.append(output["x"].numpy().copy())
        )
    rows = []
    for start in range(0, len(structures), PER_BATCH):
        states.clear()
        chunk = structures[start : start + PER_BATCH]
        with torch.no_grad():
            output = model(Collater([])([_original_graph(s, modal, dtype) for s in chunk]))
        ends = np.cumsum([len(s.atomic_numbers) for s in chunk])[:-1]
        parts = [np.split(state, ends) for state in states]
        energies = output["inferred_total_energy"].tolist()
        rows += [
            {"states": [part[g] for part in parts], "energy": energies[g]}
            for g in range(len(chunk))
        ]
    return rows


def _original_graph(structure: Structure, modal: str | None, dtype) -> AtomGraphData:
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    atoms = ase.Atoms(
        structure.atomic_numbers, structure.positions, cell=cell.copy(), pbc=structure.pbc
    )
    arrays = unlabeled_atoms_to_graph(atoms, 5.0)
    vectors = torch.from_numpy(np.array(arrays["edge_vec"], np.float64).reshape(-1, 3))
    graph = AtomGraphData.from_numpy_dict(arrays)
    graph["edge_vec"] = vectors.to(dtype)
    if modal is not None:
        graph["data_modality"] = modal
    return graph


def ported_rows(source: str, modal: str | None, structures, dtype) -> list[dict]:
    """The same of the port, in its usual batches."""
    config, params, reference = read_sevennet(source, modal)
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    vectors = dataclasses.replace(PACKING.layout["vectors"], dtype=dtype)
    packing = dataclasses.replace(PACKING, layout={**PACKING.layout, "vectors": vectors})
    make = functools.partial(featurize_pairs, elements=config.elements, cutoff=config.cutoff)
    examples = [make(s) for s in structures]
    rows: list = [None] * len(structures)
    for plan in packing.plan(examples):
        batch = packing.collate([examples[row] for row in plan.rows], plan.shape)
        states, atomic = _states(params, batch, config)
        for number, row in enumerate(plan.rows.tolist()):
            own = batch["graph"] == number
            numbers = structures[row].atomic_numbers.tolist()
            energy = float(np.asarray(atomic)[own].sum(dtype=np.float64))
            rows[row] = {
                "states": [np.asarray(state)[own] for state in states],
                "energy": energy + sum(reference[z] for z in numbers),
            }
    return rows


@functools.partial(jax.jit, static_argnums=2)
def _states(params, batch, config):
    states = sevennet.block_states(params, batch, config)
    energies = sevennet.atom_energies(params, batch, states[-1])
    return [sevennet.flatten_features(state) for state in states], energies


def compare(ours, theirs) -> dict[str, float]:
    """Largest differences: of states relative (in each structure and layer) and absolute."""
    worst = {"relative": 0.0, "absolute": 0.0, "energy": 0.0}
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one["states"], other["states"], strict=True):
            off = float(np.abs(a - b).max())
            worst["absolute"] = max(worst["absolute"], off)
            worst["relative"] = max(worst["relative"], off / float(np.abs(b).max()))
        off = abs(one["energy"] - other["energy"]) / len(other["states"][0])
        worst["energy"] = max(worst["energy"], off)
    return worst


def golden_arrays(structures, rows) -> dict[str, np.ndarray]:
    """Some columns of every layer for one model, pooled rows and energies for all of them."""
    keep = [n for n, s in enumerate(structures) if s.id in GOLDEN]
    arrays = {}
    for model, found in rows.items():
        chosen = [found[n] for n in keep]
        pooled = np.stack([row["states"][-1].mean(axis=0)[::8] for row in chosen])
        arrays[f"{model}_mean"] = pooled.astype(np.float32)
        arrays[f"{model}_energy"] = np.array([row["energy"] for row in chosen])
    first = [rows["sevennet-0-11jul2024"][n]["states"] for n in keep]
    for number, layer in enumerate(LAYERS):
        values = np.concatenate([states[number][:, COLUMNS] for states in first])
        arrays[layer] = values.astype(np.float32)
    kept = [structures[n] for n in keep]
    cells = [np.zeros((3, 3)) if s.cell is None else s.cell for s in kept]
    return arrays | {
        "names": np.array([s.id for s in kept]),
        "atoms": np.array([len(s.atomic_numbers) for s in kept]),
        "atomic_numbers": np.concatenate([s.atomic_numbers for s in kept]),
        "positions_1e4A": (np.concatenate([s.positions for s in kept]) * 1e4).round().astype(int),
        "cells_1e4A": (np.stack(cells) * 1e4).round().astype(int),
        "pbc": np.array([s.pbc for s in kept]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_sevennet.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_*.json")
    flags = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    structures = [*hostile(), *load_dataset("crystals", n=52, seed=0)]
    structures += list(load_dataset("qm9", n=4, seed=0))
    proofs, golden = [], {}
    for model, (name, source, modal) in MODELS.items():
        worst = {}
        for kind in ("float32", "float64"):
            with jax.enable_x64(kind == "float64"):
                theirs = original_rows(name, modal, structures, getattr(torch, kind))
                ours = ported_rows(source, modal, structures, getattr(np, kind))
            worst[kind] = compare(ours, theirs)
            print(model, kind, worst[kind], flush=True)
        golden[model] = theirs
        single, double = worst["float32"], worst["float64"]
        if max(single["relative"], single["energy"]) > 1e-4 or double["relative"] > 1e-10:
            raise SystemExit(f"{model} does not agree with the original; nothing was written")
        proofs.append(
            {
                "model": model,
                "original": f"sevenn {version('sevenn')}, torch {torch.__version__}",
                "structures": len(structures),
                "hidden_relative_float32": single["relative"],
                "hidden_absolute_float32": single["absolute"],
                "hidden_relative_float64": double["relative"],
                "energy_ev_per_atom_float32": single["energy"],
                "command": "python scripts/golden_sevennet.py --out=tests/data "
                "--proofs=benchmarks/results",
            }
        )
    archive = ARCHIVES["sevenn"]
    provenance = {
        "script": "scripts/golden_sevennet.py",
        "archive": f"{archive.requirement} sha256 {archive.sha256}",
        "torch": torch.__version__,
        "e3nn": version("e3nn"),
        "values": "of the original in float64",
        "float32": max(p["hidden_relative_float32"] for p in proofs),
        "float64": max(p["hidden_relative_float64"] for p in proofs),
    }
    output = flags.out / "golden_sevennet.npz"
    arrays = golden_arrays(structures, golden)
    np.savez_compressed(output, **arrays, provenance=json.dumps(provenance))
    print(f"{output}: {output.stat().st_size:,} bytes")
    (flags.proofs / "proofs_sevennet.json").write_text(json.dumps(proofs, indent=1) + "\n")


if __name__ == "__main__":
    main()
