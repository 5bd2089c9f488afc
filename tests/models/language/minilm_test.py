"""all-MiniLM-L6-v2: golden activations of the original, what it reads, its cards."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.language.catalog_minilm import ENTRIES
from jaxalign.models.language.minilm import CONFIG, text_featurize
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure

GOLDEN = Path(__file__).parents[2] / "data" / "golden_minilm.npz"


def _tokenizer() -> bytes:
    """A WordPiece tokenizer of a few letters, in the layout of the original's."""
    tokenizers = pytest.importorskip("tokenizers")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "c", "##c", "##o", "m", "k", "(", ")", "="]
    model = tokenizers.models.WordPiece(
        {name: number for number, name in enumerate(names)}, unk_token="[UNK]"
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer.to_str().encode()


def test_smiles_come_before_sequences():
    featurize = text_featurize(_tokenizer())
    both = Structure(id="a", smiles="OCC", sequence="MKM")
    assert featurize(both)["ids"].tolist() == [2, 4, 5, 6, 3]  # cco, canonical and uncased
    chain = featurize(Structure(id="b", sequence="MKW"))
    assert chain["ids"].tolist() == [2, 7, 8, 1, 3]
    assert int(chain["unknown"]) == 1
    with pytest.raises(UnsupportedStructureError, match="SMILES"):
        featurize(Structure(id="c"))


def test_long_sequences_are_cut_and_long_smiles_refused():
    featurize = text_featurize(_tokenizer())
    long = featurize(Structure(id="a", sequence="MK" * 300))
    assert len(long["ids"]) == CONFIG.positions
    assert int(long["truncated"]) == 600 + 2 - CONFIG.positions
    with pytest.raises(UnsupportedStructureError, match="the limit of this model is 510"):
        featurize(Structure(id="b", smiles="C(=C)" * 110 + "C"))


@functools.cache
def _load(number):
    return ENTRIES[number].build(ENTRIES[number])


def _project(states, mask):
    """The golden file's projection; see scripts/golden_minilm.py."""
    mix = np.cos(np.arange(states.shape[2])[:, None] * (np.arange(8) + 1) + np.arange(8)) / 16
    return np.einsum("bt,btd,dp->bp", np.cos(np.arange(mask.shape[1])) * mask, states, mix)


@pytest.mark.registry
def test_real_weights_give_the_golden_activations():
    encoder, golden = _load(0), np.load(GOLDEN)
    card = encoder.card
    assert json.loads(str(golden["provenance"]))["archive_sha256"] == card.package_sha256
    structures = [
        Structure(id=str(n), smiles=smiles or None, sequence=sequence or None)
        for n, (smiles, sequence) in enumerate(
            zip(golden["smiles"].tolist(), golden["sequences"].tolist(), strict=True)
        )
    ]
    examples = [encoder.featurize(structure) for structure in structures]
    assert [len(example["ids"]) for example in examples] == golden["token_counts"].tolist()
    np.testing.assert_array_equal(np.concatenate([e["ids"] for e in examples]), golden["ids"])
    count = len(examples)
    batch = encoder.batching.pad(examples, 48, count + 1)
    layers = [card.layers[depth] for depth in (0, 1, 6)]
    run = jax.jit(lambda p, b: [encoder.apply(p, b, layer) for layer in layers])
    for layer, features in zip(layers, run(encoder.params, batch), strict=True):
        wanted = golden["projection"][:, card.layers.index(layer)]
        came = _project(np.asarray(features.values, np.float64), batch["mask"])[:count]
        assert np.abs(came - wanted).max() <= 1e-5 * np.abs(wanted).max(), layer
    pooled = np.asarray(pool(features, "mean"))
    assert np.abs(pooled[:count] - golden["mean"]).max() <= 1e-5 * np.abs(golden["mean"]).max()
    assert not pooled[count:].any()


@pytest.mark.registry
def test_cards_state_the_truth():
    real, twin = _load(0), _load(1)
    assert real.card.parameters == twin.card.parameters == count_params(real.params)
    assert count_params(twin.params) == real.card.parameters
    assert (real.card.modality, real.card.width, real.card.licence) == ("text", 384, "Apache-2.0")
    structure = Structure(id="x", smiles="CCO")
    np.testing.assert_array_equal(
        real.featurize(structure)["ids"], twin.featurize(structure)["ids"]
    )
