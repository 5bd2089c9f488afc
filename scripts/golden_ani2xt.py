"""Proves the ANI-2xt port against auto3d and writes the golden values of its tests.

Needs an environment of its own with torch, auto3d 3.2.3 and torchani 2.9 (auto3d and torchani
without their dependencies: `pip install --no-deps`) besides this package:

    python scripts/golden_ani2xt.py --out=tests/data --proofs=benchmarks/results

Environment vectors, all hidden states and energies are compared on 80 molecules of all seven
elements, in float32 (largest difference relative to the largest value of the layer; must be ≤ 1e-4,
and energies ≤ 1e-4 eV an atom) and float64 (≤ 1e-10). Takes a few minutes.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import ani_proof
import jax
import numpy as np
import torch
from Auto3D.engines.models.ani2xt import ANI2xt
from Auto3D.engines.models.species import to_ani2xt_species

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.ani import ani, catalog_ani2xt
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_ani2xt.py --out=tests/data --proofs=benchmarks/results"
FROM_ASE = ("H", "H2O", "CH3Cl", "SO2", "C4H4S", "CF4", "H2CO", "CH3CONH2")
FROM_SMILES = {"flucloxacillin": "Cc1onc(-c2c(F)cccc2Cl)c1C(=O)NC1C(=O)N2C(C(=O)O)C(C)(C)SC12"}
SCAFFOLDS = ("F", "Cl", "S", "[F,Cl].[S,s]", "c1ccccc1")
COLUMNS = {"aev": 112, "hidden_1": 64, "hidden_2": 48, "hidden_3": 40}  # every such column
POOLED_COLUMNS = slice(0, None, 20)


def molecules() -> tuple[list[Structure], int]:
    """All molecules, and how many of the first of them go into the golden file."""
    golden = [ani_proof.from_ase(name) for name in FROM_ASE]
    golden += [ani_proof.from_smiles(name, smiles) for name, smiles in FROM_SMILES.items()]
    more = [ani_proof.from_ase(name) for name in ("HCl", "HF", "SH2", "ClF3", "Cl2", "F2O", "CS2")]
    more += ani_proof.hostile() + ani_proof.from_qm9(20, ani.ANI_2XT.aev.elements)
    return golden + more + ani_proof.from_scaffolds(10, SCAFFOLDS), len(golden)


@torch.no_grad()
def original(structures, dtype) -> ani_proof.Values:
    """What the original gives."""
    model = ANI2xt(torch.device("cpu"))
    if dtype == torch.float64:  # a cast to float32 would round the self energies, which are float64
        model = model.double()
    vectors, species, energies = [], [], []
    for s in structures:
        kinds = torch.tensor([to_ani2xt_species(s.atomic_numbers.tolist())])
        positions = torch.tensor(s.positions[None], dtype=dtype)
        vectors.append(model.aev_computer(kinds, positions)[0])
        species.append(kinds[0])
        energies.append(float(model(kinds, positions)))
    values = {"aev": torch.cat(vectors).numpy(), "energy_eV": np.array(energies)}
    for depth, layer in enumerate(ani.LAYERS[1:], start=1):
        # Each atom through the network of its element, up to an activation.
        rows = [
            model.networks[s][: 2 * depth](x).numpy()
            for s, x in zip(torch.cat(species), torch.cat(vectors), strict=True)
        ]
        values[layer] = ani_proof.pad(rows, ani.ANI_2XT.width(layer))
    return values


def compare(structures, dtype: str):
    """Differences, and the original's values."""
    entry = catalog_ani2xt.ENTRIES[0]
    theirs = original(structures, getattr(torch, dtype))
    ours = ani_proof.ported(ani.ANI_2XT, entry.build(entry), structures, getattr(np, dtype))
    return ani_proof.differences(ours, theirs, structures), theirs


def write_golden(path: Path, structures, values: ani_proof.Values, row) -> None:
    """Values of the original in float64 on the first structures."""
    atoms = sum(len(s.atomic_numbers) for s in structures)
    golden = {name: values[name][:atoms, ::step] for name, step in COLUMNS.items()}
    golden["mean"] = ani_proof.mean(values["hidden_3"][:atoms], structures)[:, POOLED_COLUMNS]
    golden = {name: value.astype(np.float32) for name, value in golden.items()}
    golden["energy_eV"] = values["energy_eV"][: len(structures)]
    worst = {name: row[f"hidden_relative_{name}"] for name in ("float32", "float64")}
    provenance = {
        "script": "scripts/golden_ani2xt.py",
        "archive": f"{ARCHIVES['auto3d'].requirement} sha256 {ARCHIVES['auto3d'].sha256}",
        "torchani": version("torchani"),
        "torch": torch.__version__,
        "values": "of the original in float64",
        "hidden_relative": worst,
    }
    columns = ani_proof.golden_columns(structures)
    np.savez_compressed(path, **columns, provenance=json.dumps(provenance), **golden)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_ani2xt.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_ani.json")
    options = parser.parse_args()
    structures, count = molecules()
    single, _ = compare(structures, "float32")
    jax.config.update("jax_enable_x64", True)
    double, values = compare(structures, "float64")
    versions = f"auto3d {version('auto3d')}, torchani {version('torchani')}"
    original_name = f"{versions}, torch {torch.__version__}"
    row = ani_proof.proof_row(
        "ani-2xt", original_name, len(structures), COMMAND, single=single, double=double
    )
    ani_proof.write_rows(options.proofs, [row])
    write_golden(options.out / "golden_ani2xt.npz", structures[:count], values, row)


if __name__ == "__main__":
    main()
