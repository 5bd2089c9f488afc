"""Proves the loader of the Hugging Face layout on random weights that transformers saves.

Needs an environment of its own with torch and transformers beside this project:

    python scripts/golden_huggingface.py --out=tests/data --proofs=benchmarks/results

For every architecture and its variants a small network is made, every parameter perturbed (zeros
and ones would hide swapped biases and scales), saved by `save_pretrained` (whole, in shards, as
`pytorch_model.bin`, with a head) and loaded by both sides. Every hidden state of 64 ragged inputs,
of masked and unknown tokens among them, is compared: relative to the layer's largest value the
difference must be at most 1e-4 in float32 and 1e-10 in float64. Some originals compute norms,
rotations and softmax in float32 whatever the weights are: for the comparison in float64 the name
`float32` in their modules means float64. The golden file keeps the weights of one tiny network of
each kind with its hidden states.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tokenizers
import torch
import transformers
from transformers import modeling_rope_utils
from transformers.models.esm import modeling_esm
from transformers.models.esmc import modeling_esmc
from transformers.models.llama import modeling_llama
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.t5 import modeling_t5

from jaxalign.models.encoder import Encoder
from jaxalign.models.user_weights import load_weights

COMMAND = "python scripts/golden_huggingface.py"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
HEADS = ("lm_head", "cls.", "contact_head", "pooler", "encoder.embed_tokens")
MASK = 4
INPUTS = 64


@dataclasses.dataclass(frozen=True)
class Case:
    """One network: the original's class, what its configuration says, how it is saved."""

    config: type
    model: type
    settings: dict[str, Any]
    saving: str = "whole"  # whole, shards, bin
    backbone: str | None = None  # attribute of the model that gives hidden states

    def build(self, sizes: dict[str, int]) -> torch.nn.Module:
        """The network with the weights it is born with."""
        renamed = sizes
        if self.config is transformers.T5Config:
            names = {"hidden_size": "d_model", "intermediate_size": "d_ff"}
            names |= {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"}
            renamed = {names.get(name, name): value for name, value in sizes.items()}
        config = self.config(**{**renamed, **self.settings})
        config._attn_implementation = "eager"
        return self.model(config)


BERT = {"max_position_embeddings": 70, "pad_token_id": 0}
ESM = {"max_position_embeddings": 70, "pad_token_id": 1, "mask_token_id": MASK}
GROUPED = {"num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": None}
CASES = {
    "bert": Case(transformers.BertConfig, transformers.BertModel, BERT),
    "bert-tanh": Case(
        transformers.BertConfig,
        transformers.BertForMaskedLM,
        {**BERT, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
        saving="bin",
        backbone="bert",
    ),
    "roberta": Case(
        transformers.RobertaConfig,
        transformers.RobertaForMaskedLM,
        {**BERT, "pad_token_id": 1, "type_vocab_size": 1},
        saving="shards",
        backbone="roberta",
    ),
    "albert": Case(
        transformers.AlbertConfig, transformers.AlbertModel, {**BERT, "embedding_size": 6}
    ),
    "esm2": Case(
        transformers.EsmConfig,
        transformers.EsmForMaskedLM,
        {**ESM, "position_embedding_type": "rotary", "token_dropout": True},
        backbone="esm",
    ),
    "esm1b": Case(
        transformers.EsmConfig, transformers.EsmModel, {**ESM, "emb_layer_norm_before": True}
    ),
    "esmc": Case(
        transformers.EsmcConfig,
        transformers.EsmcModel,
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "mask_token_id": MASK},
    ),
    "t5": Case(transformers.T5Config, transformers.T5EncoderModel, {"d_kv": 5}),
    "t5-gated": Case(
        transformers.T5Config,
        transformers.T5ForConditionalGeneration,
        {
            "d_kv": 5,
            "feed_forward_proj": "gated-gelu",
            "relative_attention_num_buckets": 16,
            "relative_attention_max_distance": 20,
        },
        backbone="encoder",
    ),
    "llama": Case(
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {**GROUPED, "tie_word_embeddings": True},
        saving="shards",
        backbone="model",
    ),
    "llama3": Case(
        transformers.LlamaConfig,
        transformers.LlamaModel,
        {**GROUPED, "rope_parameters": LLAMA3, "attention_bias": True, "mlp_bias": True},
    ),
    "llama-linear": Case(
        transformers.LlamaConfig,
        transformers.LlamaModel,
        {
            "head_dim": 8,
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        },
    ),
    "qwen3": Case(
        transformers.Qwen3Config,
        transformers.Qwen3ForCausalLM,
        {**GROUPED, "head_dim": 6},
        backbone="model",
    ),
    "qwen3-bias": Case(
        transformers.Qwen3Config,
        transformers.Qwen3Model,
        {"num_key_value_heads": 1, "head_dim": 4, "attention_bias": True},
    ),
}
TINY = {
    "vocab_size": 16,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 14,
}
LARGER = {
    "vocab_size": 60,
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 144,
}


def perturb(model: torch.nn.Module, seed: int) -> None:
    """Random numbers everywhere, which float16 holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            width = 0.3 if parameter.ndim == 1 else 1.5 * parameter.shape[-1] ** -0.5
            base = 1.0 if parameter.ndim == 1 and parameter.mean() > 0.5 else 0.0
            parameter.copy_((base + width * noise).half().float())


def save(case: Case, model: torch.nn.Module, folder: Path, rows: int) -> None:
    """What transformers writes, and a tokenizer that both sides leave unused."""
    model.save_pretrained(folder, max_shard_size="20KB" if case.saving == "shards" else "1GB")
    if case.saving == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    if (case.saving == "shards") != (folder / "model.safetensors.index.json").exists():
        raise SystemExit(f"{case}: saved otherwise than wanted")
    words = {f"w{number}": number for number in range(rows)}
    model_ = tokenizers.models.WordLevel(words, unk_token="w0")
    tokenizers.Tokenizer(model_).save(str(folder / "tokenizer.json"))


def batch(rng: np.random.Generator, rows: int, vocabulary: int, tokens: int) -> dict:
    """Ragged rows: the shortest and the longest, masked tokens, ids of padding inside."""
    counts = rng.integers(1, tokens + 1, rows)
    counts[:2] = 1, tokens
    mask = np.arange(tokens) < counts[:, None]
    ids = np.where(mask, rng.integers(0, vocabulary, mask.shape), 1).astype(np.int32)
    ids[:, 0] = MASK + 1  # ESM-2 divides by zero where all tokens of a row are masked
    return {"ids": ids, "mask": mask, "pooled": mask}


class Double:
    """The module torch, in which single precision means double."""

    def __getattr__(self, name: str) -> Any:
        return torch.float64 if name in ("float32", "float") else getattr(torch, name)


MODULES = modeling_esm, modeling_esmc, modeling_llama, modeling_qwen3, modeling_t5
ROTARY = modeling_esm, modeling_esmc, modeling_llama, modeling_qwen3, modeling_rope_utils


@contextlib.contextmanager
def in_double(rotary: bool) -> Iterator[None]:
    """Originals compute in float64 throughout. T5's buckets of distances stay in float32."""
    kept, modules = torch.Tensor.float, {*MODULES, *ROTARY}
    torch.set_default_dtype(torch.float64)
    for module in modules:
        module.torch = Double()
    if rotary:
        torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = kept
        torch.set_default_dtype(torch.float32)
        for module in modules:
            module.torch = torch


@torch.no_grad()
def original_states(case: Case, model: torch.nn.Module, inputs: dict) -> list[np.ndarray]:
    network = getattr(model, case.backbone) if case.backbone else model
    out = network.eval()(
        input_ids=torch.tensor(inputs["ids"]).long(),
        attention_mask=torch.tensor(inputs["mask"]).long(),
        output_hidden_states=True,
    )
    states = [state.numpy() for state in out.hidden_states]
    if not np.array_equal(states[-1], out.last_hidden_state.numpy()):
        raise SystemExit("the last hidden state is not the one after the final norm")
    return states


def port_states(encoder: Encoder, inputs: dict, dtype: type) -> list[np.ndarray]:
    params = jax.tree.map(lambda p: np.asarray(p, dtype), encoder.params)
    run = jax.jit(lambda p, b: [encoder.apply(p, b, name).values for name in encoder.card.layers])
    return [np.asarray(state) for state in run(params, inputs)]


def worst(ours: list, theirs: list, mask: np.ndarray) -> tuple[float, float]:
    """Largest difference on real tokens over all layers: relative to the layer's, absolute."""
    pairs = list(zip(ours, theirs, strict=True))
    differences = [np.abs(a - b)[mask].max() for a, b in pairs]
    relative = [d / np.abs(b[mask]).max() for d, (_, b) in zip(differences, pairs, strict=True)]
    return float(max(relative)), float(max(differences))


def in_float64(case: Case, model: torch.nn.Module, sizes: dict, inputs: dict) -> list[np.ndarray]:
    """Hidden states of the original in float64, of the same weights."""
    with in_double(rotary=not isinstance(model.config, transformers.T5Config)):
        exact = case.build(sizes)
        # Frequencies that a file holds have been rounded to float32: the new network's are kept.
        weights = {k: v for k, v in model.state_dict().items() if "inv_freq" not in k}
        exact.load_state_dict(weights, strict=False)
        return original_states(case, exact, inputs)


def prove(case: Case, inputs: dict, seed: int) -> dict[str, float]:
    """Differences between both sides on one network of the larger sizes."""
    model = case.build(LARGER)
    perturb(model, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(case, model, folder, LARGER["vocab_size"])
        encoder = load_weights(folder, architecture="huggingface")
        again = case.model.from_pretrained(folder, attn_implementation="eager")
    single = original_states(case, again, inputs)
    relative, absolute = worst(port_states(encoder, inputs, np.float32), single, inputs["mask"])
    double = in_float64(case, model, LARGER, inputs)
    with jax.enable_x64(True):
        exact = worst(port_states(encoder, inputs, np.float64), double, inputs["mask"])[0]
    return {
        "hidden_relative_float32": relative,
        "hidden_absolute_float32": absolute,
        "hidden_relative_float64": exact,
    }


def golden(name: str, inputs: dict, seed: int) -> dict[str, np.ndarray]:
    """Arrays of one tiny network for the golden file; heads and tied copies are left out."""
    case = CASES[name]
    model = case.build(TINY)
    perturb(model, seed)
    left_out = (*HEADS, "inv_freq", "position_ids")
    arrays = {
        f"{name}/weights/{key}": value.numpy().astype(np.float16)
        for key, value in model.state_dict().items()
        if not any(part in key for part in left_out) and not key.startswith("decoder.")
    }
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        config = (Path(folder) / "config.json").read_text()
    states = [state[inputs["mask"]] for state in in_float64(case, model, TINY, inputs)]
    kept = {"config": np.array(config), "states": np.stack(states).astype(np.float32)}
    return {**arrays, **{f"{name}/{key}": value for key, value in kept.items()}}


def write_golden(out: Path) -> None:
    inputs = batch(np.random.default_rng(0), 3, TINY["vocab_size"], 9)
    arrays = {"ids": inputs["ids"], "mask": inputs["mask"]}
    for seed, name in enumerate(CASES):
        arrays |= golden(name, inputs, seed)
    facts = {"torch": torch.__version__, "transformers": transformers.__version__}
    facts["script"] = "scripts/golden_huggingface.py"
    np.savez_compressed(
        out / "golden_huggingface.npz", **arrays, provenance=np.array(json.dumps(facts))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--proofs", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    transformers.utils.logging.disable_progress_bar()
    write_golden(arguments.out)
    rng, proofs = np.random.default_rng(1), []
    for seed, (name, case) in enumerate(CASES.items()):
        figures = prove(case, batch(rng, INPUTS, LARGER["vocab_size"], 65), seed)
        print(name, {key: f"{value:.1e}" for key, value in figures.items()}, flush=True)
        if figures["hidden_relative_float32"] > 1e-4 or figures["hidden_relative_float64"] > 1e-10:
            raise SystemExit(f"{name}: the port does not agree with the original")
        original = f"transformers {transformers.__version__} {case.model.__name__}, random weights"
        row = {"model": f"huggingface {name}", "original": original, "structures": INPUTS}
        proofs.append({**row, **figures, "energy_ev_per_atom_float32": None, "command": COMMAND})
    path = arguments.proofs / "proofs_huggingface.json"
    path.write_text(json.dumps(proofs, indent=1) + "\n")


if __name__ == "__main__":
    main()
