"""The golden file of Orb: two tiny models of the original with random weights."""

import pathlib

import numpy as np

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
