"""Proves the MACE port against mace-torch on random weights and writes the data of its tests.

Needs an environment of its own with mace-torch 0.3.16, e3nn 0.4.4 and torch besides this package:

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python scripts/golden_mace.py --out=tests/data \
        --proofs=benchmarks/results/proofs_mace.json

(the variable lets e3nn 0.4.4 read its own constants under newer torch). Models of the shapes of
the released ones are made with random weights, every parameter is perturbed, and the model goes
through files of four kinds: whole model, state dict, safetensors, npz. Messages and features of
all blocks and degrees, the descriptor and the energies are compared on crystals, molecules and
hostile structures, in float32 (largest difference relative to the largest value of the layer; must
be ≤ 1e-4, energies ≤ 1e-4 eV an atom) and float64 (≤ 1e-10). Takes about ten minutes.
"""

import argparse
import dataclasses
import functools
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import ase
import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import torch
from e3nn import o3
from mace import data, modules, tools
from mace.modules.utils import extract_invariant
from potential_proof import as_structure, compare

from jaxalign.models.mace import mace
from jaxalign.models.mace.mace_encoder import featurize_mace, mace_packing
from jaxalign.models.mace.mace_file import read_settings
from jaxalign.models.mace.mace_weights import convert_params, reference_energies
from jaxalign.models.weight_files.user_file import read_user_file
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

COMMAND = (
    "python scripts/golden_mace.py --out=tests/data --proofs=benchmarks/results/proofs_mace.json"
)
PLAIN, RESIDUAL, DENSITY, DENSITY_RESIDUAL = (
    f"RealAgnostic{kind}InteractionBlock" for kind in ("", "Residual", "Density", "DensityResidual")
)
ALL = tuple(range(1, 90))
ORGANIC = (1, 5, 6, 7, 8, 9, 15, 16, 17, 35, 53)
TINY = (1, 6, 8, 14)
# name: (settings, number of crystals and molecules); the shapes of released models stand in front.
MODELS = {
    "MP-0 medium (128x0e+128x1o, 89 elements)": (
        {"hidden": "128x0e+128x1o", "elements": ALL, "r_max": 6.0, "num_bessel": 10},
        16,
    ),
    "OFF23 small (96x0e, 11 elements)": (
        {"hidden": "96x0e", "elements": ORGANIC, "r_max": 4.5},
        24,
    ),
    "MP-0b like (density, Agnesi, ZBL, 32x0e+32x1o)": (
        {
            "hidden": "32x0e+32x1o",
            "elements": ALL,
            "first": DENSITY,
            "other": DENSITY_RESIDUAL,
            "distance_transform": "Agnesi",
            "pair_repulsion": True,
            "r_max": 6.0,
        },
        50,
    ),
    "MP-0 large like (16x0e+16x1o+16x2e)": (
        {"hidden": "16x0e+16x1o+16x2e", "elements": ALL, "r_max": 5.0},
        24,
    ),
    "plain first block, two heads, ZBL (16x0e+16x1o)": (
        {
            "hidden": "16x0e+16x1o",
            "elements": ALL,
            "first": PLAIN,
            "heads": ["one", "two"],
            "pair_repulsion": True,
        },
        50,
    ),
    "soft transform, late cutoff, three blocks (16x0e+16x1o)": (
        {
            "hidden": "16x0e+16x1o",
            "elements": ALL,
            "distance_transform": "Soft",
            "apply_cutoff": False,
            "first": DENSITY_RESIDUAL,
            "num_interactions": 3,
        },
        24,
    ),
    "no scale, shared product, one readout (16x0e+16x1o)": (
        {
            "hidden": "16x0e+16x1o",
            "elements": ALL,
            "scaled": False,
            "use_agnostic_product": True,
            "use_last_readout_only": True,
        },
        24,
    ),
    "tiny (4x0e+4x1o, 4 elements)": (
        {"hidden": "4x0e+4x1o", "elements": TINY, "r_max": 4.0, "radial_MLP": [16, 16]},
        52,
    ),
}


