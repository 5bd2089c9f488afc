"""The transformer against its formula in NumPy float64, on small random networks."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from jaxalign.models.language.transformer import (
    TransformerConfig,
    hidden_states,
    init_params,
    param_shapes,
)

BERT = TransformerConfig(vocabulary=11, hidden=12, depth=3, heads=3, intermediate=20, positions=9)
ALBERT = dataclasses.replace(BERT, embedding=6, shared=True)


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
    depths = (0, 1, 3)
    layers = [config.layer_names[depth] for depth in depths]
    for depth, states in zip(depths, _states(config, params, batch, layers), strict=True):
        assert np.isfinite(states).all()
        for row, count in enumerate([8, 1, 5]):
            wanted = _oracle(config, params, batch["ids"][row, :count], depth)
            error = np.abs(states[row, :count] - wanted).max() / np.abs(wanted).max()
            assert error < 1e-4, (depth, error)


@pytest.mark.parametrize("config", [BERT, ALBERT], ids=["bert", "albert"])
def test_float64_agrees_to_rounding(config, rng):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(np.float64), _perturbed(config, rng))
        batch = _batch(rng, [6])
        (states,) = _states(config, params, batch, config.layer_names[-1:])
    wanted = _oracle(config, params, batch["ids"][0, :6], config.depth)
    np.testing.assert_allclose(states[0, :6], wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


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
