"""Proves the SO3LR port against so3krates-torch and writes the golden activations of its tests.

Needs an environment of its own with so3krates-torch 0.2.1 (and so torch) besides this package:

    python scripts/golden_so3lr.py --out=tests/data --proofs=benchmarks/results

Invariant and equivariant features of every block, and energies term by term, are compared on
molecules of QM9, larger ones with S, P, Cl and F, crystals, and hostile structures: in float32
(largest difference relative to the largest value of the layer; must be ≤ 1e-4, and energies ≤ 1e-4
eV an atom) and in float64 (≤ 1e-10). Takes about two minutes.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
from pathlib import Path

import ase
import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import AllChem
from so3krates_torch.calculator.so3 import SO3LRCalculator

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.graph_packing import GraphPacking
from jaxalign.models.registry import load_model
from jaxalign.models.so3lr import so3krates, so3lr_energy
from jaxalign.models.so3lr.so3krates_graph import SPECIES
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

SMILES = {
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "sulfonamide": "NS(=O)(=O)c1ccc(Cl)cc1F",
    "phosphate": "CCOP(=S)(OCC)Oc1nc(Cl)c(Cl)cc1Cl",
    "cysteine-glycine": "N[C@@H](CS)C(=O)NCC(=O)O",
}
TERMS = ("repulsion", "electrostatics", "dispersion")
HOOKED = ("zbl_repulsion", "electrostatic_potential", "dispersion_potential")
BLOCKS = range(1, 4)
# What the golden file keeps: these structures, and some columns of every atom.
GOLDEN = ("H2O", "oxygen atom", "two waters, 8 Å apart", "PH3", "sulfonamide", "squeezed benzene")
GOLDEN_PERIODIC = ("ice cell", "rattled diamond", "skewed cell", "slab", "unwrapped")
COLUMNS = {"": slice(None, None, 16), "_equivariant": slice(None, None, 4)}


def from_ase(name: str, atoms: ase.Atoms) -> Structure:
    cell = np.array(atoms.cell.array) if atoms.pbc.any() else None
    return Structure(
        id=name,
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=atoms.positions.astype(float),
        cell=cell,
        pbc=tuple(map(bool, atoms.pbc)),
    )


def hostile() -> list[Structure]:
    rng = np.random.default_rng(5)
    water, benzene = ase.build.molecule("H2O"), ase.build.molecule("C6H6")
    benzene.positions *= 0.7
    apart = ase.build.molecule("H2O")
    apart.positions += [8.0, 1.0, 0.0]
    ice = ase.Atoms(
        "OH2", [[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]], cell=[3.2, 3.5, 3.9], pbc=True
    )
    diamond = ase.build.bulk("C", "diamond", a=3.567, cubic=True)
    diamond.positions += 0.05 * rng.normal(size=(8, 3))
    skewed = ase.Atoms(
        "CHNO", rng.uniform(0, 4, (4, 3)), cell=[[4, 0, 0], [3.1, 4.5, 0], [-2, 2.7, 5]], pbc=True
    )
    slab = ase.build.graphene(size=(2, 2, 1), vacuum=6.0)
    slab.pbc = (True, True, False)
    unwrapped = ice.copy()
    unwrapped.positions += rng.integers(-3, 4, (3, 3)) @ ice.cell.array
    found = {
        "H2O": water,
        "oxygen atom": ase.Atoms("O"),
        "far pair": ase.Atoms("CH", [[0, 0, 0], [6.0, 0, 0]]),
        "two waters, 8 Å apart": water + apart,
        "squeezed benzene": benzene,
        "ice cell": ice,
        "rattled diamond": diamond,
        "skewed cell": skewed,
        "slab": slab,
        "unwrapped": unwrapped,
    }
    found |= {name: ase.build.molecule(name) for name in ("O2", "PH3", "CH3Cl", "CF4", "C4H4S")}
    return [from_ase(name, atoms) for name, atoms in found.items()]


def structures() -> list[Structure]:
    """Real molecules and crystals, then the hostile ones."""
    real = [*load_dataset("qm9", n=40, seed=3)]
    known = [s for s in load_dataset("crystals") if {*s.atomic_numbers.tolist()} <= {*SPECIES}]
    real += known[:16]
    for name, smiles in SMILES.items():
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(molecule, randomSeed=7)
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        positions = np.round(molecule.GetConformer().GetPositions(), 4)
        real.append(from_ase(name, ase.Atoms(numbers, positions)))
    return [*real, *hostile()]


class Original:
    """The package itself; every block and every term of the energy is listened to."""

    def __init__(self, dtype: str):
        with contextlib.redirect_stdout(io.StringIO()):
            self._calculator = SO3LRCalculator(default_dtype=dtype)
        self._model = self._calculator.models[0].eval()
        self._heard: dict = {}
        for number, block in enumerate(self._model.euclidean_transformers, start=1):
            block.register_forward_hook(self._listen(f"block_{number}"))
        for name, term in zip(HOOKED, TERMS, strict=True):
            getattr(self._model, name).register_forward_hook(self._listen(term))

    def _listen(self, name: str):
        def hook(_, __, output):
            parts = output if isinstance(output, tuple) else (output,)
            self._heard[name] = [part.detach().clone().numpy() for part in parts]

        return hook

    def values(self, structure: Structure) -> dict[str, np.ndarray]:
        """Features of all atoms after each block, energies in eV."""
        atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
        if structure.cell is not None:
            atoms.cell, atoms.pbc = structure.cell, structure.pbc
        batch = self._calculator._atoms_to_batch(atoms).to_dict()
        energy = self._model(batch, compute_force=False)["energy"].detach()
        found = {"energy": energy.double().numpy()}
        for number in BLOCKS:
            x, v = self._heard[f"block_{number}"]
            found |= {f"block_{number}": x, f"block_{number}_equivariant": v}
        return found | {name: self._heard[name][0].sum()[None] for name in TERMS}


def ported(structures: list[Structure], dtype) -> list[dict[str, np.ndarray]]:
    """The same of the port, all structures in one batch."""
    encoder = load_model("so3lr")
    model = encoder.energy
    cast = {
        name: dataclasses.replace(field, dtype=dtype) if field.points_to is None else field
        for name, field in so3lr_energy.FAR_LAYOUT.items()
        if name != "species"
    }
    layout = {"species": so3lr_energy.FAR_LAYOUT["species"], **cast}
    packing = GraphPacking(layout, dict.fromkeys(model.batching.budget, 10**9))
    examples = [model.featurize(structure) for structure in structures]
    (plan,) = packing.plan(examples)
    batch = packing.collate(examples, plan.shape)
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), encoder.params)

    @jax.jit
    def everything(params, batch):
        states = so3krates.atom_states(params, batch)
        return dict(zip(BLOCKS, states, strict=True)), so3lr_energy.energy_terms(params, batch)

    states, terms = jax.tree.map(np.asarray, everything(params, batch))
    rows = []
    for number, structure in enumerate(structures):
        own = batch["slots"][number][: len(structure.atomic_numbers)]
        row = {f"block_{n}": states[n].invariant[own] for n in BLOCKS}
        row |= {f"block_{n}_equivariant": states[n].equivariant[own] for n in BLOCKS}
        row |= {name: value[number : number + 1] for name, value in terms.items()}
        reference = sum(model.reference[int(z)] for z in structure.atomic_numbers)
        total = sum(float(value[number]) for value in terms.values())
        rows.append({**row, "energy": np.array([total + reference])})
    return rows


def compare(structures: list[Structure], dtype: str) -> tuple[dict, list[dict[str, np.ndarray]]]:
    """Largest differences (layers: relative and absolute; energies: eV an atom), and originals."""
    original = Original(dtype)
    theirs = [original.values(structure) for structure in structures]
    ours = ported(structures, getattr(np, dtype))
    atoms = np.array([len(s.atomic_numbers) for s in structures])
    found: dict[str, dict[str, float]] = {"relative": {}, "absolute": {}, "ev_per_atom": {}}
    for name in theirs[0]:
        off = [np.abs(a[name] - b[name]).max() for a, b in zip(ours, theirs, strict=True)]
        if name.startswith("block"):
            largest = max(np.abs(row[name]).max() for row in theirs)
            found["absolute"][name] = float(max(off))
            found["relative"][name] = float(max(off) / largest)
        else:
            found["ev_per_atom"][name] = float((np.array(off) / atoms).max())
    return found, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_so3lr.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_so3lr.json")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    chosen = structures()
    single, _ = compare(chosen, "float32")
    jax.config.update("jax_enable_x64", True)
    double, originals = compare(chosen, "float64")
    print(len(chosen), "structures")
    print("float32:", json.dumps(single, indent=1))
    print("float64:", json.dumps(double, indent=1))
    if max(single["relative"].values()) > 1e-4 or single["ev_per_atom"]["energy"] > 1e-4:
        raise SystemExit("the port does not agree in float32; nothing was written")
    if max(double["relative"].values()) > 1e-10 or max(double["ev_per_atom"].values()) > 1e-10:
        raise SystemExit("the port does not agree in float64; nothing was written")
    archive = ARCHIVES["so3krates-torch"]
    proof = {
        "model": "so3lr",
        "original": f"so3krates-torch {archive.version}, torch {torch.__version__}",
        "structures": len(chosen),
        "hidden_relative_float32": max(single["relative"].values()),
        "hidden_absolute_float32": max(single["absolute"].values()),
        "hidden_relative_float64": max(double["relative"].values()),
        "energy_ev_per_atom_float32": single["ev_per_atom"]["energy"],
        "command": "python scripts/golden_so3lr.py --out=tests/data --proofs=benchmarks/results",
    }
    file = arguments.proofs / "proofs_so3lr.json"
    file.write_text(json.dumps([proof], indent=1) + "\n")
    rows = {s.id: (s, row) for s, row in zip(chosen, originals, strict=True)}
    kept = [rows[name] for name in (*GOLDEN, *GOLDEN_PERIODIC)]
    write_golden(arguments.out / "golden_so3lr.npz", kept, single, double)


def write_golden(output: Path, kept: list, single: dict, double: dict) -> None:
    archive = ARCHIVES["so3krates-torch"]
    provenance = {
        "script": "scripts/golden_so3lr.py",
        "archive": f"{archive.requirement} sha256 {archive.sha256}",
        "torch": torch.__version__,
        "values": "of the original in float64",
        "float32": single,
        "float64": double,
    }
    chosen, originals = zip(*kept, strict=True)
    golden = {
        f"block_{n}{kind}": np.concatenate([row[f"block_{n}{kind}"][:, c] for row in originals])
        for n in BLOCKS
        for kind, c in COLUMNS.items()
    }
    golden = {name: value.astype(np.float32) for name, value in golden.items()}
    golden |= {name: np.concatenate([r[name] for r in originals]) for name in ("energy", *TERMS)}
    np.savez_compressed(
        output,
        names=np.array([s.id for s in chosen]),
        atoms=np.array([len(s.atomic_numbers) for s in chosen]),
        atomic_numbers=np.concatenate([s.atomic_numbers for s in chosen]),
        positions=np.concatenate([s.positions for s in chosen]),
        cells=np.stack([np.zeros((3, 3)) if s.cell is None else s.cell for s in chosen]),
        pbc=np.array([s.pbc for s in chosen]),
        mean=np.stack([row["block_3"].mean(axis=0) for row in originals]).astype(np.float32),
        provenance=json.dumps(provenance),
        **golden,
    )
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
