import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.learning.networks.molecules import SMILES, case, drawn_params
from tests.learning.networks.oracles import dense, one_number


def structures(*smiles):
    return [Structure(id=text, smiles=text) for text in smiles]


def oracle(params, example):
    """Two messages by the definition: bond by bond, in float64."""
    graph = params["graph"]
    atoms, bonds = (example[name].astype(float) for name in ("atoms", "bonds"))
    edges = list(zip(example["senders"].tolist(), example["receivers"].tolist(), strict=True))
    start = {
        edge: dense(graph["input_atoms"], atoms[edge[0]]) + dense(graph["input_bonds"], bonds[e])
        for e, edge in enumerate(edges)
    }
    first = {edge: np.maximum(x, 0) for edge, x in start.items()}
    second = {}
    for (v, w), x in start.items():
        message = sum((first[e] for e in edges if e[1] == v and e[0] != w), np.zeros(8))
        second[v, w] = np.maximum(x + dense(graph["hidden"], message), 0)
    received = [
        sum((second[e] for e in edges if e[1] == v), np.zeros(8)) for v in range(len(atoms))
    ]
    joined = np.concatenate([atoms, np.array(received)], axis=1)
    states = np.maximum(dense(graph["output"], joined), 0)
    return states, one_number(params["readout"], states).sum()


def test_agrees_with_the_definition(rng):
    it = case("dmpnn")
    params, chosen = (
        drawn_params(it.network, rng),
        structures(*rng.permutation(SMILES)[:6].tolist()),
    )
    rows, predictions = it.run(params, it.batch(chosen))
    for row, prediction, structure in zip(rows, predictions, chosen, strict=True):
        states, number = oracle(params, it.network.featurize(structure))
        np.testing.assert_allclose(row, states.mean(axis=0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(prediction, number, rtol=1e-4, atol=1e-4)


def test_a_layer_sees_as_many_bonds_as_it_is_deep(rng):
    it = case("dmpnn")
    params, batch = drawn_params(it.network, rng), it.batch(structures("CCCCN", "CCCCO"))
    for layer, depth in {"message_1": 1, "message_2": 2, "atoms": 2}.items():
        first, second = it.network.features(params, batch, layer).values[:2, :5]
        # Carbon atoms farther than the depth from the last atom cannot tell it.
        np.testing.assert_array_equal(first[: 4 - depth], second[: 4 - depth])
        assert not np.allclose(first, second)


def test_needs_smiles():
    atoms = Structure("m", np.array([1], np.int32), np.zeros((1, 3)))
    with pytest.raises(UnsupportedStructureError, match="need a SMILES string"):
        case("dmpnn").network.featurize(atoms)
