"""The golden file of Orb: two tiny models of the original with random weights."""

import pathlib

import numpy as np

from jaxalign.structures.structure import Structure

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_orb.npz"
CONFIG = {"tiny-v2": {}, "tiny-v3": {"max_num_neighbors": 20}}


def read_golden(name):
    """Everything the file has of one model."""
    with np.load(GOLDEN) as file:
        return {
            key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(name)
        }


def golden_arrays(golden):
    """The weights by their names in the original."""
    prefix = "weights/"
    return {n.removeprefix(prefix): a for n, a in golden.items() if n.startswith(prefix)}


def golden_structures(golden):
    """The structures of the file."""
    ends = np.cumsum(golden["atoms"])[:-1]
    numbers = np.split(golden["atomic_numbers"].astype(np.int32), ends)
    positions = np.split(golden["positions_1e4A"] * 1e-4, ends)
    cells = golden["cells_1e4A"] * 1e-4
    return [
        Structure(
            id=str(name),
            atomic_numbers=numbers[i],
            positions=positions[i],
            cell=cells[i] if golden["pbc"][i].any() else None,
            pbc=tuple(golden["pbc"][i].tolist()),
        )
        for i, name in enumerate(golden["ids"])
    ]
