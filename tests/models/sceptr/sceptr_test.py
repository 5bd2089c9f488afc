"""SCEPTR: golden activations of the originals, an oracle by definition, inputs and cards."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import pool
from jaxalign.models.sceptr.catalog_sceptr import ENTRIES, VARIANTS, sceptr_encoder
from jaxalign.models.sceptr.network import SceptrConfig, apply_sceptr, init_params
from jaxalign.models.sceptr.receptors import collate_loops, encode_loop
from jaxalign.models.sceptr.weights import convert_sceptr
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

GOLDEN = Path(__file__).parents[2] / "data" / "golden_sceptr.npz"
TINY = SceptrConfig(hidden=8, depth=2)
LEFT = SceptrConfig(hidden=8, depth=2, positions=9)

apply = jax.jit(apply_sceptr, static_argnums=(0, 3))


def published(config, rng, *, features=22):
    """Arrays under the published names."""
    d, root = config.hidden, "_self_attention_stack."
    shapes = {}
    if config.positions is None:
        shapes[f"{root}_initial_projector.weight"] = (d, features + config.compartments)
        shapes["_token_embedder._token_embedding._token_embeddings"] = (23, features)
        loops = (config.compartments, config.compartments - 1)
        shapes["_token_embedder._compartment_embedding._token_embeddings"] = loops
        root += "_standard_stack."
    else:
        shapes["_token_embedder.token_embedding.weight"] = (23, d)
        shapes["_token_embedder.compartment_embedding.weight"] = (config.compartments, d)
        table = "_token_embedder.position_embedding.position_embedding_matrix"
        shapes[table] = (config.positions + 1, d)
    for layer in range(config.depth):
        name = f"{root}_self_attention_stack.layers.{layer}."
        linear = {"self_attn.in_proj_": (3 * d, d), "self_attn.out_proj.": (d, d)}
        linear |= {"linear1.": (4 * d, d), "linear2.": (d, 4 * d)}
        for part, shape in linear.items():
            shapes[f"{name}{part}weight"], shapes[f"{name}{part}bias"] = shape, shape[:1]
        for part in ("norm1", "norm2"):
            shapes[f"{name}{part}.weight"] = shapes[f"{name}{part}.bias"] = (d,)
    shapes["_mlm_token_prediction_projector.projector.weight"] = (20, d)
    return {
        name: (0.3 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()
    }


def oracle(config, arrays, example):
    """Every hidden state of one loop by the definition, in float64."""
    a = {name.removeprefix("_self_attention_stack."): v.astype(float) for name, v in arrays.items()}
    d, rows, length = config.hidden, [], int(example["length"])
    for token, place in zip(example["ids"], example["places"], strict=True):
        loop = config.compartment if place else 0
        if config.positions is None:
            relative = 0.0 if not place else 0.5 if length == 1 else (place - 1) / (length - 1)
            tables = [a[f"_token_embedder._{k}_embedding._token_embeddings"] for k in _KINDS]
            whole = np.concatenate([tables[0][token], [relative], tables[1][loop]])
            rows.append(a["_initial_projector.weight"] @ whole)
        else:
            x = a["_token_embedder.token_embedding.weight"][token]
            x = x + a["_token_embedder.compartment_embedding.weight"][loop]
            x = x + a["_token_embedder.position_embedding.position_embedding_matrix"][place]
            rows.append(x * d**0.5)
    states = [np.stack(rows)]
    stack = "_standard_stack." if config.positions is None else ""
    for layer in range(config.depth):
        root = f"{stack}_self_attention_stack.layers.{layer}."
        states.append(_layer({k.removeprefix(root): v for k, v in a.items()}, states[-1]))
    return states


_KINDS = ("token", "compartment")


def _layer(a, x):
    def norm(x, name):
        centered = x - x.mean(1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(1, keepdims=True) + 1e-5)
        return scaled * a[f"{name}.weight"] + a[f"{name}.bias"]

    projected = x @ a["self_attn.in_proj_weight"].T + a["self_attn.in_proj_bias"]
    width, heads = x.shape[1] // 8, []
    for head in range(8):
        query, key, value = (
            part[:, head * width : (head + 1) * width] for part in np.split(projected, 3, 1)
        )
        weights = np.exp(query @ key.T / width**0.5)
        heads.append(weights / weights.sum(1, keepdims=True) @ value)
    joined = np.concatenate(heads, 1)
    out = a["self_attn.out_proj.weight"]
    x = norm(x + joined @ out.T + a["self_attn.out_proj.bias"], "norm1")
    inner = np.maximum(x @ a["linear1.weight"].T + a["linear1.bias"], 0)
    return norm(x + inner @ a["linear2.weight"].T + a["linear2.bias"], "norm2")


# One variant of each shape and each encoding of positions; the others have other weights.
QUICK = ("sceptr", "sceptr-tiny", "sceptr-large", "sceptr-left-aligned")


@pytest.mark.parametrize("config", [TINY, LEFT], ids=["relative", "left"])
def test_random_weights_agree_with_the_definition(config, rng):
    arrays = published(config, rng)
    params = convert_sceptr(config, arrays)
    examples = [encode_loop(s, max_residues=config.positions) for s in ("CASXF", "W", "CSXXAYW")]
    batch = collate_loops(examples, 9, 4)
    for number, name in enumerate(config.layer_names):
        values = np.asarray(apply(config, params, batch, name).values)
        assert np.isfinite(values).all()
        for row, example in enumerate(examples):
            wanted = oracle(config, arrays, example)[number]
            scale = np.abs(wanted).max()
            assert np.abs(values[row, : len(wanted)] - wanted).max() <= 1e-4 * scale, name


def test_rows_of_blosum_are_added_to_special_tokens(rng):
    arrays = published(TINY, rng, features=20)
    table = arrays.pop("_token_embedder._token_embedding._token_embeddings")
    root = "_token_embedder._blosum_embedding."
    arrays[f"{root}_blosum_embeddings"] = np.concatenate([np.zeros((3, 20), "f4"), table[3:]])
    arrays[f"{root}_special_token_embeddings.weight"] = table[:3]
    first = arrays["_self_attention_stack._initial_projector.weight"][:, :20]
    tokens = convert_sceptr(TINY, arrays)["tokens"]["embedding"]
    np.testing.assert_allclose(tokens, table @ first.T, rtol=1e-4, atol=1e-5)


def test_conversion_names_what_is_wrong(rng):
    arrays = published(TINY, rng)
    with pytest.raises(WeightsError, match=r"layers\.1\."):
        convert_sceptr(SceptrConfig(hidden=8, depth=1), arrays)
    with pytest.raises(WeightsError, match=r"no array .*layers\.2"):
        convert_sceptr(SceptrConfig(hidden=8, depth=3), arrays)
    with pytest.raises(WeightsError, match="compartments"):
        convert_sceptr(SceptrConfig(hidden=8, depth=2, compartments=4), arrays)


def test_inputs():
    example = encode_loop("cXa", max_residues=2)
    assert example["ids"].tolist() == [2, 4]
    assert example["places"].tolist() == [0, 1]
    facts = [int(example[name]) for name in ("length", "unknown", "truncated")]
    assert facts == [2, 1, 1]
    assert len(encode_loop("A" * 10_000)["ids"]) == 10_001
    for text, match in (("XX", "none of the twenty"), ("A-C", "no letters"), ("", "no letters")):
        with pytest.raises(UnsupportedStructureError, match=match):
            encode_loop(text)
    encoder = sceptr_encoder(ENTRIES[0].card, TINY, init_params(TINY, seed=0))
    for structure in (Structure(id="a", smiles="C"), Structure(id="b", sequence="")):
        with pytest.raises(UnsupportedStructureError, match="residue sequence"):
            encoder.featurize(structure)


def test_a_row_does_not_depend_on_its_batch(rng):
    params = init_params(TINY, seed=1)
    pair = [encode_loop("CASSF"), encode_loop("CATDPRNF")]
    both = np.asarray(apply(TINY, params, collate_loops(pair, 9, 4), None).values)
    alone = np.asarray(apply(TINY, params, collate_loops(pair[1:], 12, 1), None).values)
    np.testing.assert_allclose(both[1, :9], alone[0, :9], rtol=1e-4, atol=1e-5)


def test_averaging_variants_leave_out_cls():
    config = SceptrConfig(hidden=8, depth=2, pools_residues=True)
    assert config.own_layer == "layer_1"
    batch = collate_loops([encode_loop("CAS")], 6, 1)
    features = apply(config, init_params(config, seed=0), batch, None)
    assert np.asarray(features.mask)[0].tolist() == [False, True, True, True, False, False]


def _project(states):
    """The golden file's projection; see scripts/golden_sceptr.py."""
    mix = np.cos(np.arange(states.shape[1])[:, None] * (np.arange(4) + 1) + np.arange(4))
    return np.cos(np.arange(len(states))) @ states @ mix


