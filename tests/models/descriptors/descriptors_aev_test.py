"""Environment vectors as controls: the rows that the registry offers."""

import ase.build
import jax
import numpy as np
import pytest

from jaxalign.models.descriptors import descriptors_aev
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.models.ani.aev_test import molecule, oracle

SETTINGS = {"aev": descriptors_aev.AEV_1X, "aev-2xt": descriptors_aev.AEV_2XT}
ENTRIES = {entry.card.id: entry for entry in descriptors_aev.ENTRIES}


def test_the_rows_of_the_registry():
    assert ENTRIES.keys() == SETTINGS.keys()
    for name, entry in ENTRIES.items():
        card = entry.card
        assert (card.modality, card.pretrained, card.width) == (
            "control",
            False,
            SETTINGS[name].width,
        )
        assert entry.archives == ()
        assert entry.build(entry).apply is entry.build(entry).apply  # compiled once


def test_seven_elements_follow_the_published_sums(rng):
    encoder = ENTRIES["aev-2xt"].build(ENTRIES["aev-2xt"])
    structure = molecule(rng, 12, numbers=list(SETTINGS["aev-2xt"].species))
    batch = encoder.batching.collate([encoder.featurize(structure)], (16, 2))
    values, mask = jax.jit(encoder.apply, static_argnums=2)(encoder.params, batch, "aev")
    assert np.asarray(mask).sum() == 12
    expected = oracle(structure, SETTINGS["aev-2xt"])
    np.testing.assert_allclose(values[0, :12], expected, atol=1e-5 * max(1, expected.max()))


def test_foreign_elements_and_layers_are_refused():
    atoms = ase.build.molecule("CH3Cl")
    structure = Structure(
        id="CH3Cl", atomic_numbers=atoms.numbers.astype(np.int32), positions=atoms.positions
    )
    encoders = {name: entry.build(entry) for name, entry in ENTRIES.items()}
    assert encoders["aev-2xt"].check(structure) is None
    with pytest.raises(UnsupportedStructureError, match="holds Cl"):
        encoders["aev"].check(structure)
    batch = encoders["aev"].batching.collate([], (16, 2))
    with pytest.raises(ValueError, match="pass 'aev'"):
        encoders["aev"].apply({}, batch, "hidden_3")
