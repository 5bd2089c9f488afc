"""The network against a NumPy oracle on random weights in the layout of the originals."""

import re

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import erf

from jaxalign.models.card import ModelCard
from jaxalign.models.proteinmpnn.encoder import apply_mpnn, mpnn_encoder
from jaxalign.models.proteinmpnn.settings import MpnnSettings
from jaxalign.models.proteinmpnn.weights import convert_params, init_params, param_shapes
from jaxalign.models.weight_files.weights import WeightsError
from jaxalign.structures.structure import Structure

# Everything that a full-backbone network may have, with few neighbors.
SETTINGS = MpnnSettings(neighbors=7, labels=3, context=True)
CARD = ModelCard(
    id="x", name="x", family="x", modality="protein-structure", pretrained=False, layer="context"
)
ATOMS = ("N", "CA", "C", "O", "CB")
PAIRS = re.findall(
    r"\S+",
    "CA-CA N-N C-C O-O CB-CB CA-N CA-C CA-O CA-CB N-C N-O N-CB CB-C CB-O O-C N-CA C-CA O-CA CB-CA "
    "C-N O-N CB-N C-CB O-CB C-O",
)


def random_state(rng):
    """Arrays under the names of the originals."""
    state = {}

    def linear(name, out, inputs, *, bias=True):
        state[f"{name}.weight"] = rng.normal(size=(out, inputs)) / inputs**0.5
        if bias:
            state[f"{name}.bias"] = rng.normal(size=out) / 3

    def norm(name):
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + rng.normal(size=(2, 128)) / 3

    linear("features.embeddings.linear", 16, 66)
    linear("features.edge_embedding", 128, 416, bias=False)
    linear("features.node_embedding", 128, 3, bias=False)
    for name in ("W_v", "W_e", "W_c"):
        linear(name, 128, 128)
    linear("V_C", 128, 128, bias=False)
    for name in ("features.norm_edges", "features.norm_nodes", "V_C_norm"):
        norm(name)
    roots = [f"encoder_layers.{n}." for n in range(3)]
    for root in (*roots, *(f"context_encoder_layers.{n}." for n in range(2))):
        linear(f"{root}dense.W_in", 512, 128)
        linear(f"{root}dense.W_out", 128, 512)
        for name in ("norm1", "norm2", "norm3"):
            norm(root + name)
        for first, *others in (("W1", "W2", "W3"), ("W11", "W12", "W13")):
            linear(root + first, 128, 384)
            for name in others:
                linear(root + name, 128, 128)
    for unused in [n for n in state if n.startswith("context") and ("W1" in n or "norm3" in n)]:
        del state[unused]
    return {name: array.astype(np.float32) for name, array in state.items()}


def oracle(state, structure, k):
    """All layers of one chain in float64, as the paper and the packages define them."""
    p = {name: array.astype(np.float64) for name, array in state.items()}

    def linear(name, x):
        return x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0)

    def norm(name, x):
        x = x - x.mean(-1, keepdims=True)
        return (
            x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p[f"{name}.weight"]
            + p[f"{name}.bias"]
        )

    def chain(root, names, x):
        for name in names[:-1]:
            x = linear(root + name, x)
            x = x * (1 + erf(x / 2**0.5)) / 2
        return linear(root + names[-1], x)

    backbone = structure.backbone.astype(np.float32).astype(np.float64)
    n, ca, c, o = backbone.transpose(1, 0, 2)
    b, d = ca - n, c - ca
    beta = -0.58273431 * np.cross(b, d) + 0.56802827 * b - 0.54067466 * d + ca
    atom = dict(zip(ATOMS, (n, ca, c, o, beta), strict=True))
    apart = {pair: atom[pair.split("-")[0]][:, None] - atom[pair.split("-")[1]] for pair in PAIRS}
    apart = {pair: np.sqrt((x**2).sum(-1) + 1e-6) for pair, x in apart.items()}
    index = np.argsort(apart["CA-CA"], axis=1)[:, :k]
    centers = np.linspace(2, 22, 16)
    gaussians = [
        np.exp(-(((np.take_along_axis(apart[pair], index, 1)[..., None] - centers) / 1.25) ** 2))
        for pair in PAIRS
    ]
    numbers = structure.residue_numbers
    offset = np.clip(numbers[:, None] - numbers[index] + 32, 0, 64)
    edges = [linear("features.embeddings.linear", np.eye(66)[offset]), *gaussians]
    edges = linear("features.edge_embedding", np.concatenate(edges, -1))
    edges = linear("W_e", norm("features.norm_edges", edges))
    label = norm("features.norm_nodes", p["features.node_embedding.weight"][:, 0])
    nodes = np.tile(linear("W_v", label), (len(ca), 1))
    layers = {"embedding": edges.mean(1)}
    for number in range(3):
        root = f"encoder_layers.{number}."

        def joined():
            own = np.broadcast_to(nodes[:, None], edges.shape)  # noqa: B023
            return np.concatenate([own, edges, nodes[index]], -1)  # noqa: B023

        messages = chain(root, ("W1", "W2", "W3"), joined()).sum(1) / 30
        nodes = norm(f"{root}norm1", nodes + messages)
        nodes = norm(f"{root}norm2", nodes + chain(root, ("dense.W_in", "dense.W_out"), nodes))
        edges = norm(f"{root}norm3", edges + chain(root, ("W11", "W12", "W13"), joined()))
        layers[f"layer_{number + 1}"] = nodes
    context = linear("W_c", nodes)
    for number in range(2):
        root = f"context_encoder_layers.{number}."
        context = norm(f"{root}norm1", context)
        inner = chain(root, ("dense.W_in", "dense.W_out"), context)
        context = norm(f"{root}norm2", context + inner)
    layers["context"] = nodes + norm("V_C_norm", linear("V_C", context))
    return layers


