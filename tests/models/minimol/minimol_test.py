import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from jaxalign.models.minimol import catalog_minimol, minimol, minimol_weights
from jaxalign.models.minimol.molecule_features import kind_features
from jaxalign.models.minimol.molecule_inputs import (
    ABSENT,
    SLOTS,
    featurize_molecule,
    molecule_packing,
)
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_minimol.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_minimol.ENTRIES}
SMILES = ("C", "[Na+].[Cl-]", "CCO", "FS(F)(F)(F)(F)F", "C1CC2(C1)OC21CC1", "CC(=O)[O-].[NH4+]")
# One shape for all tests, the golden ones too.
SHAPE = (("graphs", 16), ("most", 24), ("atoms", 144), ("extra", 8))

apply = jax.jit(minimol.apply_minimol, static_argnums=2)
states_of = jax.jit(lambda params, batch: minimol.hidden_states(params, batch)[0])


@pytest.fixture(scope="module")
def params():
    return minimol_weights.init_params(3)


def graphs(smiles):
    return [featurize_molecule(Structure(id=s, smiles=s)) for s in smiles]


def collate(examples):
    return molecule_packing().collate(examples, SHAPE)


def pooled(params, smiles, layer=None):
    features = apply(params, collate(graphs(smiles)), layer)
    return np.asarray(pool(features, "max"))[: len(smiles)]


