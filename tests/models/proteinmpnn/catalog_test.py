"""Real checkpoints against activations of the original packages."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.models.pooling import pool
from jaxalign.models.proteinmpnn import catalog_ligandmpnn, catalog_proteinmpnn
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure

GOLDEN = Path(__file__).parents[2] / "data" / "golden_proteinmpnn.npz"
NAMES = ("whole", "short", "single", "broken")
ENTRIES = {e.card.id: e for e in (*catalog_proteinmpnn.ENTRIES, *catalog_ligandmpnn.ENTRIES)}
PRETRAINED = [model_id for model_id, entry in ENTRIES.items() if entry.card.pretrained]
COLUMNS = slice(None, None, 16)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def structures(golden, model_id):
    # The CA-only original cannot run a single residue.
    names = [name for name in NAMES if name != "single" or "-ca-" not in model_id]
    return [
        Structure(
            id=name,
            backbone=golden[f"{name}_backbone"],
            residue_numbers=golden.get(f"{name}_numbers"),
        )
        for name in names
    ]


def apply_all(apply, layers):
    return jax.jit(lambda params, batch: {name: apply(params, batch, name) for name in layers})


_compiled = {}


def run(entry, inputs):
    """All layers; checkpoints of one network share a compilation."""
    encoder = entry.build(entry)
    examples = [encoder.featurize(structure) for structure in inputs]
    (plan,) = encoder.batching.plan(examples)
    batch = encoder.batching.collate(examples, plan.shape)
    function = _compiled.setdefault(encoder.apply, apply_all(encoder.apply, entry.card.layers))
    return encoder, function(encoder.params, batch)


_SLOW = ("proteinmpnn-ca", "membranempnn", "ligandmpnn")


@pytest.mark.registry
@pytest.mark.parametrize(
    "model_id",
    # Every network compiles on its own: one of the four in minutes.
    [pytest.param(n, marks=pytest.mark.slow if n.startswith(_SLOW) else []) for n in PRETRAINED],
)
def test_layers_agree_with_the_original_on_real_weights(golden, model_id):
    entry = ENTRIES[model_id]
    inputs = structures(golden, model_id)
    encoder, layers = run(entry, inputs)
    assert count_params(encoder.params) == entry.card.parameters
    rows = np.asarray(pool(layers[entry.card.layer], "mean"))[: len(inputs), COLUMNS]
    expected = golden[f"{model_id}_pooled"]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-5 * np.abs(expected).max())
    for name, features in layers.items():
        if (key := f"{model_id}_{name}") in golden:
            got = np.asarray(features.values)[np.asarray(features.mask)][:, COLUMNS]
            atol = 5e-5 * np.abs(golden[key]).max()
            np.testing.assert_allclose(got, golden[key], rtol=0, atol=atol)


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    cards = [ENTRIES[model_id].card for model_id in PRETRAINED]
    assert {line["model"] for line in provenance["proofs"]} == set(PRETRAINED)
    for card in cards:
        assert any(card.package_sha256 in archive for archive in provenance["archives"])
    assert max(line["hidden_relative_float32"] for line in provenance["proofs"]) <= 1e-4
    assert max(line["hidden_relative_float64"] for line in provenance["proofs"]) <= 1e-10


def test_cards_tell_the_variants_apart():
    assert len(PRETRAINED) == 17
    assert {entry.card.width for entry in ENTRIES.values()} == {128}
    for model_id, entry in ENTRIES.items():
        card = entry.card
        assert card.modality == "protein-structure"
        assert card.layer == card.layers[-1]
        assert ("context" in card.layers) == model_id.startswith("ligandmpnn")
        assert (card.symmetry == "none") == ("-ca-" in model_id)
        assert ("origin is" in card.notes) == ("-ca-" in model_id)
        assert bool(entry.archives) == card.pretrained == bool(card.licence)


@pytest.mark.slow
def test_random_twins_have_the_size_of_their_networks():
    twins = [entry for entry in ENTRIES.values() if not entry.card.pretrained]
    assert len(twins) == 4
    for entry in twins:
        assert count_params(entry.build(entry).params) == entry.card.parameters