def chain(rng, residues, name="x"):
    numbers = np.cumsum(rng.choice([1, 1, 1, 20, 100], residues)).astype(np.int32)
    backbone = np.cumsum(rng.normal(size=(residues, 1, 3)) * 3, axis=0)
    backbone = backbone + rng.normal(size=(residues, 4, 3)) + 10
    return Structure(id=name, backbone=backbone, residue_numbers=numbers)


@jax.jit
def all_layers(params, batch):
    return {name: apply_mpnn(SETTINGS, params, batch, name) for name in SETTINGS.layer_names}


@pytest.fixture(scope="module")
def state():
    return random_state(np.random.default_rng())


@pytest.fixture(scope="module")
def encoder(state):
    return mpnn_encoder(CARD, convert_params(state, SETTINGS), SETTINGS)


def layers_of(encoder, structures):
    """Layers of each structure, all in one batch of one shape."""
    examples = [encoder.featurize(structure) for structure in structures]
    shape = (("graphs", 8), ("most", 24), ("atoms", 64))
    found = all_layers(encoder.params, encoder.batching.collate(examples, shape))
    return [
        {name: np.asarray(f.values[i])[np.asarray(f.mask[i])] for name, f in found.items()}
        for i in range(len(structures))
    ]


@pytest.mark.slow
def test_layers_follow_the_definition(state, encoder, rng):
    structures = [chain(rng, residues) for residues in (20, 7, 3, 1)]
    for structure, found in zip(structures, layers_of(encoder, structures), strict=True):
        for name, expected in oracle(state, structure, SETTINGS.neighbors).items():
            tolerance = 3e-5 * np.abs(expected).max()
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=tolerance)


def test_neither_company_nor_a_rigid_motion_matters(encoder, rng):
    # All residues of the small chain are neighbors, which rounding of a motion cannot change.
    one, small, other = (chain(rng, residues) for residues in (12, 7, 20))
    alone, still = (layers_of(encoder, [structure])[0] for structure in (one, small))
    turn = Rotation.random(rng=rng).as_matrix()
    numbers = small.residue_numbers + np.int32(7)
    moved = Structure(id="m", backbone=small.backbone @ turn.T + 30, residue_numbers=numbers)
    found = layers_of(encoder, [other, one, moved])
    for layer, expected in alone.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[1][layer], expected, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(found[2][layer], still[layer], rtol=0, atol=1e-3 * scale)
        assert np.abs(found[0][layer][:12] - expected).max() > 1e-2 * scale


def test_a_missing_residue_leaves_a_gap(encoder, rng):
    whole = chain(rng, 16)
    holed = Structure(id="h", backbone=whole.backbone.copy(), residue_numbers=whole.residue_numbers)
    holed.backbone[5, 2] = np.nan
    kept = np.delete(np.arange(16), 5)
    without = Structure(
        id="w", backbone=whole.backbone[kept], residue_numbers=whole.residue_numbers[kept]
    )
    first, second = layers_of(encoder, [holed, without])
    np.testing.assert_allclose(first["context"], second["context"], rtol=0, atol=1e-5)


def test_empty_slots_are_masked_and_finite(encoder):
    batch = encoder.batching.collate([], (("graphs", 8), ("most", 24), ("atoms", 64)))
    for features in all_layers(encoder.params, batch).values():
        assert not features.mask.any()
        assert np.isfinite(features.values).all()


def test_layers_that_do_not_exist_are_refused(encoder):
    with pytest.raises(ValueError, match="layer_3, context"):
        apply_mpnn(SETTINGS, encoder.params, {}, "layer_4")


def test_weights_of_another_network_are_refused(state):
    with pytest.raises(WeightsError, match="V_C"):
        convert_params(state, MpnnSettings(neighbors=7, labels=3))
    with pytest.raises(WeightsError, match="W11"):
        convert_params({}, MpnnSettings())
    wrong = state | {"W_e.bias": np.zeros(64, np.float32)}
    with pytest.raises(WeightsError, match="project"):
        convert_params(wrong, SETTINGS)


def test_random_parameters_are_seeded_and_bounded():
    one, other = (init_params(SETTINGS, seed=3) for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    expected = jax.tree.map(lambda leaf: leaf.shape, param_shapes(SETTINGS))
    assert jax.tree.map(np.shape, one) == expected
    assert (one["first"]["norm"]["scale"] == 1).all()
    assert not one["context"]["norm"]["bias"].any()
    kernel = np.abs(one["first"]["receiver"]["kernel"])
    bound = (6 / (3 * 128 + 128)) ** 0.5
    assert 0.9 * bound < kernel.max() <= bound
    assert 0 < np.abs(one["first"]["message_bias"]).max() <= 128**-0.5
