import numpy as np
import pytest
from scipy.special import erf

from jaxalign.embeddings.input_counts import count_example
from jaxalign.learning.networks.smiles_transformer import HEADS, VOCABULARY
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.learning.networks.molecules import case, drawn_params
from tests.learning.networks.oracles import dense, one_number


def structures(*smiles):
    return [Structure(id=text, smiles=text) for text in smiles]


def test_spelling_does_not_matter_and_order_does(rng):
    it = case("transformer")
    params, batch = drawn_params(it.network, rng), it.batch(structures("CCO", "OCC", "COC"))
    rows, predictions = it.run(params, batch)
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=1e-5, atol=1e-5)
    assert np.abs(rows[0] - rows[2]).max() > 1e-3


def test_counts_foreign_tokens():
    featurize = case("transformer").network.featurize
    known, foreign = (featurize(s) for s in structures("C[N+](C)(C)C", "[Xe].[13CH4].C"))
    assert count_example(known)["unknown_tokens"] == 0
    assert count_example(foreign)["unknown_tokens"] == 2
    unknown = VOCABULARY.index("[UNK]")
    assert (known["ids"] == unknown).sum() == 0
    assert (foreign["ids"] == unknown).sum() == 2


def test_the_vocabulary_names_each_token_once():
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert VOCABULARY[0] == "[PAD]"  # what `collate_tokens` pads with


@pytest.mark.parametrize(
    ("smiles", "message"),
    [(None, "need a SMILES string"), ("C(", "cannot read"), ("C" * 600, "limit is 510")],
)
def test_refuses(smiles, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        case("transformer").network.featurize(Structure(id="x", smiles=smiles))


def test_agrees_with_its_definition(rng):
    it = case("transformer")
    params, smiles = drawn_params(it.network, rng), ("CC(=O)[O-]", "C", "c1ccncc1")
    batch = it.batch(structures(*smiles))
    rows, predictions = it.run(params, batch)
    for place, structure in enumerate(structures(*smiles)):
        ids = it.network.featurize(structure)["ids"]
        states = last_states(params["transformer"], ids, heads=HEADS)
        assert rows[place] == pytest.approx(states.mean(0), rel=2e-4, abs=2e-4)
        expected = one_number(params["readout"], states.mean(0))
        assert predictions[place] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def last_states(params, ids, *, heads):
    """Pre-norm layers by their definition, in float64."""
    x = params["tokens"]["embedding"].astype(float)[ids]
    stacked = params["layers"]
    for number in range(stacked["query"]["kernel"].shape[0]):
        own = {name: {k: v[number] for k, v in part.items()} for name, part in stacked.items()}
        x = x + attention(own, normalized(own["attention_norm"], x), heads)
        inner = dense(own["expand"], normalized(own["mlp_norm"], x))
        x = x + dense(own["contract"], inner * (1 + erf(inner / np.sqrt(2))) / 2)
    return normalized(params["final_norm"], x)


def normalized(params, x):
    centered = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    return centered / spread * params["scale"] + params["bias"]


def attention(params, x, heads):
    tokens, width = x.shape
    size = width // heads
    query, key, value = (
        dense(params[name], x).reshape(tokens, heads, size) for name in ("query", "key", "value")
    )
    found = np.empty((tokens, heads, size))
    for head in range(heads):
        q, k = (turned(part[:, head]) for part in (query, key))
        weights = np.exp(q @ k.T / np.sqrt(size))
        found[:, head] = weights / weights.sum(1, keepdims=True) @ value[:, head]
    return dense(params["attention_out"], found.reshape(tokens, width))


def turned(features):
    """Features i and i + d/2 as complex numbers, turned by place · 10000^(−2i/d)."""
    tokens, size = features.shape
    half = size // 2
    angles = np.arange(tokens)[:, None] * 10_000.0 ** (-np.arange(half) / half)
    found = (features[:, :half] + 1j * features[:, half:]) * np.exp(1j * angles)
    return np.concatenate([found.real, found.imag], axis=1)
