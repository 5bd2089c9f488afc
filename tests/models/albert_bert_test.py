"""BERT and ALBERT: golden activations of the originals, and properties on small random networks."""

import dataclasses
import functools
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.albert_bert import (
    TransformerConfig,
    convert_params,
    hidden_states,
    init_params,
    param_shapes,
)
from jaxalign.models.catalog_rxn import ENTRIES
from jaxalign.models.pooling import pool
from jaxalign.models.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

DATA = Path(__file__).parent.parent / "data"
BERT = TransformerConfig(vocabulary=11, hidden=12, depth=3, heads=3, intermediate=20, positions=9)
ALBERT = dataclasses.replace(BERT, embedding=6, shared=True)
PRETRAINED = {entry.card.id: entry for entry in ENTRIES if entry.card.pretrained}
RANDOM = {entry.card.id: entry for entry in ENTRIES if not entry.card.pretrained}


def _perturbed(config, rng):
    """Random numbers everywhere: zeros and ones would hide swapped biases and scales."""
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), param_shapes(config)
    )


def _batch(rng, counts, tokens=8):
    mask = np.arange(tokens) < np.array(counts)[:, None]
    ids = np.where(mask, rng.integers(1, 11, mask.shape), 0).astype(np.int32)
    return {"ids": ids, "mask": mask}


def _states(config, params, batch, layers):
    """Several layers in one compilation."""
    run = jax.jit(lambda p, b: [hidden_states(config, p, b, layer) for layer in layers])
    return [np.asarray(states) for states in run(params, batch)]


