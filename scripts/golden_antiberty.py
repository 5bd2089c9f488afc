"""Proves the AntiBERTy port against its package and writes the golden activations of its tests.

Needs an environment of its own with antiberty 0.1.3 and a transformers that it works with (4.49.0)
beside this package:

    python scripts/golden_antiberty.py --out=tests/data --proofs=benchmarks/results

Every hidden state at every token is compared in float32 and float64, on 64 chains, antibodies and
hostile sequences. The original has 512 positions and does not cut: it is given what the port keeps.
The golden file holds small projections of all layers from the float64 original.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import torch
import transformers
from antiberty import AntiBERTyRunner
from sequence_proof import (
    HOSTILE,
    States,
    chains,
    long_chain,
    verdict,
    worst,
    write_proofs,
)

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models import registry
from jaxalign.models.encoder import Encoder
from jaxalign.models.language.antiberty import CONFIG, TOKENS
from jaxalign.models.language.transformer import TransformerLayer
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_antiberty.py --out=tests/data --proofs=benchmarks/results"
# Variable regions of a heavy and a light chain, of trastuzumab.
ANTIBODIES = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS",
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPT"
    "FGQGTKVEIK",
)
GOLDEN = (*ANTIBODIES, *HOSTILE[:6])


def original_states(runner: AntiBERTyRunner, sequences: Sequence[str]) -> States:
    """All hidden states as the original's own function returns them."""
    states: dict[str, list[np.ndarray]] = {name: [] for name in CONFIG.layer_names}
    for sequence in sequences:
        (layers,) = runner.embed([sequence[: TOKENS.max_residues]], hidden_layer=None)
        for name, state in zip(CONFIG.layer_names, layers.numpy(), strict=True):
            states[name].append(state)
    return states


def port_states(encoder: Encoder, sequences: Sequence[str], dtype: type) -> States:
    """All hidden states of the port, its one compiled layer applied again and again."""
    examples = [encoder.featurize(Structure(id=s[:9], sequence=s)) for s in sequences]
    bucket = max(len(example["ids"]) for example in examples) + 1
    batch = encoder.batching.pad(examples, min(bucket, CONFIG.positions), len(examples) + 1)
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    with jax.enable_x64(dtype == np.float64):
        layer = jax.jit(
            lambda p, x: TransformerLayer(CONFIG).apply({"params": p}, x, batch["mask"])
        )
        states = [np.asarray(encoder.apply(params, batch, "embedding").values)]
        for number in range(CONFIG.depth):
            own = jax.tree.map(lambda p, n=number: p[n], params["layers"])
            states.append(np.asarray(layer(own, states[-1])))
    return {
        name: [found[row][batch["mask"][row]] for row in range(len(examples))]
        for name, found in zip(CONFIG.layer_names, states, strict=True)
    }


def require_tokens(runner: AntiBERTyRunner, sequences: Sequence[str]) -> None:
    """Token ids are those of the original's tokenizer."""
    for sequence in sequences:
        theirs = runner.tokenizer(" ".join(sequence[: TOKENS.max_residues]))["input_ids"]
        np.testing.assert_array_equal(TOKENS.encode(sequence)["ids"], theirs)


def project(states: States) -> np.ndarray:
    """`[layers, chains, 8]`: fixed combinations of all features of all tokens."""
    mix = np.cos(np.arange(CONFIG.hidden)[:, None] * (np.arange(8) + 1) + np.arange(8)) / 16
    return np.array(
        [[np.cos(np.arange(len(h))) @ h @ mix for h in states[name]] for name in CONFIG.layer_names]
    )


def prove(out: Path) -> dict:
    """Compares the network on all chains and writes the golden file."""
    encoder, found = registry.load_model("antiberty"), {}
    usual = [*GOLDEN, *chains(longest=90), HOSTILE[-1]]
    long = [long_chain(1_000)]
    runner = AntiBERTyRunner()
    require_tokens(runner, [*usual, *long])
    for name in ("float32", "float64"):
        runner.model = runner.model.to(getattr(torch, name))
        pairs = []
        for sequences in (long, usual):
            theirs = original_states(runner, sequences)
            pairs.append(worst(port_states(encoder, sequences, getattr(np, name)), theirs))
        found[name] = tuple(np.max(pairs, axis=0).tolist())
    archive = ARCHIVES["antiberty"]
    original = f"{archive.requirement}, transformers {transformers.__version__}"
    row = verdict("antiberty", original, len(usual) + len(long), found, COMMAND)
    golden = {name: states[: len(GOLDEN)] for name, states in theirs.items()}
    write_golden(out, golden, {"archive_sha256": archive.sha256, "original": original, **row})
    return row


def write_golden(out: Path, golden: States, provenance: dict) -> None:
    """Sequences, token counts, projections of all layers, pooled rows of the last."""
    examples = [TOKENS.featurize(Structure(id=s, sequence=s)) for s in GOLDEN]
    means = np.stack([state.mean(axis=0) for state in golden[CONFIG.layer_names[-1]]])
    np.savez_compressed(
        out / "golden_antiberty.npz",
        sequences=np.array(GOLDEN),
        tokens=np.array([len(example["ids"]) for example in examples]),
        projection=project(golden),
        mean=means.astype(np.float32),
        provenance=json.dumps({**provenance, "script": "scripts/golden_antiberty.py"}),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of golden_antiberty.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder of the proof")
    arguments = parser.parse_args()
    write_proofs(arguments.proofs, "antiberty", [prove(arguments.out)])


if __name__ == "__main__":
    main()
