"""Parts of CHGNet against their formulas in float64."""

import functools

import jax
import numpy as np
import pytest

from jaxalign.models.chgnet import gated_maps


@pytest.mark.parametrize("power", [5, 8])
def test_radial_basis_is_the_formula_and_ends_at_the_cutoff(rng, power):
    lengths = np.concatenate([rng.uniform(0.5, 6, 20), [6.0, 6.001, 12.0]])
    frequencies = np.pi * np.arange(1, 8)
    basis = jax.jit(functools.partial(gated_maps.radial_basis, cutoff=6.0, power=power))
    ours = basis(lengths.astype(np.float32), frequencies.astype(np.float32))
    x, p = lengths / 6.0, power
    envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
    envelope = np.where(x < 1, envelope - p * (p + 1) / 2 * x ** (p + 2), 0)
    expected = np.sqrt(2 / 6.0) * np.sin(np.outer(x, frequencies)) / lengths[:, None]
    np.testing.assert_allclose(ours, expected * envelope[:, None], atol=2e-5)
    assert not np.asarray(ours)[-3:].any()


def test_angular_basis_is_orthonormal_on_the_circle():
    radians = np.linspace(-np.pi, np.pi, 1000, endpoint=False).astype(np.float32)
    frequencies = np.arange(1, 4).astype(np.float32)
    values = np.asarray(jax.jit(gated_maps.angular_basis)(radians, frequencies))
    products = values.T.astype(np.float64) @ values * (2 * np.pi / 1000)
    np.testing.assert_allclose(products, np.eye(7), atol=1e-5)


def test_gated_map_is_its_formula_with_and_without_parts(rng):
    width = 64
    x, y = rng.normal(size=(2, 5, width)).astype(np.float32)
    params = {}
    for part in ("core", "gate"):
        kernel, bias, scale, shift = rng.normal(size=(4, width, width)).astype(np.float32)
        params[f"map/{part}_2"] = {"kernel": kernel / 8, "bias": bias[0]}
        params[f"map/{part}_norm"] = {"scale": scale[0], "bias": shift[0]}

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    def transform(part, value, params):
        value = value.astype(np.float64)
        if f"map/{part}_2" in params:
            linear = params[f"map/{part}_2"]
            value = (value * sigmoid(value)) @ linear["kernel"].astype(np.float64) + linear["bias"]
        if f"map/{part}_norm" in params:
            norm = params[f"map/{part}_norm"]
            value = (value - value.mean(1, keepdims=True)) / np.sqrt(
                value.var(1, keepdims=True) + 1e-5
            )
            value = value * norm["scale"] + norm["bias"]
        return value

    plain = {name: part for name, part in params.items() if not name.endswith("norm")}
    gated_map = jax.jit(gated_maps.gated_map, static_argnums=1)
    for own in (params, plain):
        core, gate = transform("core", x, own), transform("gate", y, own)
        ours = gated_map(own, "map", {"core": x, "gate": y})
        np.testing.assert_allclose(ours, core * sigmoid(core) * sigmoid(gate), atol=1e-4)
