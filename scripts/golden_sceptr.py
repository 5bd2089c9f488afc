"""Makes the golden activations of the SCEPTR variants, and proves the port on real sequences.

Runs in an environment of its own with the packages `sceptr`, `libtcrlm` and PyTorch beside this
project:

    python scripts/golden_sceptr.py --out=tests/data --proofs=benchmarks/results

Every variant of the original runs on loops as they occur in receptors, on pieces of chains of the
data set `proteins`, on whole chains and on hostile sequences, in float32 and in float64; every
hidden state is compared. The golden file keeps, from the float64 originals, the variants' own
embeddings and one small projection of each layer.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from pathlib import Path

import jax
import numpy as np
import sceptr
import torch
from libtcrlm.config_reader import ConfigReader
from libtcrlm.schema.tcr import Tcr, Tcrv

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.sceptr.catalog_sceptr import VARIANTS, sceptr_encoder
from jaxalign.models.sceptr.network import SceptrConfig, apply_sceptr
from jaxalign.models.sceptr.weights import convert_sceptr
from jaxalign.models.weight_files.checkpoints import read_checkpoint
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

LOOPS = (
    *("CASSPRDWGSGEQYF", "CASSLGDWGNAEQFF", "CATDPRNNAGAKLTF", "CATETNNNAGAKLTF"),
    *("CASSIRSSYEQYF", "CASSLAPGATNEKLFF", "CAVRDSNYQLIW", "CASSQDRGYGYTF", "CASSYSTGDEQYF"),
)
HOSTILE = ("C", "CF", "XCX", "CXSSX", "A" * 100, "casslg", "WWWWWWWWWW", "XXXXXXXXXXA")
GOLDEN = (*LOOPS[:3], "C", "CXSSX", "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQ")
BUCKET = 129


def sequences() -> list[str]:
    """What the proof runs on; all fit into one shape."""
    chains = [s.sequence for s in load_dataset("proteins", n=36)]
    pieces = [chain[i % 7 : i % 7 + 8 + i % 25] for i, chain in enumerate(chains)]
    whole = [chain[: BUCKET - 1] for chain in chains[:6]]
    return [*LOOPS, *HOSTILE, *pieces, *whole]


def original(folder: str, dtype: torch.dtype) -> tuple[torch.nn.Module, object]:
    """The original network with its weights, and its tokenizer."""
    root = Path(sceptr.__file__).parent / "_model_saves" / folder
    reader = ConfigReader(json.loads((root / "config.json").read_text()))
    model = reader.get_bert()
    model.load_state_dict(torch.load(root / "state_dict.pt", weights_only=True))
    return model.eval().to(dtype), reader.get_tokeniser()


def receptor(sequence: str, chain: str, limit: int | None) -> Tcr:
    """A receptor without V genes whose one loop is the sequence; `*` is a residue left out."""
    letters = sequence.upper()[:limit].replace("X", "*")
    nothing = Tcrv(None, None)
    loops = (letters, None) if chain == "alpha" else (None, letters)
    return Tcr(nothing, loops[0], nothing, loops[1])


@torch.no_grad()
def original_states(variant, texts: list[str], dtype: torch.dtype) -> tuple[list, np.ndarray]:
    """Hidden states of every layer for every sequence (real tokens alone), and the embeddings."""
    torch.set_default_dtype(dtype)  # relative places are quotients in the default type
    model, tokeniser = original(variant.folder, dtype)
    states, rows = [], []
    for text in texts:
        limit = variant.config.positions
        tokens = tokeniser.tokenise(receptor(text, variant.chain, limit))[None]
        real = tokens[0, :, 0] != 0
        x, padding = model._embed(tokens), model._get_padding_mask(tokens)
        stack = model._self_attention_stack
        if variant.config.positions is None:
            x, stack = stack._initial_projector(x), stack._standard_stack
        own = [x[0, real].numpy()]
        for layer in stack._self_attention_stack.layers:
            x = layer(src=x, src_key_padding_mask=padding)
            own.append(x[0, real].numpy())
        states.append(own)
        rows.append(model.get_vector_representations_of(tokens)[0].numpy())
    torch.set_default_dtype(torch.float32)
    return states, np.stack(rows)


@functools.partial(jax.jit, static_argnums=0)
def all_layers(config: SceptrConfig, params: dict, batch: dict) -> list:
    """Features of every layer; one compilation serves all variants of one size."""
    return [apply_sceptr(config, params, batch, name) for name in config.layer_names]


def port_states(variant, texts: list[str], dtype: type) -> tuple[list, np.ndarray]:
    """The same from the port."""
    path = f"sceptr/_model_saves/{variant.folder}/state_dict.pt"
    arrays = read_checkpoint(read_entry(fetch(ARCHIVES["sceptr"]), path))
    params = convert_sceptr(variant.config, {k: a.astype(dtype) for k, a in arrays.items()})
    encoder = sceptr_encoder(None, variant.config, params)
    examples = [encoder.featurize(Structure(id="", sequence=text)) for text in texts]
    batch = encoder.batching.collate(examples, (BUCKET, len(texts)))
    layers = all_layers(dataclasses.replace(variant.config, pools_residues=False), params, batch)
    counts = [len(example["ids"]) for example in examples]
    values = [np.asarray(layer.values) for layer in layers]
    states = [[layer[row, :n] for layer in values] for row, n in enumerate(counts)]
    own = variant.config.layer_names.index(variant.config.own_layer)
    pools = variant.config.pools_residues
    rows = np.stack([s[own][1:].mean(0) if pools else s[own][0] for s in states])
    return states, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def differences(ours: list, theirs: list) -> tuple[float, float]:
    """Largest difference over all layers: relative to the layer's largest value, and absolute."""
    relative, absolute = 0.0, 0.0
    for layer in range(len(ours[0])):
        pairs = [(a[layer], b[layer]) for a, b in zip(ours, theirs, strict=True)]
        worst = max(float(np.abs(a - b).max()) for a, b in pairs)
        absolute = max(absolute, worst)
        relative = max(relative, worst / max(float(np.abs(b).max()) for _, b in pairs))
    return relative, absolute


