"""Folders that are incomplete, damaged, or contradict themselves: one clear error each."""

import functools
import json

import numpy as np
import pytest
import safetensors.numpy

from jaxalign.models.huggingface.config import MAX_CONFIG_BYTES
from jaxalign.models.huggingface.folder import ModelFolder
from jaxalign.models.user_weights import load_weights
from jaxalign.models.weight_files.checkpoints import CheckpointError
from jaxalign.models.weight_files.weights import WeightsError
from tests.models.huggingface.folders import config, weights, write_folder
from tests.models.weight_files.torch_writer import Tensor, write_zip

load = functools.partial(load_weights, architecture="huggingface")


def _rejects(folder, match, error=WeightsError):
    with pytest.raises(error, match=match):
        load(folder)


def _same_params(folder, other):
    ours, theirs = (load(place).params for place in (folder, other))
    np.testing.assert_array_equal(
        ours["layers"]["query"]["kernel"], theirs["layers"]["query"]["kernel"]
    )


def test_shards_and_torch_files_hold_the_same(tmp_path):
    whole = write_folder(tmp_path / "whole", "bert")
    arrays = weights("bert")
    shards = write_folder(tmp_path / "shards", "bert")
    (shards / "model.safetensors").unlink()
    names = sorted(arrays)
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    for shard in set(places.values()):
        part = {name: arrays[name] for name in names if places[name] == shard}
        safetensors.numpy.save_file(part, shards / shard)
    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    _same_params(shards, whole)
    folder = ModelFolder(shards)
    folder.read_arrays()
    assert sorted(folder.hashes) == ["model-0.safetensors", "model-1.safetensors", index.name]

    torch = write_folder(tmp_path / "torch", "bert")
    (torch / "model.safetensors").unlink()
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        steps = tuple(step // 4 for step in array.strides)
        tensors[name] = Tensor(str(key), "FloatStorage", array.size, 0, array.shape, steps)
        storages[str(key)] = array.tobytes()
    (torch / "pytorch_model.bin").write_bytes(write_zip(tensors, storages))
    _same_params(torch, whole)

    index.write_text(json.dumps({"weight_map": {**places, "more": "model-0.safetensors"}}))
    _rejects(shards, r"model-0\.safetensors lacks 1 tensors .* more among them")
    (shards / "model-1.safetensors").write_bytes(b"\x08" + bytes(7) + b"{} cut")
    index.write_text(json.dumps({"weight_map": places}))
    _rejects(shards, r"model-1\.safetensors: cannot read|damaged", CheckpointError)
    (shards / "model-1.safetensors").unlink()
    _rejects(shards, r"names the shard model-1\.safetensors, which is not in the folder")
    for place in ("../model.safetensors", "/etc/passwd", "a\\b", ""):
        index.write_text(json.dumps({"weight_map": {"a": place, "b": "model-0.safetensors"}}))
        _rejects(shards, "no file of its own folder")
    index.write_text("[]")
    _rejects(shards, "no index of shards")


def test_folders_that_are_no_models(tmp_path):
    (tmp_path / "file").write_text("")
    _rejects(tmp_path / "file", "is no folder")
    _rejects(tmp_path / "absent", "is no folder")
    (tmp_path / "empty").mkdir()
    _rejects(tmp_path / "empty", r"has no config\.json")
    folder = write_folder(tmp_path / "mine", "bert")
    (folder / "model.safetensors").unlink()
    _rejects(folder, r"holds no weights; wanted is model\.safetensors, .* or pytorch_model")
    (folder / "tokenizer.json").unlink()
    _rejects(folder, r"holds no tokenizer; wanted is tokenizer\.json or vocab\.txt")


def test_damaged_weights_name_their_file(tmp_path):
    folder = write_folder(tmp_path / "mine", "bert")
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    _rejects(folder, r"model\.safetensors: .*damaged", CheckpointError)
    path.write_bytes(data[:20])
    _rejects(folder, r"model\.safetensors: .*damaged", CheckpointError)
    arrays = weights("bert")
    quantized = arrays | {"pooler.x": np.zeros(2, np.float32)}
    quantized["encoder.layer.0.output.dense.weight"] = np.zeros((16, 14), np.int8)
    _rejects(write_folder(tmp_path / "q", "bert", arrays=quantized), "holds int8, no floats")
    _rejects(write_folder(tmp_path / "o", "bert", arrays={"a": np.zeros(2)}), "belong to another")


def test_configurations_that_are_none(tmp_path):
    folder = write_folder(tmp_path / "mine", "bert")
    path = folder / "config.json"
    for content in (b"{", b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        _rejects(folder, r"config\.json is no JSON")
    path.write_text("[1]")
    _rejects(folder, "holds a list, no object")
    path.write_text(" " * (MAX_CONFIG_BYTES + 1))
    _rejects(folder, "the limit is")
    path.write_text("{}")
    _rejects(folder, "model_type = None, which is not supported; supported are bert, roberta, alb")
    path.write_text(json.dumps(config("bert") | {"model_type": "mamba"}))
    _rejects(folder, "'mamba', which is not supported; supported are bert, .*esmc, t5, llama, qwen")


CONTRADICTIONS = [
    ("bert", {"hidden_size": 32}, r"word_embeddings\.weight has shape \(16, 16\).*\(16, 32\)"),
    ("bert", {"vocab_size": 10**9}, r"\(16, 16\), by config.json \(1000000000, 16\) is wanted"),
    ("bert", {"num_hidden_layers": 3}, r"num_hidden_layers = 3, .* hold 2 layers.*layer\.1"),
    ("bert", {"num_hidden_layers": 1}, r"num_hidden_layers = 1, .* hold 2 layers"),
    ("bert", {"num_hidden_layers": 10**9}, r"num_hidden_layers .* is 1000000000; .* to 1,000"),
    ("bert", {"intermediate_size": "14"}, r"intermediate_size .* is '14'; wanted a whole number"),
    ("bert", {"num_attention_heads": 3}, "the heads must divide the width"),
    ("bert", {"hidden_act": "mish"}, r"hidden_act .*'mish'; wanted one of gelu"),
    ("bert", {"position_embedding_type": "relative_key"}, "'relative_key'; supported is 'abs"),
    ("bert", {"layer_norm_eps": float("nan")}, "layer_norm_eps .* nan; wanted a positive number"),
    ("roberta", {"pad_token_id": 69}, r"positions start at pad_token_id \+ 1"),
    ("albert", {"num_hidden_groups": 2}, "num_hidden_groups = 2; supported is 1"),
    ("albert", {"embedding_size": 16}, r"has shape \(16, 6\)"),
    ("esm2", {"position_embedding_type": "absolute"}, r"position_embeddings.* is missing"),
    ("esm2", {"is_folding_model": True}, "ESMFold is another network"),
    ("esm1b", {"emb_layer_norm_before": False}, r"layer_norm\.bias \(16,\) has no place in it"),
    ("esmc", {"num_key_value_heads": 2}, "have keys of their own"),
    ("t5", {"d_kv": 4}, r"SelfAttention\.k\.weight has shape \(20, 16\).*\(16, 16\)"),
    ("t5", {"feed_forward_proj": "gated-gelu"}, r"wi\.weight \(14, 16\) has no place in it"),
    ("t5", {"relative_attention_num_buckets": 6}, "a multiple of 4"),
    ("llama", {"num_key_value_heads": 4}, r"k_proj\.weight has shape \(8, 16\).*\(16, 16\)"),
    ("llama", {"num_key_value_heads": 3}, "do not divide them"),
    ("llama", {"attention_bias": True}, r"q_proj\.bias \(16,\) is missing"),
    ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "'yarn'; wanted one of default, linear"),
    ("llama", {"rope_parameters": 3}, "rope_parameters .* is 3; wanted an object"),
    ("llama", {"quantization_config": {"bits": 4}}, "plain float weights"),
    ("qwen3", {"use_sliding_window": True}, "attention to the whole text"),
    ("qwen3", {"head_dim": 5}, "rotary positions want an even number"),
]


@pytest.mark.parametrize(("case", "changes", "message"), CONTRADICTIONS)
def test_contradictions_name_tensor_and_both_shapes(case, changes, message, tmp_path):
    _rejects(write_folder(tmp_path / "mine", case, **changes), message)
