"""Proves the ANI-1x and ANI-1ccx ports against torchani and writes the golden values of the tests.

Needs an environment of its own with torchani 2.2.4, torch and setuptools < 81 besides this package:

    python scripts/golden_ani.py --out=tests/data --proofs=benchmarks/results

Environment vectors, all hidden states and energies of all sixteen networks are compared on 68
molecules of 1 to 113 atoms, in float32 (largest difference relative to the largest value of the
layer; must be ≤ 1e-4, and energies ≤ 1e-4 eV an atom) and float64 (≤ 1e-10). The networks come from
the torchani 2.0 archive, since later archives hold empty files. Takes a few minutes.
"""

import argparse
import itertools
import json
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import ani_proof
import jax
import numpy as np
import torch
import torchani
from torchani.neurochem import Constants, load_model_ensemble, load_sae

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.ani import ani, catalog_ani
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_ani.py --out=tests/data --proofs=benchmarks/results"
FAMILIES = ("ani-1x", "ani-1ccx")
FROM_ASE = ("H", "N2", "H2O", "CH3CONH2", "C6H6")
FROM_SMILES = {
    "nonane": "CCCCCCCCC",  # 29 atoms, the largest of QM9
    "zwitterion": "C[N+](C)(C)CC(=O)[O-]",
    "tert-butyladamantane": "CC(C)(C)C12CC3CC(CC(C3)C1)C2",  # 34 neighbors within 3.5 Å
    "paclitaxel": (
        "CC1=C2C(C(=O)C3(C(CC4C(C3C(C(C2(C)C)(CC1OC(=O)C(C(C5=CC=CC=C5)NC(=O)C6=CC=CC=C6)O)O)"
        "OC(=O)C7=CC=CC=C7)(CO4)OC(=O)C)O)C)OC(=O)C"
    ),  # 113 atoms
}
COLUMNS = {"aev": 96, "hidden_1": 40, "hidden_2": 32, "hidden_3": 24}  # layer → every such column
POOLED_COLUMNS = slice(0, 6)


def molecules() -> tuple[list[Structure], int]:
    """All molecules, and how many of the first of them go into the golden file."""
    golden = [ani_proof.from_ase(name) for name in FROM_ASE]
    golden += [ani_proof.from_smiles(name, smiles) for name, smiles in FROM_SMILES.items()]
    more = ani_proof.hostile() + ani_proof.from_qm9(50, ani.ANI_1X.aev.elements)
    return golden + more, len(golden)


@torch.no_grad()
def original(family: str, folder: Path, structures, dtype) -> list[ani_proof.Values]:
    """What the eight networks of a family give."""
    root = folder / "torchani" / "resources" / f"{family}_8x"
    constants = Constants(str(next(root.glob("*.params"))))
    computer = torchani.AEVComputer(**constants).to(dtype)
    ensemble = load_model_ensemble(constants.species, str(root / "train"), 8).to(dtype)
    shift = load_sae(str(root / "sae_linfit.dat"))
    inputs = []
    for s in structures:
        species = torch.tensor([[ani.ANI_1X.aev.species[int(z)] for z in s.atomic_numbers]])
        inputs.append(computer((species, torch.tensor(s.positions[None], dtype=dtype))))
    return [_member(network, inputs, shift) for network in ensemble]


def _member(network, inputs, shift) -> ani_proof.Values:
    networks = list(network.values())
    values = {"aev": np.concatenate([aevs[0].numpy() for _, aevs in inputs])}
    for depth, layer in enumerate(ani.LAYERS[1:], start=1):
        # Each atom through the network of its element, up to an activation.
        rows = [
            networks[s][: 2 * depth](x).numpy()
            for species, aevs in inputs
            for s, x in zip(species[0], aevs[0], strict=True)
        ]
        values[layer] = ani_proof.pad(rows, ani.ANI_1X.width(layer))
    # The shift is float64 in both cases.
    hartree = [float(shift(network(one)).energies) for one in inputs]
    return values | {"energy_eV": ani.EV_PER_HARTREE * np.array(hartree)}


def compare(family: str, folder: Path, structures, dtype: str):
    """Differences of each member, and the original's values."""
    theirs = original(family, folder, structures, getattr(torch, dtype))
    entries = {entry.card.id: entry for entry in catalog_ani.ENTRIES}
    found = []
    for number, values in enumerate(theirs):
        entry = entries[f"{family}-{number}"]
        ours = ani_proof.ported(ani.ANI_1X, entry.build(entry), structures, getattr(np, dtype))
        found.append(ani_proof.differences(ours, values, structures))
    return found, theirs


def write_golden(path: Path, structures, originals, rows) -> None:
    """Values of the original in float64 on the first structures."""
    atoms = sum(len(s.atomic_numbers) for s in structures)
    first = originals["ani-1x"][0]
    golden = {name: first[name][:atoms, ::step] for name, step in COLUMNS.items()}
    golden = {name: value.astype(np.float32) for name, value in golden.items()}
    for family, members in originals.items():
        energy = np.stack([member["energy_eV"][: len(structures)] for member in members])
        golden[f"{family}_energy"] = energy / ani.EV_PER_HARTREE
        pooled = [ani_proof.mean(member["hidden_3"][:atoms], structures) for member in members]
        golden[f"{family}_mean"] = np.stack(pooled)[..., POOLED_COLUMNS].astype(np.float32)
    worst = {
        name: max(row[f"hidden_relative_{name}"] for row in rows) for name in ("float32", "float64")
    }
    provenance = {
        "script": "scripts/golden_ani.py",
        "archive": f"{ARCHIVES['torchani'].requirement} sha256 {ARCHIVES['torchani'].sha256}",
        "torchani": version("torchani"),
        "torch": torch.__version__,
        "values": "of the original in float64; energies in Hartree",
        "hidden_relative": worst,
    }
    columns = ani_proof.golden_columns(structures)
    np.savez_compressed(path, **columns, provenance=json.dumps(provenance), **golden)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_ani.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_ani.json")
    options = parser.parse_args()
    structures, count = molecules()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(fetch(ARCHIVES["torchani"])) as archive:
            archive.extractall(folder, [n for n in archive.namelist() if "/resources/" in n])
        single = [compare(family, Path(folder), structures, "float32")[0] for family in FAMILIES]
        jax.config.update("jax_enable_x64", True)
        double = [compare(family, Path(folder), structures, "float64") for family in FAMILIES]
    pairs = zip(itertools.chain(*single), itertools.chain(*(d for d, _ in double)), strict=True)
    names = [f"{family}-{number}" for family in FAMILIES for number in range(8)]
    original_name = f"torchani {version('torchani')}, torch {torch.__version__}"
    rows = [
        ani_proof.proof_row(name, original_name, len(structures), COMMAND, single=s, double=d)
        for name, (s, d) in zip(names, pairs, strict=True)
    ]
    ani_proof.write_rows(options.proofs, rows)
    originals = {family: values for family, (_, values) in zip(FAMILIES, double, strict=True)}
    write_golden(options.out / "golden_ani.npz", structures[:count], originals, rows)


if __name__ == "__main__":
    main()
