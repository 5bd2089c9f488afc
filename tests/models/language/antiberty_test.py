"""AntiBERTy: golden activations of the original, its alphabet, what is cut."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.models.language.albert_bert import bert_encoder
from jaxalign.models.language.antiberty import BATCHING, CONFIG, TOKENS
from jaxalign.models.language.catalog_antiberty import ENTRIES
from jaxalign.models.language.transformer import TransformerConfig, init_params, param_shapes
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure

GOLDEN = Path(__file__).parents[2] / "data" / "golden_antiberty.npz"
CATALOG = {entry.card.id: entry for entry in ENTRIES}
SMALL = TransformerConfig(vocabulary=25, hidden=8, depth=2, heads=2, intermediate=12)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def small_encoder():
    names = SMALL.layer_names
    card = dataclasses.replace(CATALOG["antiberty"].card, layer=names[-1], layers=names)
    params = init_params(SMALL, seed=2)
    return bert_encoder(card, SMALL, params, TOKENS.featurize, batching=BATCHING)


def test_alphabet_is_that_of_the_vocabulary_file():
    assert TOKENS.encode("ACWYX")["ids"].tolist() == [2, 5, 6, 23, 24, 1, 3]


def test_long_chains_are_cut_and_company_does_not_matter(rng):
    chain = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 10_000))
    structures = [Structure(id="long", sequence=chain), Structure(id="short", sequence="mkXt")]
    found = embed_structures(small_encoder(), structures, progress=False)
    kept = [Structure(id="kept", sequence=chain[:510]), Structure(id="upper", sequence="MKXT")]
    alone = [embed_structures(small_encoder(), [s], progress=False).values[0] for s in kept]
    np.testing.assert_allclose(found.values, np.stack(alone), rtol=0, atol=1e-5)
    assert found.info["unknown_tokens"] == 1
    example = TOKENS.encode(chain)
    assert (len(example["ids"]), int(example["truncated"])) == (CONFIG.positions, 9_490)


def test_random_twin_says_so():
    entry = CATALOG["antiberty-random"]
    shapes = param_shapes(CONFIG)
    assert count_params(shapes) == entry.card.parameters == CATALOG["antiberty"].card.parameters
    assert (entry.card.package, entry.archives) == (None, ())


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert provenance["archive_sha256"] == CATALOG["antiberty"].card.package_sha256
    assert provenance["hidden_relative_float32"] <= 1e-4
    assert provenance["hidden_relative_float64"] <= 1e-10


@pytest.mark.registry
def test_real_weights_give_the_golden_activations(golden):
    entry = CATALOG["antiberty"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    structures = [Structure(id=s, sequence=s) for s in golden["sequences"].tolist()]
    examples = [encoder.featurize(structure) for structure in structures]
    assert [len(example["ids"]) for example in examples] == golden["tokens"].tolist()
    batch = encoder.batching.pad(examples, 130, len(examples) + 1)
    layers = CONFIG.layer_names
    chosen = (layers[0], layers[1], layers[-1])
    run = jax.jit(lambda p, b: [encoder.apply(p, b, layer) for layer in chosen])
    mix = np.cos(np.arange(512)[:, None] * (np.arange(8) + 1) + np.arange(8)) / 16
    for layer, features in zip(chosen, run(encoder.params, batch), strict=True):
        values = np.asarray(features.values, np.float64)
        weights = np.cos(np.arange(values.shape[1])) * batch["mask"]
        came = np.einsum("bt,btd,dp->bp", weights, values, mix)[: len(examples)]
        wanted = golden["projection"][layers.index(layer)]
        assert np.abs(came - wanted).max() <= 1e-5 * np.abs(wanted).max(), layer
    pooled = np.asarray(pool(features, "mean"))[: len(examples)]
    assert np.abs(pooled - golden["mean"]).max() <= 1e-5 * np.abs(golden["mean"]).max()