def random_model(
    *,
    hidden,
    elements,
    first=RESIDUAL,
    other=RESIDUAL,
    r_max=5.0,
    num_bessel=8,
    scaled=True,
    **settings,
):
    """A model of the original whose parameters are all drawn and perturbed, in float64."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(11)
    rng = np.random.default_rng(12)
    heads = len(settings.get("heads", ["Default"]))
    numbers = rng.normal(size=(heads, len(elements)), scale=3)
    if scaled:
        settings["atomic_inter_scale"] = list(0.8 + 0.1 * np.arange(heads))
        settings["atomic_inter_shift"] = list(0.16 - 0.1 * np.arange(heads))
    kind = modules.ScaleShiftMACE if scaled else modules.MACE
    model = kind(
        r_max=r_max,
        num_bessel=num_bessel,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes[other],
        interaction_cls_first=modules.interaction_classes[first],
        **{"num_interactions": 2, **settings},
        num_elements=len(elements),
        hidden_irreps=o3.Irreps(hidden),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=numbers,
        avg_num_neighbors=61.9649,
        atomic_numbers=list(elements),
        correlation=3,
        gate=torch.nn.functional.silu,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def files_of(model, folder: Path) -> dict[str, Path]:
    """The model in a file of each kind."""
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    config = {
        "avg_num_neighbors": [block.avg_num_neighbors for block in model.interactions],
        "heads": list(model.heads),
        "interaction_first": type(model.interactions[0]).__name__,
        "interaction": type(model.interactions[1]).__name__,
        "apply_cutoff": model.apply_cutoff,
    }
    if len(model.heads) > 1:
        config["head"] = model.heads[-1]
        (folder / "whole.json").write_text(json.dumps({"head": model.heads[-1]}))
    torch.save(model, folder / "whole.model")
    torch.save(model.state_dict(), folder / "state.pt")
    contiguous = {name: value.copy(order="C") for name, value in arrays.items()}
    safetensors.numpy.save_file(contiguous, folder / "state.safetensors")
    np.savez(folder / "state.npz", **arrays)
    (folder / "state.json").write_text(json.dumps(config))
    names = ("whole.model", "state.pt", "state.safetensors", "state.npz")
    return {name: folder / name for name in names}


def ported_model(model, folder: Path):
    """Settings, parameters and reference energies; they must not depend on the kind of file."""
    found = []
    for path in files_of(model, folder).values():
        file = read_user_file(path)
        settings = read_settings(file.arrays, file.modules, file.config)
        params, plans = convert_params(file.arrays, settings)
        found.append((settings, params, plans, reference_energies(file.arrays, settings)))
    for settings, params, _, reference in found[1:]:
        if settings != found[0][0] or reference != found[0][3]:
            raise SystemExit(f"files differ: {settings}, {found[0][0]}")
        jax.tree.map(np.testing.assert_array_equal, params, found[0][1])
    settings, params, plans, reference = found[0]
    return mace.Mace(settings, plans), params, reference


def hostile(elements) -> list[Structure]:
    """One atom, isolated ones, a slab, skewed and unwrapped cells, a squeezed molecule."""
    z = {"light": elements[0], "heavy": elements[-1], "middle": elements[len(elements) // 2]}
    bulk = ase.build.bulk("Si")
    bulk.numbers[:] = z["middle"]
    rattled = bulk * (2, 1, 1)
    rattled.numbers[0] = z["heavy"]
    rattled.rattle(0.1, seed=3)
    skewed = rattled.copy()
    skewed.set_cell(skewed.cell.array @ np.array([[1, 0, 0], [1.4, 1, 0], [0.3, -0.9, 1]]), True)
    unwrapped = rattled.copy()
    unwrapped.positions += np.array([[37.0, -12.0, 5.0], [0, 0, 0], [-8, 60, 1], [2, 2, -20]])
    slab = ase.build.fcc100("Cu", (1, 1, 3), vacuum=6)
    slab.numbers[:] = [z["middle"], z["heavy"], z["light"]]
    slab.pbc = (True, True, False)
    pair = ase.Atoms(numbers=[z["light"], z["heavy"]], positions=[[0, 0, 0], [30, 0, 0]])
    squeezed = ase.Atoms(numbers=[z["middle"]] * 3, positions=[[0, 0, 0], [0.5, 0, 0], [0, 0.6, 0]])
    single = ase.Atoms(numbers=[z["heavy"]], positions=[[1, 2, 3]])
    named = {
        "one-atom-cell": ase.Atoms([z["middle"]], cell=np.eye(3) * 2.6, pbc=True),
        "rattled": rattled,
        "skewed": skewed,
        "unwrapped": unwrapped,
        "slab": slab,
        "no-edge": pair,
        "squeezed": squeezed,
        "isolated": single,
    }
    return [as_structure(name, atoms) for name, atoms in named.items()]


def _rounded(structure: Structure) -> Structure:
    """With positions and cell as the golden file keeps them."""
    cell = None if structure.cell is None else np.round(structure.cell, 4)
    return dataclasses.replace(structure, positions=np.round(structure.positions, 4), cell=cell)


def chosen_structures(elements, count: int) -> list[Structure]:
    """Small crystals and molecules whose elements are known, and the hostile ones."""
    known, found = set(elements), hostile(elements)
    for name, share in (("crystals", 0.5), ("qm9", 1.0)):
        candidates = [
            _rounded(s)
            for s in load_dataset(name, n=3900, seed=0)
            if set(s.atomic_numbers.tolist()) <= known and len(s.atomic_numbers) <= 12
        ]
        found += candidates[: max(0, round(share * (count + 8 - len(found))))]
    return found


def original_rows(model, structures, dtype) -> list[dict[str, np.ndarray]]:
    """Messages and features of each block, descriptor and energies of each structure."""
    torch.set_default_dtype(dtype)
    model = model.to(dtype)
    elements = model.atomic_numbers.tolist()
    table = tools.AtomicNumberTable(elements)
    return [_original_row(model, table, structure) for structure in structures]


@torch.no_grad()
def _original_row(model, table, structure):
    atoms = ase.Atoms(
        structure.atomic_numbers, structure.positions, cell=structure.cell, pbc=structure.pbc
    )
    config = data.config_from_atoms(atoms, head_name=model.heads[-1])
    item = data.AtomicData.from_config(
        config, z_table=table, cutoff=float(model.r_max), heads=model.heads
    )
    batch = next(iter(tools.torch_geometric.dataloader.DataLoader([item], batch_size=1)))
    row = {}

    def keep(name, _, __, value):
        row[name] = (value[0] if isinstance(value, tuple) else value).numpy()

    hooks = [
        module.register_forward_hook(functools.partial(keep, f"{kind}_{t + 1}"))
        for kind, modules_ in (("messages", model.interactions), ("features", model.products))
        for t, module in enumerate(modules_)
    ]
    result = model(batch.to_dict(), compute_force=False)
    for hook in hooks:
        hook.remove()
    irreps = o3.Irreps(str(model.products[0].linear.irreps_out))
    row["descriptor"] = extract_invariant(
        result["node_feats"],
        num_layers=int(model.num_interactions),
        num_features=irreps.dim // (irreps.lmax + 1) ** 2,
        l_max=irreps.lmax,
    ).numpy()
    own = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[-1].double()
    alone = float(sum(own[table.z_to_index(int(z))] for z in structure.atomic_numbers))
    total = float(result["energy"])
    row["energies"] = np.array([float(result.get("interaction_energy", total - alone)), total])
    return row


def ported_rows(port, structures, dtype) -> list[dict[str, np.ndarray]]:
    """The same of the port, all structures in few batches."""
    model, params, reference = port
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    packing = mace_packing(model.settings)
    vectors = dataclasses.replace(packing.layout["vectors"], dtype=dtype)
    packing = dataclasses.replace(packing, layout={**packing.layout, "vectors": vectors})

    @jax.jit
    def run(params, batch):
        states = mace.mace_states(model, params, batch)
        energies = mace.readout_energy(model, params, batch, states)
        return states, mace.layer_values(states, "descriptor"), energies

    examples = [featurize_mace(structure, settings=model.settings) for structure in structures]
    rows: list[dict[str, np.ndarray]] = [{} for _ in structures]
    for plan in packing.plan(examples):
        batch = packing.collate([examples[row] for row in plan.rows], plan.shape)
        states, descriptor, energies = jax.tree.map(np.asarray, run(params, batch))
        for slot, number in enumerate(plan.rows):
            own = batch["graph"] == slot
            row = rows[number]
            for t, (messages, features) in enumerate(states):
                stacked = np.concatenate([messages[d][own] for d in sorted(messages)], axis=1)
                row[f"messages_{t + 1}"] = np.swapaxes(stacked, 1, 2)
                row[f"features_{t + 1}"] = np.asarray(mace.flatten(features))[own]
            row["descriptor"] = descriptor[own]
            atoms = structures[number].atomic_numbers
            alone = sum(reference[int(z)] for z in atoms)
            row["energies"] = np.array([energies[slot], float(energies[slot]) + alone])
    return rows


def prove(name: str):
    """Proof of one model, its port, the structures and the original's values in float64."""
    settings, count = MODELS[name]
    model = random_model(**settings)
    with tempfile.TemporaryDirectory() as folder:
        port = ported_model(model, Path(folder))
    arrays = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    structures = chosen_structures(settings["elements"], count)
    double = original_rows(model, structures, torch.float64)
    errors64 = compare(double, ported_rows(port, structures, np.float64), structures)
    single = original_rows(model, structures, torch.float32)
    errors32 = compare(single, ported_rows(port, structures, np.float32), structures)
    proof = {
        "model": f"MACE, random weights: {name}",
        "original": f"mace-torch {version('mace-torch')}, e3nn {version('e3nn')}",
        "structures": len(structures),
        "hidden_relative_float32": errors32["relative"],
        "hidden_absolute_float32": errors32["absolute"],
        "hidden_relative_float64": errors64["relative"],
        "energy_ev_per_atom_float32": errors32["energy"],
        "energy_ev_per_atom_float64": errors64["energy"],
        "command": COMMAND,
    }
    print(json.dumps(proof, indent=1, ensure_ascii=False), flush=True)
    return proof, arrays, structures, double


