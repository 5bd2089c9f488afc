"""BERT and ALBERT with real weights: golden activations of the originals, conversion, cards."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.language.albert_bert import convert_params
from jaxalign.models.language.catalog_rxn import ENTRIES
from jaxalign.models.language.transformer import TransformerConfig
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

DATA = Path(__file__).parents[2] / "data"
BERT = TransformerConfig(vocabulary=11, hidden=12, depth=3, heads=3, intermediate=20, positions=9)
PRETRAINED = {entry.card.id: entry for entry in ENTRIES if entry.card.pretrained}
RANDOM = {entry.card.id: entry for entry in ENTRIES if not entry.card.pretrained}


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
    arrays["embeddings.position_ids"] = np.arange(config.positions)[None]  # as old files have it
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
    batch = encoder.batching.pad(examples, 48, count + 1)
    # All layers of the fine-tuned twins went through the same code.
    depths = (12,) if "-ft" in model_id else (0, 1, 12)
    layers = [encoder.card.layers[depth] for depth in depths]
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
