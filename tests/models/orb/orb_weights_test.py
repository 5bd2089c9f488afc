"""Weight files of Orbs: names, configurations, errors that name what is wrong."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxalign.models import registry
from jaxalign.models.orb.orb_settings import CONDITION, read_settings
from jaxalign.models.orb.orb_weights import convert_params, current_names, reference_energies
from jaxalign.models.user_weights import load_weights
from jaxalign.models.weight_files.weights import WeightsError, count_params
from tests.models.orb.orb_golden import golden_arrays, read_golden
from tests.models.weight_files.torch_writer import Tensor, write_zip

STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}


@pytest.fixture(scope="module")
def newer():
    return golden_arrays(read_golden("tiny-v3"))


@pytest.fixture(scope="module")
def older():
    return golden_arrays(read_golden("tiny-v2"))


def save(path, arrays, config=None):
    """A file of the kind of its suffix, and its configuration."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        tensors, storages = {}, {}
        for key, (name, a) in enumerate(arrays.items()):
            steps = tuple(step // a.itemsize for step in np.empty(a.shape, a.dtype).strides)
            kind = STORAGES[str(a.dtype)]
            tensors[name] = Tensor(str(key), kind, a.size, 0, a.shape, steps)
            storages[str(key)] = a.tobytes()
        path.write_bytes(write_zip(tensors, storages))
    if config is not None:
        path.with_suffix(".json").write_text(json.dumps(config))
    return path


def load(path, **options):
    return load_weights(path, architecture="orb", **options)


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_all_kinds_of_files_give_the_same_encoder(newer, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_own_entries", {})
    config, expected = {"max_num_neighbors": 20}, None
    for kind in ("ckpt", "safetensors", "npz"):
        encoder = load(save(tmp_path / f"mine.{kind}", newer, config))
        expected = expected or encoder
        assert equal(encoder.params, expected.params)
        assert encoder.card.parameters == count_params(encoder.params)
    assert encoder.card.verified == "random"
    assert encoder.card.symmetry == "none"
    assert encoder.card.layers == ("encoder", "layer_1", "layer_2")
    assert encoder.energy.reference.keys() == set(range(118))
    entry = registry.model_entry(f"orb:{tmp_path / 'mine.npz'}")
    assert entry.card == encoder.card


def test_variants_follow_from_arrays_and_released_names(newer, older):
    settings = read_settings(older)
    assert (settings.degree, settings.bases, settings.activation) == (None, 20, "ssp")
    assert (settings.neighbors, settings.repulsion, settings.layer_norm) == (20, None, True)
    for name, neighbors in (
        ("orb-v3-conservative-20-omat-20250404", 20),
        ("orb-v3-conservative-inf-mpa-20250404", 120),
        ("orb-v3-direct-omol-20250820", 120),
        ("separate-d3-3layer", 120),
    ):
        settings = read_settings(newer, name=name)
        assert settings.neighbors == neighbors
        # Not the name but the arrays say that forces are gradients.
        assert (settings.degree, settings.bases, settings.repulsion) == (3, 8, "mean")
    direct = {n: a for n, a in newer.items() if not n.startswith("grad_")}
    config = {"max_num_neighbors": 7, "activation": "gelu", "elements": [8, 1]}
    settings = read_settings(direct, config)
    assert (settings.neighbors, settings.activation, settings.repulsion) == (7, "gelu", "sum")
    assert settings.elements == (1, 8)
    assert read_settings(direct, {**config, "pair_repulsion": False}).repulsion is None
    assert read_settings(direct, {**config, "pair_repulsion": "mean"}).repulsion == "mean"


def test_other_names_of_the_same_arrays_are_known(older):
    expected = convert_params(older, read_settings(older))
    network = {n: a for n, a in older.items() if n.startswith("model.")}
    renamed = {
        "v2": {n.replace("heads.energy.", "graph_head."): a for n, a in older.items()},
        "compiled": {n.replace("model.", "model._orig_mod."): a for n, a in older.items()},
        "bare": {n.removeprefix("model."): a for n, a in network.items()},
        "denoiser": {f"model.{n}": a for n, a in network.items()}
        | {"model.noise_schedule": np.zeros(3)},
    }
    for kind, arrays in renamed.items():
        names = current_names(arrays)
        settings = read_settings(names)
        params = convert_params(names, settings)
        if kind in ("bare", "denoiser"):
            assert settings.head_depth is None
            assert equal(params, {n: p for n, p in expected.items() if n != "energy"})
        else:
            assert equal(params, expected)


def test_an_orb_without_energies_still_embeds(older, tmp_path):
    network = {n: a for n, a in older.items() if n.startswith("model.")}
    encoder = load(save(tmp_path / "bare.npz", network))
    assert encoder.energy is None
    assert "no energies" in encoder.card.notes


def test_charge_and_spin_shift_the_nodes_of_every_layer(newer, rng):
    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    seen = {CONDITION: normal(2), CONDITION.replace("charge", "spin"): normal(2)}
    for step in range(2):
        name = f"model.gnn_stacks.{step}._cond_node_proj"
        seen |= {f"{name}.weight": normal(8, 8), f"{name}.bias": normal(8)}
    arrays = {**newer, **seen}
    config = {"max_num_neighbors": 120, "charge": -1, "spin": 3}
    params = convert_params(arrays, read_settings(arrays, config))
    waves = [
        function(2 * np.pi * value * frequencies)
        for value, frequencies in zip((-1, 3), list(seen.values())[:2], strict=True)
        for function in (np.sin, np.cos)
    ]
    name = "model.gnn_stacks.1._cond_node_proj"
    expected = seen[f"{name}.weight"] @ np.concatenate(waves) + seen[f"{name}.bias"]
    np.testing.assert_allclose(params["layers"]["condition"][1], expected, rtol=1e-3, atol=1e-4)
    neutral = read_settings(arrays, {"max_num_neighbors": 120})
    assert neutral.state == (0.0, 1.0)
    with pytest.raises(WeightsError, match="charge_embedding"):
        read_settings(newer, config)


def test_what_a_file_does_not_tell_must_be_stated(newer, older, tmp_path):
    path = save(tmp_path / "mine.npz", newer)
    with pytest.raises(WeightsError, match="max_num_neighbors"):
        load(path)
    assert load(path, config={"max_num_neighbors": 120}).card.id == "mine"
    with pytest.raises(WeightsError, match="states r_max; known are"):
        load(path, config={"r_max": 4.0})
    for config, message in (
        ({"max_num_neighbors": 0}, "positive integer"),
        ({"max_num_neighbors": 20, "activation": "tanh"}, "tanh.*ssp"),
        ({"max_num_neighbors": 20, "pair_repulsion": "max"}, "'max'"),
        ({"max_num_neighbors": 20, "elements": [118]}, "117"),
    ):
        with pytest.raises(WeightsError, match=message):
            load(path, config=config)


def test_contradictions_name_the_array_and_both_shapes(older, newer):
    def refused(message, arrays, **config):
        with pytest.raises(WeightsError, match=message):
            convert_params(arrays, read_settings(arrays, config))

    refused(r"NN-0\.weight has shape \(12, 24\).*\(16, 24\)", older, base_mlp_hidden_dim=16)
    refused(r"gnn_stacks\.2", older, num_message_passing_steps=3)
    refused("no place in the network", older, num_message_passing_steps=1)
    refused(r"_attn\.weight has shape \(1, 8\).*\(1, 16\)", older, latent_dim=16)
    name = "model.gnn_stacks.1._send_attn.weight"
    refused(r"_send_attn\.weight has shape \(1, 7\).*\(1, 8\)", {**older, name: older[name][:, 1:]})
    lost = {n: a for n, a in older.items() if n != name}
    refused(r"no array 'model\.gnn_stacks\.1\._send_attn\.weight'", lost)
    refused("extra", {**older, "model.extra": np.zeros(3, np.float32)})
    refused("no Orb v2 or v3", {"linear.weight": np.zeros((2, 2))})
    edge = "model._encoder._edge_fn.mlp.NN-0.weight"
    wrong = {**newer, edge: newer[edge][:, :100]}
    refused(r"\(12, 100\).*8 Bessel functions", wrong, max_num_neighbors=20)
    unlike = {**older, "heads.energy.reference.linear.weight": np.zeros(89)}
    with pytest.raises(WeightsError, match=r"\(89,\).*\(118,\)"):
        reference_energies(unlike)