def write_golden(path: Path, proofs, arrays, structures, rows) -> None:
    """The tiny model's weights in float32, and the original's values on twelve structures."""
    chosen = range(12)
    structures = [structures[i] for i in chosen]
    golden = {
        key: np.concatenate([rows[i][key] for i in chosen]).astype(np.float32)
        for key in rows[0]
        if key != "energies"
    }
    cells = [np.zeros((3, 3)) if s.cell is None else s.cell for s in structures]
    weights = {
        f"weights/{key}": a.astype(np.float32) if a.dtype.kind == "f" else a
        for key, a in arrays.items()
        if a.size
    }
    np.savez_compressed(
        path,
        ids=np.array([s.id for s in structures]),
        atoms=np.array([len(s.atomic_numbers) for s in structures]),
        atomic_numbers=np.concatenate([s.atomic_numbers for s in structures]),
        positions_1e4A=np.concatenate([s.positions * 1e4 for s in structures]).round().astype(int),
        cells_1e4A=np.array(cells).dot(1e4).round().astype(int),
        pbc=np.array([s.pbc for s in structures]),
        energies=np.stack([rows[i]["energies"] for i in chosen]),
        provenance=json.dumps({"script": "scripts/golden_mace.py", "proofs": proofs}),
        **golden,
        **weights,
    )
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_mace.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="JSON file of the proofs")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    proofs = []
    for name in MODELS:
        proof, arrays, structures, rows = prove(name)
        proofs.append(proof)
        errors = {key: value for key, value in proof.items() if key.endswith(("32", "64"))}
        worst32 = max(errors["hidden_relative_float32"], errors["energy_ev_per_atom_float32"])
        if worst32 > 1e-4 or errors["hidden_relative_float64"] > 1e-10:
            raise SystemExit(f"the port of {name} does not agree; nothing was written")
    arguments.proofs.parent.mkdir(parents=True, exist_ok=True)
    arguments.proofs.write_text(json.dumps(proofs, indent=1, ensure_ascii=False) + "\n")
    write_golden(arguments.out / "golden_mace.npz", proofs, arrays, structures, rows)


if __name__ == "__main__":
    main()
