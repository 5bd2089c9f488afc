"""What the proofs of protein sequence encoders share: chains, states of a port, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxalign.archives.atomic import write_json
from jaxalign.models.encoder import Encoder
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

States = Mapping[str, Sequence[np.ndarray]]  # layer → [tokens, d] of each chain

HOSTILE = ("M", "X", "AC", "UOBZJX", "MKTXUAYOIBKQRZJ", "ACDEFGHIKLMNPQRSTVWY", "G" * 40)
SINGLE, DOUBLE = 1e-4, 1e-10  # relative to the largest value of a layer


def chains(*, longest: int, lengths: int = 8, each: int = 8) -> list[str]:
    """Chains of the data set `proteins`: some of each of a few lengths, at most `longest`."""
    known: dict[int, list[str]] = {}
    for structure in load_dataset("proteins"):
        known.setdefault(len(structure.sequence), []).append(structure.sequence)
    often = sorted(
        length for length, found in known.items() if len(found) >= each and length <= longest
    )
    chosen = np.linspace(0, len(often) - 1, lengths).round().astype(int)
    return [sequence for place in chosen for sequence in known[often[place]][:each]]


def long_chain(residues: int) -> str:
    """Residues of many chains one behind another."""
    pieces = (structure.sequence for structure in load_dataset("proteins"))
    return "".join(pieces)[:residues]


def port_states(
    encoder: Encoder, sequences: Sequence[str], dtype: Any, layers: Sequence[str] = ()
) -> States:
    """Layers of the port (all, if none are named), in one padded batch with an empty slot."""
    examples = [encoder.featurize(Structure(id=s[:9], sequence=s)) for s in sequences]
    bucket = max(len(example["ids"]) for example in examples) + 3
    batch = encoder.batching.pad(examples, bucket, len(examples) + 1)
    layers = layers or encoder.card.layers
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    with jax.enable_x64(dtype == np.float64):
        run = jax.jit(lambda p, b: {name: encoder.apply(p, b, name) for name in layers})
        features = jax.tree.map(np.asarray, run(params, batch))
    return {
        name: [values[row][mask[row]] for row in range(len(examples))]
        for name, (values, mask) in features.items()
    }


def worst(ours: States, theirs: States) -> tuple[float, float]:
    """Largest difference over all layers: relative to the layer's largest value, and absolute."""
    relative = absolute = 0.0
    for name in ours.keys() & theirs.keys():
        states = theirs[name]
        largest = max(float(np.abs(state).max()) for state in states)
        for own, other in zip(ours[name], states, strict=True):
            if own.shape != other.shape:
                raise SystemExit(f"{name}: shape {own.shape}, the original has {other.shape}")
            difference = float(np.abs(own - other).max())
            relative, absolute = max(relative, difference / largest), max(absolute, difference)
    return relative, absolute


def verdict(
    model: str,
    original: str,
    structures: int,
    found: Mapping[str, tuple[float, float]],
    command: str,
) -> dict[str, Any]:
    """One row of a proof; stops if the port does not agree.

    Args:
      model: registry id.
      original: package and version.
      structures: how many chains were compared.
      found: `"float32"` and `"float64"` → what `worst` gives.
      command: how the proof was made.

    Returns:
      What goes into the file.
    """
    row = {
        "model": model,
        "original": original,
        "structures": structures,
        "hidden_relative_float32": found["float32"][0],
        "hidden_absolute_float32": found["float32"][1],
        "hidden_relative_float64": found["float64"][0],
        "energy_ev_per_atom_float32": None,
        "command": command,
    }
    print(row)
    if found["float32"][0] > SINGLE or found["float64"][0] > DOUBLE:
        raise SystemExit(f"{model}: the port does not agree with the original")
    return row


def write_proofs(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `proofs_NAME.json`."""
    write_json(folder / f"proofs_{name}.json", list(rows))
