"""Proves the ANI port against torchani and writes the golden activations of its tests.

Needs an environment of its own with torchani 2.2.4, torch and setuptools < 81 besides this package:

    python scripts/golden_ani.py --out=tests/data

Environment vectors, last hidden states and energies of all sixteen networks are compared on
molecules of 1 to 113 atoms, in float32 (largest difference relative to the largest value of the
layer; must be ≤ 1e-4, and energies ≤ 1e-4 eV an atom) and float64 (≤ 1e-10). The networks come from
the torchani 2.0 archive, since later archives hold empty files. Takes a few minutes.
"""

import argparse
import functools
import json
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchani
from rdkit import Chem
from rdkit.Chem import AllChem
from torchani.neurochem import Constants, load_model_ensemble, load_sae

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models import ani, catalog_ani
from jaxalign.models.neighbor_list import collate_atoms
from jaxalign.structures.structure import Structure

EV_PER_HARTREE = 27.211386
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
COLUMNS = {"aev": slice(None, None, 96), "hidden_3": slice(None, None, 24)}
POOLED_COLUMNS = slice(0, 6)


def molecules() -> list[Structure]:
    atoms = {name: ase.build.molecule(name) for name in FROM_ASE}
    found = [(name, a.numbers, a.positions) for name, a in atoms.items()]
    for name, smiles in FROM_SMILES.items():
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(molecule, randomSeed=7)
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        found.append((name, numbers, molecule.GetConformer().GetPositions()))
    return [
        Structure(
            id=name, atomic_numbers=np.array(n, np.int32), positions=np.round(p, 4).astype(float)
        )
        for name, n, p in found
    ]


def original_layers(family: str, folder: Path, structures, dtype) -> list[dict[str, np.ndarray]]:
    """For each member: `aev` and `hidden_3` of all atoms, pooled `mean`, total `energy`."""
    root = folder / "torchani" / "resources" / f"{family}_8x"
    constants = Constants(str(next(root.glob("*.params"))))
    computer = torchani.AEVComputer(**constants).to(dtype)
    ensemble = load_model_ensemble(constants.species, str(root / "train"), 8).to(dtype)
    shift = load_sae(str(root / "sae_linfit.dat"))
    members = []
    for member in ensemble:
        rows = [_original_molecule(member, computer, shift, s, dtype) for s in structures]
        members.append(
            {
                "aev": np.concatenate([row[0] for row in rows]),
                "hidden_3": np.concatenate([row[1] for row in rows]),
                "mean": np.stack([row[1].mean(axis=0) for row in rows]),
                "energy": np.array([row[2] for row in rows]),
            }
        )
    return members


@torch.no_grad()
def _original_molecule(member, computer, shift, structure, dtype):
    species = torch.tensor([[ani.SPECIES[int(z)] for z in structure.atomic_numbers]])
    positions = torch.tensor(structure.positions[None], dtype=dtype)
    aev = computer((species, positions)).aevs
    # All modules but the readout; each atom through the network of its element.
    states = [list(member.values())[s][:-1](x) for s, x in zip(species[0], aev[0], strict=True)]
    energy = shift(member((species, aev))).energies  # the shift is float64 in both cases
    return aev[0].numpy(), torch.stack(states).numpy(), float(energy)


def ported_layers(family: str, structures, dtype) -> list[dict[str, np.ndarray]]:
    """The same of the port."""
    entries = {entry.card.id: entry for entry in catalog_ani.ENTRIES}
    members = []
    for number in range(8):
        entry = entries[f"{family}-{number}"]
        encoder = entry.build(entry)
        params = jax.tree.map(lambda x: jnp.asarray(x, dtype), encoder.params)
        rows = [_ported_molecule(encoder, params, family, s, dtype) for s in structures]
        members.append(
            {
                "aev": np.concatenate([row["aev"] for row in rows]),
                "hidden_3": np.concatenate([row["hidden_3"] for row in rows]),
                "mean": np.stack([row["hidden_3"].mean(axis=0) for row in rows]),
                "energy": np.array([row["energy"] for row in rows]),
            }
        )
    return members


def _ported_molecule(encoder, params, family: str, structure: Structure, dtype):
    example = encoder.featurize(structure)
    size = encoder.batching.size(example)
    bucket = next(bucket for bucket in encoder.batching.buckets if bucket >= size)
    batch = collate_atoms([example], bucket, 1, slots=ani.neighbor_slots(bucket), dtype=dtype)
    row = {}
    for layer in ani.LAYERS:
        values, mask = _apply(params, batch, layer)
        row[layer] = np.asarray(values)[np.asarray(mask)]
    row["energy"] = ani.energy(params, batch, self_energies=ani.SELF_ENERGIES[family])[0]
    return row


_apply = functools.partial(jax.jit, static_argnums=2)(ani.apply_ani)


def compare(folder: Path, structures, dtype: str) -> tuple[dict[str, float], dict[str, list]]:
    """Largest differences over all networks (energy: eV an atom), and the original's values."""
    worst: dict[str, float] = {}
    originals = {}
    atoms = np.array([len(s.atomic_numbers) for s in structures])
    for family in FAMILIES:
        theirs = original_layers(family, folder, structures, getattr(torch, dtype))
        ours = ported_layers(family, structures, getattr(np, dtype))
        originals[family] = theirs
        for one, other in zip(ours, theirs, strict=True):
            for name in ("aev", "hidden_3", "mean"):
                value = np.abs(one[name] - other[name]).max() / np.abs(other[name]).max()
                worst[name] = max(worst.get(name, 0.0), float(value))
            off = np.abs(one["energy"] - other["energy"]) / atoms * EV_PER_HARTREE
            worst["energy_eV_per_atom"] = max(
                worst.get("energy_eV_per_atom", 0.0), float(off.max())
            )
    return worst, originals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_ani.npz")
    output = parser.parse_args().out / "golden_ani.npz"
    structures = molecules()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(fetch(ARCHIVES["torchani"])) as archive:
            archive.extractall(folder, [n for n in archive.namelist() if "/resources/" in n])
        single, _ = compare(Path(folder), structures, "float32")
        jax.config.update("jax_enable_x64", True)
        double, originals = compare(Path(folder), structures, "float64")
    print("float32:", {name: f"{value:.1e}" for name, value in single.items()})
    print("float64:", {name: f"{value:.1e}" for name, value in double.items()})
    if max(single.values()) > 1e-4 or max(double.values()) > 1e-10:
        raise SystemExit("the port does not agree with the original; nothing was written")
    provenance = {
        "script": "scripts/golden_ani.py",
        "archive": f"{ARCHIVES['torchani'].requirement} sha256 {ARCHIVES['torchani'].sha256}",
        "torchani": version("torchani"),
        "torch": torch.__version__,
        "values": "of the original in float64",
        "float32": single,
        "float64": double,
    }
    golden = {name: originals["ani-1x"][0][name][:, c] for name, c in COLUMNS.items()}
    golden = {name: value.astype(np.float32) for name, value in golden.items()}
    for family, members in originals.items():
        golden[f"{family}_energy"] = np.stack([member["energy"] for member in members])
        pooled = np.stack([member["mean"][:, POOLED_COLUMNS] for member in members])
        golden[f"{family}_mean"] = pooled.astype(np.float32)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        output,
        names=np.array([s.id for s in structures]),
        atoms=np.array([len(s.atomic_numbers) for s in structures]),
        atomic_numbers=np.concatenate([s.atomic_numbers for s in structures]),
        positions_1e4A=np.concatenate([s.positions * 1e4 for s in structures]).round().astype(int),
        provenance=json.dumps(provenance),
        **golden,
    )
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
