import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rdkit import Chem

from jaxalign.models.dmpnn import catalog_admet, dmpnn
from jaxalign.models.dmpnn.molecular_graph import collate_graphs, featurize_graph, graph_size
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_dmpnn.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_admet.ENTRIES}
SMILES = ("C", "[Na+].[Cl-]", "CCO", "c1ccncc1Cl", "C1CC2(C1)OC21CC1", "CC(=O)[O-].[NH4+]")

apply = jax.jit(dmpnn.apply_dmpnn, static_argnums=2)


@pytest.fixture(scope="module")
def params():
    return dmpnn.init_params(3)


def graphs(smiles):
    return [featurize_graph(Structure(id=s, smiles=s)) for s in smiles]


def pooled(params, smiles, *, bucket=12, slots=None, layer=None):
    batch = collate_graphs(graphs(smiles), bucket, slots or len(smiles))
    return np.asarray(pool(apply(params, batch, layer), "mean"))[: len(smiles)]


def oracle(params, example):
    """Messages by the definition: loops over atoms, neighbors and their neighbors, in float64."""
    kernel = {name: np.asarray(p["kernel"], np.float64) for name, p in params.items()}
    atoms, bonds = (example[name].astype(np.float64) for name in ("atoms", "bonds"))
    edges = list(zip(example["senders"].tolist(), example["receivers"].tolist(), strict=True))
    start = {
        edge: atoms[edge[0]] @ kernel["input_atoms"] + bonds[number] @ kernel["input_bonds"]
        for number, edge in enumerate(edges)
    }

    def incoming(states, v, but=None):
        rows = [states[u, w] for u, w in edges if w == v and u != but]
        return np.sum(rows, axis=0) if rows else np.zeros(dmpnn.HIDDEN)

    states = {edge: np.maximum(x, 0) for edge, x in start.items()}
    layers = {}
    for step in range(1, dmpnn.DEPTH + 1):
        if step > 1:
            states = {
                (v, w): np.maximum(start[v, w] + incoming(states, v, but=w) @ kernel["hidden"], 0)
                for v, w in edges
            }
        layers[f"message_{step}"] = np.stack([incoming(states, v) for v in range(len(atoms))])
    joined = np.concatenate([atoms, layers[f"message_{dmpnn.DEPTH}"]], axis=1)
    bias = np.asarray(params["output"]["bias"], np.float64)
    layers["atoms"] = np.maximum(joined @ kernel["output"] + bias, 0)
    return layers


