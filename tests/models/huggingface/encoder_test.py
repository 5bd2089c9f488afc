"""Encoders of the Hugging Face layout: golden hidden states of transformers, inputs, pooling."""

import functools

import jax
import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.models import registry
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import pool
from jaxalign.models.user_weights import load_weights
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure
from tests.models.huggingface.folders import RESIDUES, cases, golden, letters, write_folder

load = functools.partial(load_weights, architecture="huggingface")


@pytest.fixture
def own_models(monkeypatch):
    monkeypatch.setattr(registry, "_own_entries", {})


# Variants of what the others show.
SLOW = ("bert-tanh", "esm1b", "llama", "llama-linear", "qwen3-bias", "roberta")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] * (c in SLOW)) for c in cases()]
)
def test_every_hidden_state_agrees_with_the_original(case, tmp_path):
    encoder = load(write_folder(tmp_path / case, case))
    ids, mask = golden()["ids"], golden()["mask"]
    # More padding than the original had, and an empty row.
    ids, mask = np.pad(ids, ((0, 1), (0, 3))), np.pad(mask, ((0, 1), (0, 3)))
    batch = {"ids": ids, "mask": mask, "pooled": mask}
    run = jax.jit(lambda p, b: [encoder.apply(p, b, name).values for name in encoder.card.layers])
    states = [np.asarray(state) for state in run(encoder.params, batch)]
    assert encoder.card.layers == ("embedding", "layer_1", "layer_2")
    assert encoder.card.parameters == count_params(encoder.params)
    assert (encoder.card.verified, encoder.card.width) == ("random", 16)
    for came, wanted in zip(states, golden()[f"{case}/states"], strict=True):
        assert np.isfinite(came).all()
        assert np.abs(came[mask] - wanted).max() <= 1e-5 * np.abs(wanted).max()


def _embed(encoder, **views):
    found = embed_structures(encoder, [Structure(id=str(views), **views)], progress=False)
    return np.asarray(found.values)[0]


def test_an_embedding_does_not_depend_on_its_batch(tmp_path):
    encoder = load(write_folder(tmp_path / "mine", "llama3"))
    assert encoder.card.pooling == "last"
    smiles = ["C", "CCO", "c1ccccc1", "CC(=O)N(C)C", "CCCCCCCCCCCCCCCCCCCC"]
    structures = [Structure(id=s, smiles=s) for s in smiles]
    together = np.asarray(embed_structures(encoder, structures, progress=False).values)
    alone = [_embed(encoder, smiles=s) for s in smiles[1:3]]
    np.testing.assert_allclose(together[1:3], alone, rtol=0, atol=1e-5 * np.abs(together).max())
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_proteins_pool_residues_and_cut_what_has_no_position(tmp_path):
    tokenizer = letters(RESIDUES[:11])
    encoder = load(write_folder(tmp_path / "esm", "esm1b", tokenizer=tokenizer))
    long = encoder.featurize(Structure(id="a", sequence="LAG" * 40))
    assert (len(long["ids"]), long["truncated"], long["pooled"].sum()) == (68, 54, 66)
    odd = encoder.featurize(Structure(id="a", sequence="LAJJ"))
    assert odd["unknown"] == 2
    assert odd["pooled"].tolist() == [False, True, True, True, True, False]
    assert "cut at the end" in encoder.card.notes
    assert encoder.card.modality == "protein-sequence"
    batch = encoder.batching.collate([odd], (16, 2))
    features = jax.jit(encoder.apply, static_argnums=2)(encoder.params, batch, None)
    values = np.asarray(features.values)
    np.testing.assert_allclose(pool(features, "mean")[0], values[0, 1:5].mean(0), atol=1e-5)
    np.testing.assert_array_equal(pool(features, "last")[0], values[0, 4])
    assert np.isnan(pool(features, "cls")[0]).all()
    kept = load(tmp_path / "esm", config={"special_tokens": "keep"})
    assert kept.featurize(Structure(id="a", sequence="LAJJ"))["pooled"].all()
    with pytest.raises(UnsupportedStructureError, match="an empty one"):
        encoder.featurize(Structure(id="a", sequence=""))


def test_molecules_are_never_cut(tmp_path):
    encoder = load(write_folder(tmp_path / "mine", "roberta"))
    with pytest.raises(
        UnsupportedStructureError, match="smiles of 80 tokens: the limit of this model is 66"
    ):
        encoder.featurize(Structure(id="a", smiles="C" * 80))
    # 70 rows, of which the first two are padding's and none's.
    assert encoder.batching.buckets[-1] == 68
    encoder.batching.check(encoder.featurize(Structure(id="a", smiles="C" * 66)))


def test_a_tokenizer_of_other_weights_is_noticed(tmp_path):
    tokenizer = letters("CNOc1()=FSBI", rows=40)
    encoder = load(write_folder(tmp_path / "mine", "bert", tokenizer=tokenizer))
    encoder.featurize(Structure(id="a", smiles="CO"))
    with pytest.raises(UnsupportedStructureError, match=r"token 1\d has no row .* of 16 rows"):
        encoder.featurize(Structure(id="a", smiles="II"))


def test_prompts_and_inputs_can_be_stated(tmp_path, own_models):
    folder = write_folder(tmp_path / "llm", "qwen3")
    plain = load(folder).featurize(Structure(id="a", smiles="OCC"))
    prompted = load(folder, config={"prompt": "N({smiles})="})
    assert prompted.featurize(Structure(id="a", smiles="OCC"))["ids"].tolist() == [
        1, 6, 10, *plain["ids"][1:-1], 11, 12, 2,
    ]  # fmt: skip
    assert "'N({smiles})='" in prompted.card.notes
    selfies = load(folder, config={"input": "selfies"}).featurize(Structure(id="a", smiles="CCO"))
    assert len(selfies["ids"]) == len("[C][C][O]") + 2
    entry = registry.model_entry(f"hf:{folder}?prompt=N({{smiles}})%3D")
    assert entry.card.id == "llm+prompt-N-smiles"
    assert entry.card.notes == prompted.card.notes
    assert registry.model_entry(f"hf:{folder}").card.id == "llm"
    for config, message in (
        ({"inptu": "smiles"}, "known are input, prompt"),
        ({"input": "image"}, "pass smiles or selfies or sequence"),
        ({"special_tokens": "some"}, "pass keep or drop"),
        ({"prompt": "no place"}, "must hold {smiles} once"),
        ({"prompt": 3}, "each with a text"),
        (tmp_path / "absent.json", "cannot read the settings"),
    ):
        with pytest.raises(WeightsError, match=message):
            load(folder, config=config)