def oracle(params, example):
    """All states by the definition, bond by bond in float64; `middle` and `virtual` unstacked."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)

    def linear(q, x):
        return x @ q["kernel"] + q["bias"]

    def norm(q, x):
        x = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
        return x / deviation * q["scale"] + q["bias"]

    def block(q, x):
        return norm(q["norm"], linear(q["linear"], x))

    def relu(x):
        return np.maximum(x, 0)

    def gelu(x):
        return x * (1 + erf(x / np.sqrt(2))) / 2

    modes = np.stack([example["eigenvalues"], example["eigenvectors"]], axis=-1).astype(float)
    q = p["laplacian"]
    places = linear(q["inner_2"], relu(linear(q["inner_1"], linear(q["input"], modes))))
    places = linear(q["output"], places.sum(axis=1))
    q = p["walk"]
    walks = norm(q["norm"], example["walks"].astype(float))
    places = places + relu(block(q["block_2"], relu(block(q["block_1"], walks))))
    x = np.concatenate([places, example["atoms"]], axis=1)
    x = block(p["atoms"]["block_2"], relu(block(p["atoms"]["block_1"], x)))

    bonds = []
    for atom, kinds in enumerate(example["kinds"]):
        bonds += [
            (example[f"neighbor_{slot}"][atom], atom, kinds[slot])
            for slot in range(SLOTS)
            if kinds[slot] != ABSENT
        ]
    extra = (example[f"extra_{name}"] for name in ("senders", "receivers", "kinds"))
    bonds += list(zip(*extra, strict=True))
    q = p["bonds"]
    states = {
        kind: block(q["block_2"], relu(block(q["block_1"], kind_features()[kind][None])))[0]
        for *_, kind in bonds
    }

    found = {"embedding": x}
    vector, before, atoms = np.zeros(minimol_weights.HIDDEN), 0, len(x)
    for number in range(1, minimol.DEPTH + 1):
        q = {1: p["first"], minimol.DEPTH: p["last"]}.get(number)
        if q is None:
            q = jax.tree.map(lambda leaf, row=number - 2: leaf[row], p["middle"])
        z = (1 + q["epsilon"]) * x
        for sender, receiver, kind in bonds:
            z[receiver] += relu(x[sender] + linear(q["bonds"], states[kind]))
        h = gelu(norm(q["norm"], linear(q["linear"], gelu(block(q["block"], z)))))
        if number == minimol.DEPTH:
            return found | {f"layer_{number}": h}
        h, before = h + before, h + before
        q = jax.tree.map(lambda leaf, row=number - 1: leaf[row], p["virtual"])
        vector = vector + gelu(block(q["block"], vector + np.log(atoms) * h.mean(axis=0)))
        x = h + linear(q["output"], vector / 2)
        found[f"layer_{number}"] = x


@pytest.mark.slow
def test_states_follow_the_definition(params):
    examples = graphs(SMILES)
    states = states_of(params, collate(examples))
    start = 0
    for example in examples:
        rows = slice(start, start + len(example["atoms"]))
        start = rows.stop
        found = {"embedding": states.embedding, "layer_16": states.last}
        found |= {f"layer_{n + 1}": mixed for n, mixed in enumerate(states.mixed)}
        for name, expected in oracle(params, example).items():
            tolerance = 2e-5 * max(1, np.abs(expected).max())
            np.testing.assert_allclose(found[name][rows], expected, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    "layer", ["embedding", *(pytest.param(n, marks=pytest.mark.slow) for n in (None, "layer_2"))]
)
def test_layers_are_those_states(params, layer):
    examples = graphs(SMILES)
    batch = collate(examples)
    states = states_of(params, batch)
    values = {"embedding": states.embedding, "layer_2": states.mixed[1], None: states.last}[layer]
    features = apply(params, batch, layer)
    got = np.asarray(features.values)[np.asarray(features.mask)]
    count = sum(len(example["atoms"]) for example in examples)
    np.testing.assert_allclose(got, values[:count], rtol=1e-5, atol=1e-5)


def test_a_foreign_layer_is_refused(params):
    with pytest.raises(ValueError, match="layer_16"):
        minimol.apply_minimol(params, {}, "layer_17")


def test_company_and_order_do_not_matter(params, rng):
    expected = np.concatenate([pooled(params, [s]) for s in SMILES])
    order = rng.permutation(len(SMILES))
    mixed = pooled(params, [SMILES[i] for i in order])
    np.testing.assert_allclose(mixed, expected[order], rtol=1e-4, atol=1e-5)


def test_what_the_inputs_tell_apart(params):
    """Traps of the original that the card warns of: no chirality and no isotopes."""
    rows = pooled(params, ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C", "[13CH4]"])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows[2], rows[3], rtol=1e-4, atol=1e-5)
    rows = pooled(params, ["CCO", "CCN", "COC", "C/C=C/C", "C/C=C\\C", "CCO.O"])
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + np.eye(len(rows))
    assert distances.min() > 1e-3


def test_empty_slots_are_masked_and_finite(params):
    features = apply(params, collate(graphs(["C"])), None)
    assert np.isfinite(features.values).all()
    assert features.mask.sum() == 1
    assert not apply(params, collate([]), None).mask.any()


@pytest.mark.slow
def test_gradients_are_finite(params):
    batch = {name: jnp.asarray(array) for name, array in collate(graphs(SMILES[:2])).items()}

    def total(params):
        return jnp.sum(pool(minimol.apply_minimol(params, batch, "layer_1"), "mean"))

    gradient = jax.jit(jax.grad(total))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = ENTRIES["minimol-random"]
    one, other = (entry.build(entry).params for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert count_params(one) == entry.card.parameters
    assert not entry.card.pretrained
    assert entry.archives == ()
    assert entry.card.pooling == "max"


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="la_pos"):
        minimol_weights.convert_params({"model.pre_nn.layers.0.linear.weight": np.zeros((2, 2))})


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def golden_examples(golden):
    """Inputs with the original's positions: LAPACK's eigenvectors depend on the processor."""
    examples, start = graphs(golden["smiles"].tolist()), 0
    for example, count in zip(examples, golden["atom_counts"], strict=True):
        for name in ("eigenvalues", "eigenvectors", "walks"):
            example[name] = golden[name][start : start + count].astype(np.float32)
        start += count
    return examples


def test_inputs_are_those_of_the_original(golden):
    own, theirs = graphs(golden["smiles"].tolist()), golden_examples(golden)
    for one, other in zip(own, theirs, strict=True):
        np.testing.assert_allclose(one["eigenvalues"], other["eigenvalues"], rtol=0.01, atol=1e-3)
        np.testing.assert_allclose(one["walks"], other["walks"], rtol=2e-3, atol=1e-6)
    atoms = np.sum([one["atoms"].sum(axis=0) for one in own], axis=0)
    np.testing.assert_array_equal(atoms, golden["sum_of_atoms"])
    kinds = np.concatenate([np.append(one["kinds"], one["extra_kinds"]) for one in own])
    bonds = kind_features()[kinds[kinds != ABSENT]].sum(axis=0)
    np.testing.assert_array_equal(bonds, golden["sum_of_bonds"])


@pytest.mark.registry
def test_states_agree_with_the_original_on_real_weights(golden):
    entry = ENTRIES["minimol"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    examples = golden_examples(golden)
    batch = collate(examples)
    states = states_of(encoder.params, batch)
    count = int(golden["atom_counts"].sum())
    found = {"embedding": states.embedding, "layer_16": states.last}
    found |= {f"layer_{n + 1}": mixed for n, mixed in enumerate(states.mixed)}
    for name, values in found.items():
        expected = golden[name]
        got = values[:count, ::32]  # what the golden file keeps
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    rows = pool(apply(encoder.params, batch, None), "max")[: len(examples)]
    expected = golden["fingerprint"]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    # From SMILES alone, with this machine's eigenvectors.
    own = apply(encoder.params, collate(graphs(golden["smiles"].tolist())), None)
    rows = np.asarray(pool(own, "max"))[: len(examples)]
    errors = np.linalg.norm(rows - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < 0.1


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["minimol"].card.package_sha256 in provenance["archive"]
    assert max(provenance["float32_relative"].values()) <= 1e-4
    assert max(provenance["float64_relative"].values()) <= 1e-10
