"""Proves the CHGNet ports against chgnet and writes the golden activations of their tests.

Needs an environment of its own with chgnet 0.4.2 (and so torch and pymatgen) besides this package:

    python scripts/golden_chgnet.py --out=tests/data --proofs=benchmarks/results

Every state of atoms, bonds and angles of the three networks is compared on crystals of the
Materials Project and hostile structures, and so are energies. In float64, the largest difference
relative to the largest value of the layer must be ≤ 1e-10. In float32, layers of atoms must be
within 1e-4 of the original, and energies within 1e-4 eV an atom. Bonds and angles, where large
states cancel, must be nearer to the original in float64 than twice the original in float32 is.
Takes about three minutes.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import chgnet
import jax
import numpy as np
import torch
from chgnet_states import KINDS, Original, orders, ported

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.registry import load_model
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

NAMES = {"chgnet-0.2.0": "0.2.0", "chgnet-0.3.0": "0.3.0", "chgnet-r2scan": "r2scan"}
GOLDEN_COLUMNS = slice(None, None, 16)  # of 64: what the golden file keeps of every atom
GOLDEN_CRYSTALS = 3


def cubic(name: str, a: float, numbers: Sequence[int], scaled: Sequence[Sequence[float]]):
    return make(name, np.eye(3) * a, numbers, np.array(scaled) * a)


def make(name: str, cell: np.ndarray, numbers: Sequence[int], positions: np.ndarray) -> Structure:
    return Structure(
        id=name,
        atomic_numbers=np.array(numbers, np.int32),
        positions=np.array(positions, float),
        cell=np.array(cell, float),
        pbc=(True, True, True),
    )


def hostile_structures() -> list[Structure]:
    rng = np.random.default_rng(7)
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    ions = np.concatenate([face, face + np.array([0.5, 0, 0])])
    salt = cubic("NaCl", 5.64, [11] * 4 + [17] * 4, ions)
    copper = 1.805 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    skew = np.array([[1, 0, 0], [3, 1, 0], [-2, 2, 1]])
    water = np.array([[4, 4, 4], [4.76, 4.59, 4], [3.24, 4.59, 4]])
    slab = np.array([[0, 0, 0], [1.42, 1.42, 0], [0, 1.42, 1.8], [1.42, 0, 1.8]])
    far = np.array([[0, 0, 0], [0, 1.4, 0.8], [0, -1.4, 0.8], [3.2, 3.2, 15]])
    shaken = salt.positions + rng.normal(0, 0.15, (8, 3))
    moved = salt.positions + rng.integers(-2, 3, (8, 3)) @ salt.cell
    return [
        salt,
        make("Cu, one atom", copper, [29], np.zeros((1, 3))),
        cubic("K, no angles", 5.33, [19, 19], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        cubic("Fe, no bonds", 20.0, [26], [[0.1, 0.2, 0.3]]),
        make("NaCl, skewed cell", skew @ salt.cell, salt.atomic_numbers, salt.positions),
        make("NaCl, rattled", salt.cell, salt.atomic_numbers, shaken),
        make("NaCl, unwrapped", salt.cell, salt.atomic_numbers, moved),
        make("NaCl, squeezed", salt.cell * 0.75, salt.atomic_numbers, salt.positions * 0.75),
        make("water in a box", np.eye(3) * 8, [8, 1, 1], water),
        make("MgO slab", np.diag([2.84, 2.84, 20.0]), [12, 12, 8, 8], slab),
        make("SiO2 and a far Ne", np.diag([6.5, 6.5, 30.0]), [14, 8, 8, 10], far),
    ]


class Errors:
    """Largest differences and values, layer by layer."""

    def __init__(self):
        self.largest: dict[str, dict[str, float]] = {}

    def add(self, name: str, one: np.ndarray, other: np.ndarray, value: np.ndarray) -> None:
        """Takes in one layer of one structure."""
        found = self.largest.setdefault(name, {"difference": 0.0, "value": 0.0})
        if value.size:
            difference = float(np.abs(one.astype(np.float64) - other).max())
            found["difference"] = max(found["difference"], difference)
            found["value"] = max(found["value"], float(np.abs(value).max()))

    def relative(self, kind: str) -> float:
        """Largest over all layers of a kind."""
        own = [x for name, x in self.largest.items() if name.startswith(kind)]
        return max(x["difference"] / x["value"] for x in own)

    def absolute(self, kind: str) -> float:
        """Largest over all layers of a kind, in the unit of the states."""
        return max(x["difference"] for name, x in self.largest.items() if name.startswith(kind))


def prove(model_id: str, structures: Sequence[Structure]) -> tuple[dict, dict]:
    """Compares one network in both precisions; its line of the proofs, and what tests keep."""
    encoder = load_model(model_id)
    originals = {
        dtype: Original(NAMES[model_id], getattr(torch, dtype)) for dtype in ("float32", "float64")
    }
    jax.config.update("jax_enable_x64", False)
    single = list(ported(encoder, structures, np.float32))
    jax.config.update("jax_enable_x64", True)
    double = list(ported(encoder, structures, np.float64))
    errors = {name: Errors() for name in ("float32", "float64", "ours", "theirs")}
    energy = {"float32": 0.0, "float64": 0.0}
    golden = {"energy": [], "atoms": []}
    for structure, (ours32, e32), (ours64, e64) in zip(structures, single, double, strict=True):
        graph, theirs32, energy32 = originals["float32"].run(structure)
        _, theirs64, energy64 = originals["float64"].run(structure)
        order = orders(structure, graph, encoder)
        energy["float32"] = max(energy["float32"], abs(e32 - energy32))
        energy["float64"] = max(energy["float64"], abs(e64 - energy64))
        golden["energy"].append(energy32)
        golden["atoms"].append(theirs32["atoms"][1:])
        for kind in KINDS:
            for layer, (a32, b32, a64, b64) in enumerate(
                # Without angles, the original does not go through their layers.
                zip(ours32[kind], theirs32[kind], ours64[kind], theirs64[kind], strict=False)
            ):
                a32, a64 = (x[order[kind]] if kind in order else x for x in (a32, a64))
                name = f"{kind}_{layer}"
                errors["float32"].add(name, a32, b32, b64)
                errors["float64"].add(name, a64, b64, b64)
                errors["ours"].add(name, a32, b64, b64)
                errors["theirs"].add(name, b32, b64, b64)
    return _line(model_id, len(structures), errors, energy), golden


def _line(model_id: str, count: int, errors: dict[str, Errors], energy: dict[str, float]) -> dict:
    line = {
        "model": model_id,
        "original": f"chgnet=={chgnet.__version__} {NAMES[model_id]}, torch {torch.__version__}",
        "structures": count,
        "hidden_relative_float32": errors["float32"].relative("atoms"),
        "hidden_absolute_float32": errors["float32"].absolute("atoms"),
        "hidden_relative_float64": max(errors["float64"].relative(kind) for kind in KINDS),
        "energy_ev_per_atom_float32": energy["float32"],
        "energy_ev_per_atom_float64": energy["float64"],
        "command": "python scripts/golden_chgnet.py --out=tests/data --proofs=benchmarks/results",
    }
    for kind in KINDS[1:]:
        line[f"{kind}_relative_float32"] = errors["float32"].relative(kind)
    for kind in KINDS:
        line[f"{kind}_float32_to_original_float64"] = errors["ours"].relative(kind)
        line[f"{kind}_rounding_of_the_original"] = errors["theirs"].relative(kind)
    return line


def is_proven(line: dict) -> bool:
    limits = {
        "hidden_relative_float32": 1e-4,
        "energy_ev_per_atom_float32": 1e-4,
        "hidden_relative_float64": 1e-10,
        "energy_ev_per_atom_float64": 1e-10,
    }
    near = all(
        line[f"{kind}_float32_to_original_float64"]
        <= max(1e-4, 2 * line[f"{kind}_rounding_of_the_original"])
        for kind in KINDS
    )
    return near and all(line[name] <= limit for name, limit in limits.items())


def write_golden(
    path: Path, structures: Sequence[Structure], kept: dict[str, dict], lines: Sequence[dict]
) -> None:
    """Small structures with layers of atoms, mean rows and energies of all networks."""
    hostile = len(hostile_structures())
    small = [r for r, s in enumerate(structures) if r >= hostile and len(s.positions) <= 6]
    chosen = [*range(hostile), *small[:GOLDEN_CRYSTALS]]
    arrays = {
        "names": np.array([structures[row].id for row in chosen]),
        "atoms": np.array([len(structures[row].positions) for row in chosen]),
        "atomic_numbers": np.concatenate([structures[row].atomic_numbers for row in chosen]),
        "positions": np.concatenate([structures[row].positions for row in chosen]),
        "cells": np.stack([structures[row].cell for row in chosen]),
    }
    for model_id, golden in kept.items():
        layers = zip(*(golden["atoms"][row] for row in chosen), strict=True)
        arrays[f"{model_id}_energy"] = np.array([golden["energy"][row] for row in chosen])
        arrays[f"{model_id}_layers"] = np.stack(
            [np.concatenate(layer)[:, GOLDEN_COLUMNS] for layer in layers]
        )
    provenance = {
        "script": "scripts/golden_chgnet.py",
        "archive": f"{ARCHIVES['chgnet'].requirement} sha256 {ARCHIVES['chgnet'].sha256}",
        "proofs": list(lines),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, provenance=json.dumps(provenance), **arrays)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_chgnet.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for proofs_chgnet.json")
    parser.add_argument("--crystals", type=int, default=60, help="crystals to draw")
    flags = parser.parse_args()
    drawn = load_dataset("crystals", n=flags.crystals, seed=5)
    structures = [*hostile_structures(), *drawn]
    lines, kept = [], {}
    for model_id in NAMES:
        line, kept[model_id] = prove(model_id, structures)
        lines.append(line)
        print(json.dumps(line, indent=1))
    if not all(map(is_proven, lines)):
        raise SystemExit("the port does not agree with the original; nothing was written")
    write_golden(flags.out / "golden_chgnet.npz", structures, kept, lines)
    flags.proofs.mkdir(parents=True, exist_ok=True)
    (flags.proofs / "proofs_chgnet.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