def _norm(x, p):
    centered = x - x.mean(-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * p["scale"] + p["bias"]


def _dense(x, p):
    return x @ p["kernel"] + p["bias"]


def _oracle(config, params, ids, depth):
    """One sequence without padding, one head at a time, in NumPy float64."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    table = {name: params[name]["embedding"] for name in ("tokens", "positions", "types")}
    x = _norm(
        table["tokens"][ids] + table["positions"][: len(ids)] + table["types"][0], params["norm"]
    )
    if config.embedding:
        x = _dense(x, params["project"])
    gelu = np.vectorize(lambda t: 0.5 * t * (1 + math.erf(t / math.sqrt(2))))
    width = config.hidden // config.heads
    for number in range(depth):
        p = params["layers"]
        p = p if config.shared else jax.tree.map(lambda leaf, i=number: leaf[i], p)
        q, k, v = (_dense(x, p[name]) for name in ("query", "key", "value"))
        heads = []
        for head in range(config.heads):
            part = slice(head * width, (head + 1) * width)
            logits = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
            heads.append(logits / logits.sum(1, keepdims=True) @ v[:, part])
        x = _norm(x + _dense(np.concatenate(heads, 1), p["attention_out"]), p["attention_norm"])
        x = _norm(x + _dense(gelu(_dense(x, p["expand"])), p["contract"]), p["output_norm"])
    return x


@pytest.mark.parametrize("config", [BERT, ALBERT], ids=["bert", "albert"])
def test_every_layer_agrees_with_the_formula(config, rng):
    params, batch = _perturbed(config, rng), _batch(rng, [8, 1, 5, 0])
    layers = config.layer_names
    for depth, states in enumerate(_states(config, params, batch, layers)):
        assert np.isfinite(states).all()
        for row, count in enumerate([8, 1, 5]):
            wanted = _oracle(config, params, batch["ids"][row, :count], depth)
            error = np.abs(states[row, :count] - wanted).max() / np.abs(wanted).max()
            assert error < 1e-4, (layers[depth], error)


@pytest.mark.parametrize("config", [BERT, ALBERT], ids=["bert", "albert"])
def test_float64_agrees_to_rounding(config, rng):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(np.float64), _perturbed(config, rng))
        batch = _batch(rng, [6])
        (states,) = _states(config, params, batch, config.layer_names[-1:])
    wanted = _oracle(config, params, batch["ids"][0, :6], config.depth)
    np.testing.assert_allclose(states[0, :6], wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def test_padding_length_does_not_change_a_row(rng):
    params, batch = _perturbed(BERT, rng), _batch(rng, [5, 3])
    short = {name: value[:, :5] for name, value in batch.items()}
    long, cut = (_states(BERT, params, b, ["layer_3"])[0] for b in (batch, short))
    np.testing.assert_allclose(long[:, :5][short["mask"]], cut[short["mask"]], rtol=1e-4, atol=1e-5)


def test_standard_initialization_is_seeded():
    params = init_params(BERT, seed=3)
    again, other = init_params(BERT, seed=3), init_params(BERT, seed=4)
    same = jax.tree.map(np.array_equal, params, again)
    assert all(jax.tree.leaves(same))
    assert not np.array_equal(params["tokens"]["embedding"], other["tokens"]["embedding"])
    kernels = params["layers"]["expand"]["kernel"]
    assert kernels.std() == pytest.approx(0.02, rel=0.1)
    assert not params["layers"]["expand"]["bias"].any()
    assert (params["norm"]["scale"] == 1).all()


def _published_bert(config, rng):
    """Arrays under the published names, with the heads that the port leaves out."""
    d, e = config.hidden, config.intermediate
    shapes = {
        "embeddings.word_embeddings.weight": (config.vocabulary, d),
        "embeddings.position_embeddings.weight": (config.positions, d),
        "embeddings.token_type_embeddings.weight": (2, d),
        "embeddings.LayerNorm.weight": (d,),
        "embeddings.LayerNorm.bias": (d,),
        "pooler.dense.weight": (d, d),
    }
    linear = {"attention.self.query": (d, d), "attention.self.key": (d, d)}
    linear |= {"attention.self.value": (d, d), "attention.output.dense": (d, d)}
    linear |= {"intermediate.dense": (e, d), "output.dense": (d, e)}
    for layer in range(config.depth):
        for name, shape in linear.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (d,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (d,)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {f"bert.{name}": array for name, array in arrays.items()} | {"cls.bias": np.ones(3)}


def test_conversion_keeps_every_array(rng):
    arrays = _published_bert(BERT, rng)
    params = convert_params(BERT, arrays)
    for layer in range(BERT.depth):
        np.testing.assert_array_equal(
            params["layers"]["contract"]["kernel"][layer],
            arrays[f"bert.encoder.layer.{layer}.output.dense.weight"].T,
        )


def test_conversion_names_what_is_wrong(rng):
    arrays = _published_bert(BERT, rng)
    missing = {k: v for k, v in arrays.items() if k != "bert.encoder.layer.1.output.dense.bias"}
    with pytest.raises(WeightsError, match=r"no array 'encoder\.layer\.1\.output\.dense\.bias'"):
        convert_params(BERT, missing)
    with pytest.raises(WeightsError, match=r"encoder\.layer\.2\."):
        convert_params(dataclasses.replace(BERT, depth=2), arrays)
    with pytest.raises(WeightsError, match=r"\['positions'\]\['embedding'\] has shape"):
        convert_params(dataclasses.replace(BERT, positions=10), arrays)


@functools.cache
def _load(model_id):
    entry = {**PRETRAINED, **RANDOM}[model_id]
    return entry.build(entry)


def _project(states, mask):
    """The golden files' projection; see scripts/golden_bert.py."""
    mix = np.cos(np.arange(states.shape[2])[:, None] * (np.arange(8) + 1) + np.arange(8)) / 16
    return np.einsum("bt,btd,dp->bp", np.cos(np.arange(mask.shape[1])) * mask, states, mix)


@pytest.mark.registry
@pytest.mark.parametrize("model_id", PRETRAINED)
def test_real_weights_give_the_golden_activations(model_id):
    encoder, golden = _load(model_id), np.load(DATA / f"golden_{model_id}.npz")
    archive = encoder.card.package_sha256
    assert json.loads(str(golden["provenance"]))["archive_sha256"] == archive
    examples = [encoder.featurize(Structure(id=s, smiles=s)) for s in golden["smiles"].tolist()]
    assert [len(example["ids"]) for example in examples] == golden["token_counts"].tolist()
    np.testing.assert_array_equal(np.concatenate([e["ids"] for e in examples]), golden["ids"])
    count = len(examples)
    batch = encoder.collate(examples, 48, count + 1)
    layers = [encoder.card.layers[depth] for depth in (0, 1, 12)]
    run = jax.jit(lambda p, b: [encoder.apply(p, b, layer) for layer in layers])
    for layer, features in zip(layers, run(encoder.params, batch), strict=True):
        wanted = golden["projection"][:, encoder.card.layers.index(layer)]
        states = np.asarray(features.values, np.float64)
        came = _project(states[:count], batch["mask"][:count])
        assert np.abs(came - wanted).max() <= 1e-5 * np.abs(wanted).max(), layer
    pooled = np.asarray(pool(features, "mean"))
    assert np.abs(pooled[:count] - golden["mean"]).max() <= 1e-5 * np.abs(golden["mean"]).max()
    assert not pooled[count:].any()


@pytest.mark.registry
@pytest.mark.parametrize("model_id", [*PRETRAINED, *RANDOM])
def test_cards_state_the_truth(model_id):
    encoder = _load(model_id)
    card = encoder.card
    assert card.parameters == count_params(encoder.params)
    assert card.layer == card.layers[-1] == "layer_12"
    assert (card.modality, card.licence, card.width) == ("string", "MIT", 256)
    assert card.verified == ("weights" if card.pretrained else "none")


@pytest.mark.registry
def test_random_twin_differs_but_reads_the_same_tokens():
    real, twin = _load("rxnfp-bert-pretrained"), _load("rxnfp-bert-random")
    structure = Structure(id="x", smiles="CCO")
    np.testing.assert_array_equal(
        real.featurize(structure)["ids"], twin.featurize(structure)["ids"]
    )
    shapes = jax.tree.map(jnp.shape, real.params)
    assert shapes == jax.tree.map(jnp.shape, twin.params)
