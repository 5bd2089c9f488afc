import numpy as np
import pytest

from jaxalign.embeddings.input_counts import count_example
from jaxalign.learning.networks.smiles_transformer import VOCABULARY
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.learning.networks.molecules import case, drawn_params


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