@functools.cache
def _load(model_id):
    (entry,) = (entry for entry in ENTRIES if entry.card.id == model_id)
    return entry.build(entry)


@pytest.mark.registry
@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, id=v.id, marks=[] if v.id in QUICK else [pytest.mark.slow]) for v in VARIANTS],
)
def test_real_weights_give_the_golden_activations(variant):
    encoder, golden = _load(variant.id), np.load(GOLDEN)
    card = encoder.card
    assert json.loads(str(golden["provenance"]))["archive_sha256"] == card.package_sha256
    assert card.parameters == count_params(encoder.params)
    texts = golden["sequences"].tolist()
    examples = [encoder.featurize(Structure(id=s, sequence=s)) for s in texts]
    batch = encoder.batching.collate(examples, (65, len(texts)))
    features = jax.jit(encoder.apply, static_argnums=2)(encoder.params, batch, None)
    rows = np.asarray(pool(features, card.pooling))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, golden[f"{variant.id}/rows"], atol=2e-5)
    layer = card.layers.index(card.layer)
    wanted = golden[f"{variant.id}/projection"][:, layer]
    values = np.asarray(features.values, np.float64)
    came = np.stack([_project(v[: len(e["ids"])]) for v, e in zip(values, examples, strict=True)])
    assert np.abs(came - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.registry
def test_cards():
    ids = [entry.card.id for entry in ENTRIES]
    assert len(set(ids)) == len(VARIANTS) + 1 == 17
    twin = _load("sceptr-random").card
    assert not twin.pretrained
    assert twin.parameters == _load("sceptr").card.parameters
    left = _load("sceptr-left-aligned").featurize(Structure(id="", sequence="A" * 130))
    assert int(left["truncated"]) == 30
