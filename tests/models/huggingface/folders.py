"""Folders in the Hugging Face layout, made of the golden file's tiny networks."""

import functools
import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import tokenizers

GOLDEN = Path(__file__).parents[2] / "data" / "golden_huggingface.npz"
RESIDUES = "LAGVSERTIDPKQNFYMHWCX"


@functools.cache
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def cases():
    return sorted({name.split("/")[0] for name in golden() if name.endswith("/config")})


def config(case):
    return json.loads(str(golden()[f"{case}/config"]))


def weights(case):
    root = f"{case}/weights/"
    return {
        name.removeprefix(root): array.astype(np.float32)
        for name, array in golden().items()
        if name.startswith(root)
    }


def letters(alphabet="CNOc1()=", *, rows=16):
    """A tokenizer with one letter a token, between <s> and </s>; `rows` tokens at most."""
    words = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", *alphabet][:rows]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=False)
    )
    tokenizer.add_special_tokens(words[:5])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def write_folder(path, case, *, arrays=None, tokenizer=None, **changes):
    """config.json with changes, model.safetensors and tokenizer.json."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config(case) | changes))
    arrays = weights(case) if arrays is None else arrays
    safetensors.numpy.save_file(arrays, path / "model.safetensors")
    (path / "tokenizer.json").write_text((tokenizer or letters()).to_str())
    return path
