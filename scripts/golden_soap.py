"""Proves SOAP, Coulomb and sine matrices against DScribe and writes the golden rows of their tests.

Needs an environment of its own with dscribe 2.1.2 and ase < 3.26 besides this package:

    PYTHONPATH=. python scripts/golden_soap.py --out=tests/data --proofs=benchmarks/results

What DScribe computes is in `benchmarks/originals/soap.py`. Rows are compared in float64 and as they
are stored (float32), relative to the largest value of the row, and must agree to 1e-8 and 1e-6.
Takes about a minute.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import ase
import ase.build
import numpy as np

from benchmarks.originals.soap import ROWS
from jaxalign.models.descriptors import coulomb, soap
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

COUNT = 60  # structures of each data set
COLUMNS = slice(None, None, 7)  # of SOAP, in the golden file
LIMITS = {"float64": 1e-8, "float32": 1e-6}
COMMAND = "PYTHONPATH=. python scripts/golden_soap.py --out=tests/data --proofs=benchmarks/results"
GOLDEN = ("hostile/water", "hostile/one", "hostile/apart", "hostile/salt", "hostile/slab")
GOLDEN += ("hostile/skewed", "hostile/unwrapped", "hostile/squeezed")


def hostile() -> list[Structure]:
    """Molecules and cells at the borders of what neighbor lists and expansions must take."""
    skewed = ase.build.make_supercell(
        ase.build.bulk("LaN", "rocksalt", a=5.3), [[1, 0, 0], [3, 1, 0], [-2, 4, 1]]
    )
    unwrapped = ase.build.bulk("ZnS", "wurtzite", a=3.81)
    unwrapped.positions += np.array([[0, 0, 0], [9.1, -7.3, 4.2], [-30, 8, 5], [1, 1, 40]])
    squeezed = ase.build.bulk("Cs", "bcc", a=6.05)
    squeezed.set_cell(0.55 * squeezed.cell, scale_atoms=True)
    found = {
        "water": ase.build.molecule("H2O"),
        "amide": ase.build.molecule("CH3CONH2"),
        "one": ase.Atoms("Xe"),
        "apart": ase.Atoms("HeU", positions=[[0, 0, 0], [0, 0, 30.0]]),
        "box": ase.Atoms("F", cell=[40.0] * 3, pbc=True),
        "salt": ase.build.bulk("NaCl", "rocksalt", a=5.64),
        "slab": ase.build.fcc111("Pt", (1, 1, 3), vacuum=6.0),
        "skewed": skewed,
        "unwrapped": unwrapped,
        "squeezed": squeezed,
    }
    return [_structure(f"hostile/{name}", atoms) for name, atoms in found.items()]


def _structure(name: str, atoms: ase.Atoms) -> Structure:
    return Structure(
        id=name,
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=np.round(atoms.positions, 5),
        cell=np.round(np.asarray(atoms.cell), 5) if atoms.pbc.any() else None,
        pbc=tuple(bool(flag) for flag in atoms.pbc),
    )


DESCRIPTORS = {
    "soap": (soap.soap, lambda s: True),
    "coulomb-matrix": (coulomb.coulomb_spectrum, lambda s: not any(s.pbc)),
    "sine-matrix": (coulomb.sine_spectrum, lambda s: all(s.pbc)),
}


def compare(name: str, structures: list[Structure]) -> tuple[dict, dict[str, np.ndarray]]:
    """Entry of the table of proofs, and the original's rows by structure."""
    (ours, takes), theirs = DESCRIPTORS[name], ROWS[name]
    worst = {"float64": 0.0, "float32": 0.0, "absolute": 0.0}
    rows = {}
    for structure in filter(takes, structures):
        row, other = ours(structure), theirs(structure)
        scale = np.abs(other).max()
        stored = np.abs(row.astype(np.float32) - other).max()
        worst["float64"] = max(worst["float64"], np.abs(row - other).max() / scale)
        worst["float32"] = max(worst["float32"], stored / scale)
        worst["absolute"] = max(worst["absolute"], stored)
        rows[structure.id] = other
    print(f"{name}: {len(rows)} structures", {key: f"{x:.1e}" for key, x in worst.items()})
    if any(worst[key] > limit for key, limit in LIMITS.items()):
        raise SystemExit(f"{name} does not agree with the original; nothing was written")
    proof = {
        "model": name,
        "original": f"dscribe {version('dscribe')}",
        "structures": len(rows),
        "hidden_relative_float32": float(worst["float32"]),
        "hidden_absolute_float32": float(worst["absolute"]),
        "hidden_relative_float64": float(worst["float64"]),
        "energy_ev_per_atom_float32": None,
        "command": COMMAND,
    }
    return proof, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_soap.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_soap.json")
    arguments = parser.parse_args()
    odd = hostile()
    structures = [*odd, *load_dataset("crystals", n=COUNT), *load_dataset("qm9", n=COUNT)]
    found = {name: compare(name, structures) for name in DESCRIPTORS}
    chosen = [structure for structure in odd if structure.id in GOLDEN]
    content = {
        "names": np.array([s.id for s in chosen]),
        "atoms": np.array([len(s.atomic_numbers) for s in chosen]),
        "atomic_numbers": np.concatenate([s.atomic_numbers for s in chosen]),
        "positions": np.concatenate([s.positions for s in chosen]),
        "cells": np.stack([np.zeros((3, 3)) if s.cell is None else s.cell for s in chosen]),
        "pbc": np.array([s.pbc for s in chosen]),
        "soap": np.stack([found["soap"][1][s.id][COLUMNS] for s in chosen]),
    }
    for name in ("coulomb-matrix", "sine-matrix"):
        rows = found[name][1]
        for structure in chosen:
            if structure.id in rows:
                values = rows[structure.id][: len(structure.atomic_numbers)]
                content[f"{name}/{structure.id}"] = values
    provenance = {"script": "scripts/golden_soap.py", "dscribe": version("dscribe")}
    output = arguments.out / "golden_soap.npz"
    np.savez_compressed(output, provenance=json.dumps(provenance), **content)
    proofs = arguments.proofs / "proofs_soap.json"
    proofs.write_text(json.dumps([proof for proof, _ in found.values()], indent=2) + "\n")
    print(f"{output}: {output.stat().st_size:,} bytes; {proofs}")


if __name__ == "__main__":
    main()
