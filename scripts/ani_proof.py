"""What the proofs of the ANI ports share: molecules, the port's values, differences, the table."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem

from jaxalign.models.ani import ani
from jaxalign.models.ani.ani_inputs import slots_per_atom
from jaxalign.models.ani.neighbor_list import collate_atoms
from jaxalign.models.encoder import Encoder
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

BUCKET, ROWS = 128, 16
PROOFS = "proofs_ani.json"

# Layer → values of all atoms `[atoms, d]`; `energy_eV` `[structures]`; `mean` of the last layer.
Values = Mapping[str, np.ndarray]


def structure(name: str, numbers, positions) -> Structure:
    """A molecule with positions to four digits, as the golden files keep them."""
    positions = np.round(np.asarray(positions, float), 4)
    return Structure(id=name, atomic_numbers=np.array(numbers, np.int32), positions=positions)


def from_ase(name: str) -> Structure:
    atoms = ase.build.molecule(name)
    return structure(name, atoms.numbers, atoms.positions)


def from_smiles(name: str, smiles: str) -> Structure:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=7) != 0:
        raise SystemExit(f"RDKit finds no conformer of {name}: choose another molecule")
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return structure(name, numbers, molecule.GetConformer().GetPositions())


def hostile() -> list[Structure]:
    """Atoms without neighbors, a straight line, a squeezed molecule, ions and a radical."""
    butane, benzene = ase.build.molecule("trans-butane"), ase.build.molecule("C6H6")
    return [
        structure("far apart", [8, 1, 6], [[0, 0, 0], [9, 0, 0], [0, 30, 0]]),
        structure("between the cutoffs", [6, 1], [[0, 0, 0], [0, 0, 4.4]]),
        structure("at the cutoff", [7, 8], [[0, 0, 0], [0, 3.5, 0]]),
        from_ase("CO2"),
        structure("squeezed butane", butane.numbers, 0.7 * butane.positions),
        structure("stretched benzene", benzene.numbers, 1.4 * benzene.positions),
        from_smiles("ammonium", "[NH4+]"),
        from_smiles("acetate", "CC(=O)[O-]"),
        from_ase("OH"),
    ]


def from_qm9(count: int, elements: Sequence[str]) -> list[Structure]:
    found = load_dataset("qm9", n=count, seed=0, elements=list(elements))
    return [structure(s.id, s.atomic_numbers, s.positions) for s in found]


def from_scaffolds(count: int, smarts: Sequence[str]) -> list[Structure]:
    """Conformers of the first drug-like molecules, without bromine, that fit each pattern."""
    rows = [s for s in load_dataset("moses-scaffolds", n=2000, seed=0) if "Br" not in s.smiles]
    found: dict[str, Structure] = {}
    with rdBase.BlockLogs():
        for pattern in map(Chem.MolFromSmarts, smarts):
            fitting = (s for s in rows if Chem.MolFromSmiles(s.smiles).HasSubstructMatch(pattern))
            for _, row in zip(range(count), fitting, strict=False):
                found[row.id] = from_smiles(row.id, row.smiles)
    return list(found.values())


@functools.partial(jax.jit, static_argnums=(0, 3))
def _layer(network: ani.AniNetwork, params, batch, layer: str):
    return ani.apply_ani(network, params, batch, layer)


_interaction = jax.jit(ani.interaction_energy, static_argnums=0)


def ported(network: ani.AniNetwork, encoder: Encoder, structures, dtype) -> Values:
    """What the port gives, in batches of one shape."""
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), encoder.params)
    examples = [encoder.featurize(s) for s in structures]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*ani.LAYERS, "energy_eV")}
    for start in range(0, len(examples), ROWS):
        part = examples[start : start + ROWS]
        batch = collate_atoms(part, BUCKET, ROWS, slots=slots_per_atom(BUCKET), dtype=dtype)
        for layer in ani.LAYERS:
            values, mask = _layer(network, params, batch, layer)
            rows[layer].append(np.asarray(values)[np.asarray(mask)])
        energies = np.asarray(_interaction(network, params, batch), np.float64)
        rows["energy_eV"].append(energies[: len(part)])
    values = {name: np.concatenate(parts) for name, parts in rows.items()}
    reference = encoder.energy.reference
    own = [sum(reference[int(z)] for z in s.atomic_numbers) for s in structures]
    return values | {"energy_eV": values["energy_eV"] + own}


def pad(values: Sequence[np.ndarray], width: int) -> np.ndarray:
    """States of single atoms, with zeros after the widths of their elements."""
    return np.stack([np.pad(row, (0, width - len(row))) for row in values])


def mean(values: np.ndarray, structures: Sequence[Structure]) -> np.ndarray:
    """Mean over the atoms of each structure."""
    ends = np.cumsum([len(s.atomic_numbers) for s in structures])[:-1]
    return np.stack([part.mean(axis=0) for part in np.split(values, ends)])


def differences(ours: Values, theirs: Values, structures: Sequence[Structure]) -> dict[str, float]:
    """Largest differences: of the layers absolute and relative to the layer's largest value."""
    absolute, relative = 0.0, 0.0
    for layer in ani.LAYERS:
        off = float(np.abs(ours[layer] - theirs[layer]).max())
        absolute, relative = max(absolute, off), max(relative, off / np.abs(theirs[layer]).max())
    atoms = np.array([len(s.atomic_numbers) for s in structures])
    energy = float((np.abs(ours["energy_eV"] - theirs["energy_eV"]) / atoms).max())
    return {"absolute": absolute, "relative": float(relative), "energy_eV_per_atom": energy}


def proof_row(
    model: str, original: str, structures: int, command: str, *, single, double
) -> dict[str, object]:
    """One line of the table; refuses a port that does not agree."""
    if max(single["relative"], single["energy_eV_per_atom"]) > 1e-4 or double["relative"] > 1e-10:
        raise SystemExit(f"{model} does not agree with the original: {single}, {double}")
    return {
        "model": model,
        "original": original,
        "structures": structures,
        "hidden_relative_float32": single["relative"],
        "hidden_absolute_float32": single["absolute"],
        "hidden_relative_float64": double["relative"],
        "energy_ev_per_atom_float32": single["energy_eV_per_atom"],
        "energy_ev_per_atom_float64": double["energy_eV_per_atom"],
        "command": command,
    }


def write_rows(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Replaces these models' lines of the table, and keeps those of other models."""
    path = folder / PROOFS
    table = {row["model"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    table |= {row["model"]: row for row in rows}
    path.write_text(json.dumps(list(table.values()), indent=1) + "\n")
    print(f"{path}: {len(table)} models")


def golden_columns(structures: Sequence[Structure]) -> dict[str, np.ndarray]:
    """Names, elements and positions for a golden file."""
    positions = np.concatenate([s.positions * 1e4 for s in structures])
    return {
        "names": np.array([s.id for s in structures]),
        "atoms": np.array([len(s.atomic_numbers) for s in structures]),
        "atomic_numbers": np.concatenate([s.atomic_numbers for s in structures]),
        "positions_1e4A": positions.round().astype(int),
    }