@pytest.mark.parametrize("layer", dmpnn.LAYERS)
def test_layers_follow_the_definition(params, layer):
    examples = graphs(SMILES)
    features = apply(params, collate_graphs(examples, 12, len(SMILES) + 2), layer)
    for row, example in enumerate(examples):
        expected = oracle(params, example)[layer]
        got = np.asarray(features.values[row])[np.asarray(features.mask[row])]
        np.testing.assert_allclose(got, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_default_layer_is_the_last_and_a_foreign_one_is_refused(params):
    batch = collate_graphs(graphs(SMILES), 12, len(SMILES))
    np.testing.assert_array_equal(
        apply(params, batch, None).values, apply(params, batch, "atoms").values
    )
    with pytest.raises(ValueError, match="message_1"):
        dmpnn.apply_dmpnn(params, batch, "message_9")


def test_order_of_atoms_does_not_matter(params, rng):
    molecule = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    order = rng.permutation(molecule.GetNumAtoms()).tolist()
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    first, second = pooled(params, ["CC(=O)Oc1ccccc1C(=O)O", shuffled], bucket=16)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_chiral_tags_follow_the_spelling_as_in_the_original(params):
    """The card warns of it: the same molecule differs, and enantiomers agree, by spelling."""
    left, same, mirrored = "N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O", "N[C@H](C)C(=O)O"
    assert Chem.CanonSmiles(left) == Chem.CanonSmiles(same) != Chem.CanonSmiles(mirrored)
    rows = pooled(params, [left, same, mirrored])
    assert np.abs(rows[0] - rows[1]).max() > 1e-4
    np.testing.assert_allclose(rows[1], rows[2], rtol=1e-5, atol=1e-6)


def test_padding_company_and_order_do_not_matter(params, rng):
    expected = np.concatenate([pooled(params, [s], bucket=9) for s in SMILES])
    np.testing.assert_allclose(pooled(params, SMILES, slots=9), expected, rtol=1e-5, atol=1e-6)
    order = rng.permutation(len(SMILES))
    mixed = pooled(params, [SMILES[i] for i in order], bucket=24)
    np.testing.assert_allclose(mixed, expected[order], rtol=1e-5, atol=1e-6)


def test_different_molecules_differ(params):
    rows = pooled(params, ["CCO", "CCN", "COC", "C/C=C/C", "C/C=C\\C"])
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + np.eye(len(rows))
    assert distances.min() > 1e-3


def test_empty_rows_are_masked_and_finite_with_finite_gradients(params):
    batch = {k: jnp.asarray(v) for k, v in collate_graphs(graphs(["C"]), 4, 3).items()}
    features = apply(params, batch, None)
    assert np.isfinite(features.values).all()
    assert features.mask.sum() == 1
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(pool(apply(p, batch, None), "mean"))))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = ENTRIES["admet-dmpnn-random"]
    one, other = (entry.build(entry).params for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert count_params(one) == entry.card.parameters
    assert np.abs(one["hidden"]["kernel"]).max() <= 300**-0.5
    assert not entry.card.pretrained
    assert entry.archives == ()


def test_buckets_hold_their_batches():
    entry = ENTRIES["admet-dmpnn-random"]
    encoder = entry.build(entry)
    assert list(encoder.batching.buckets) == sorted(set(encoder.batching.buckets))
    assert all(encoder.batching.batch_size(bucket) >= 1 for bucket in encoder.batching.buckets)
    assert encoder.batching.size(encoder.featurize(Structure(id="x", smiles="CCO"))) == 3


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="W_i"):
        dmpnn.convert_params({"message_passing.W_h.weight": np.zeros((300, 300), np.float32)})


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def test_features_sum_to_those_of_the_original(golden):
    examples = graphs(golden["smiles"].tolist())
    for name in ("atoms", "bonds"):
        total = np.sum([e[name].sum(axis=0, dtype=np.float64) for e in examples], axis=0)
        np.testing.assert_allclose(total, golden[f"sum_of_{name}"], rtol=0, atol=1e-12)


@pytest.mark.registry
def test_layers_agree_with_the_original_on_real_weights(golden):
    first = "admet-dmpnn-classification-0"
    encoder = ENTRIES[first].build(ENTRIES[first])
    examples = graphs(golden["smiles"].tolist())
    batch = encoder.batching.pad(examples, max(map(graph_size, examples)), len(examples))
    for layer in dmpnn.LAYERS:
        features = apply(encoder.params, batch, layer)
        got = np.asarray(features.values)[np.asarray(features.mask)][:, ::50]
        np.testing.assert_allclose(
            got, golden[layer], rtol=0, atol=1e-5 * np.abs(golden[layer]).max()
        )


@pytest.mark.registry
@pytest.mark.parametrize("model_id", [name for name in ENTRIES if name != "admet-dmpnn-random"])
def test_fingerprint_agrees_with_the_original(golden, model_id):
    entry = ENTRIES[model_id]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    examples = graphs(golden["smiles"].tolist())
    batch = encoder.batching.pad(examples, 24, len(examples))
    fingerprint = np.asarray(pool(apply(encoder.params, batch, None), "sum"))[:, :8] / 100
    expected = golden[model_id]
    np.testing.assert_allclose(fingerprint, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["admet-dmpnn-regression-0"].card.package_sha256 in provenance["archive"]
    assert max(provenance["float32_relative"].values()) <= 1e-4
    assert max(provenance["float64_relative"].values()) <= 1e-10