def project(states: list) -> np.ndarray:
    """`[layers, 4]`: fixed combinations of all features of all tokens of one sequence."""
    width, count = states[0].shape[1], states[0].shape[0]
    mix = np.cos(np.arange(width)[:, None] * (np.arange(4) + 1) + np.arange(4))
    return np.stack([np.cos(np.arange(count)) @ state @ mix for state in states])


def prove(variant) -> tuple[dict, dict[str, np.ndarray]]:
    """One row of the proofs, and the golden arrays of one variant."""
    texts = sequences()
    single, rows = original_states(variant, texts, torch.float32)
    double, _ = original_states(variant, texts, torch.float64)
    ours, own_rows = port_states(variant, texts, np.float32)
    with jax.enable_x64(True):
        exact, _ = port_states(variant, texts, np.float64)
    relative, absolute = differences(ours, single)
    relative64, _ = differences(exact, double)
    embedding = float(np.abs(rows - own_rows).max())
    print(f"{variant.id}: {relative:.1e} float32, {relative64:.1e} float64, rows {embedding:.1e}")
    if relative > 1e-4 or relative64 > 1e-10 or embedding > 1e-4:
        raise SystemExit(f"{variant.id}: the port does not agree with the original")
    golden, golden_rows = original_states(variant, list(GOLDEN), torch.float64)
    row = {
        "model": variant.id,
        "original": f"{ARCHIVES['sceptr'].requirement}, torch {torch.__version__}",
        "structures": len(texts),
        "hidden_relative_float32": relative,
        "hidden_absolute_float32": absolute,
        "hidden_relative_float64": relative64,
        "energy_ev_per_atom_float32": None,
        "command": "python scripts/golden_sceptr.py --out=tests/data --proofs=benchmarks/results",
    }
    projections = np.stack([project(states) for states in golden])
    arrays = {"projection": projections, "rows": golden_rows.astype(np.float32)}
    return row, {f"{variant.id}/{name}": array for name, array in arrays.items()}


def main() -> None:
    """Proves all variants and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--proofs", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    proofs, arrays = zip(*map(prove, VARIANTS), strict=True)
    archive = ARCHIVES["sceptr"]
    provenance = {
        "package": archive.requirement,
        "archive_sha256": archive.sha256,
        "torch": torch.__version__,
        "script": "scripts/golden_sceptr.py",
        "licence": archive.licence,
    }
    merged = {name: array for part in arrays for name, array in part.items()}
    np.savez_compressed(
        arguments.out / "golden_sceptr.npz",
        sequences=np.array(GOLDEN),
        provenance=np.array(json.dumps(provenance)),
        **merged,
    )
    text = json.dumps(list(proofs), indent=1) + "\n"
    (arguments.proofs / "proofs_sceptr.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
