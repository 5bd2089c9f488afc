"""ANI-2xt: seven elements with networks of different widths, beside frozen outputs of auto3d."""

import json
import pathlib

import ase.build
import jax
import numpy as np
import pytest

from jaxalign.models.ani import ani, catalog_ani2xt
from jaxalign.models.ani.ani import ANI_2XT
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure
from tests.structures_golden import golden_structures

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_ani2xt.npz"
PRETRAINED, RANDOM = catalog_ani2xt.ENTRIES
SHAPE = (48, 9)  # bucket, rows: all tests share it
WIDTHS = {1: 160, 6: 160, 7: 128, 8: 128, 9: 96, 16: 96, 17: 96}  # of hidden_3
COLUMNS = {"aev": 112, "hidden_1": 64, "hidden_2": 48, "hidden_3": 40}  # every such column

_apply = jax.jit(ani.apply_ani, static_argnums=(0, 3))
_interaction = jax.jit(ani.interaction_energy, static_argnums=0)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def structures(golden):
    return golden_structures(golden)


@pytest.fixture(scope="module")
def twin():
    return RANDOM.build(RANDOM)


def features(encoder, structures, layer="hidden_3"):
    batch = encoder.batching.collate([encoder.featurize(s) for s in structures], SHAPE)
    values, mask = _apply(ANI_2XT, encoder.params, batch, layer)
    return np.asarray(values)[np.asarray(mask)]


@pytest.mark.slow
def test_states_end_in_zeros_where_an_element_has_fewer_units(twin, structures):
    values = features(twin, structures)
    numbers = np.concatenate([s.atomic_numbers for s in structures])
    assert set(numbers) == set(WIDTHS)
    assert values.shape[1] == PRETRAINED.card.width == 160
    for number, row in zip(numbers, values, strict=True):
        assert np.count_nonzero(row[: WIDTHS[number]]) == WIDTHS[number]
        assert not row[WIDTHS[number] :].any()


def test_states_do_not_depend_on_pose_order_or_company(twin, structures, rng):
    structure = structures[-1]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(structure.atomic_numbers))
    moved = Structure(
        id="moved",
        atomic_numbers=structure.atomic_numbers[order],
        positions=(structure.positions @ turn)[order] + 50.0,
    )
    alone = features(twin, [structure])
    together = features(twin, [moved, structures[1]])[: len(order)]
    np.testing.assert_allclose(together, alone[order], atol=1e-5 * np.abs(alone).max())


def test_foreign_elements_are_named(twin):
    atoms = ase.build.molecule("SiH4")
    structure = Structure(
        id="silane", atomic_numbers=atoms.numbers.astype(np.int32), positions=atoms.positions
    )
    for refuse in (twin.check, twin.featurize):
        with pytest.raises(UnsupportedStructureError, match=r"F, S, Cl only.* holds Si"):
            refuse(structure)


def test_the_random_twin_predicts_no_energies(twin):
    assert twin.energy is None
    assert count_params(twin.params) == RANDOM.card.parameters


@pytest.mark.parametrize("fault", ["missing", "left over", "other shape"])
def test_other_checkpoints_are_refused(fault):
    arrays = {}
    for number, element in enumerate(ANI_2XT.aev.elements):
        for layer in range(4):
            linear = ani.param_shapes(ANI_2XT)[f"{element}_{layer + 1}"]
            arrays[f"{number}.{2 * layer}.weight"] = np.zeros(linear["kernel"].shape[::-1])
            arrays[f"{number}.{2 * layer}.bias"] = np.zeros(linear["bias"].shape)
    catalog_ani2xt.convert(arrays)
    if fault == "missing":
        del arrays["6.6.bias"]
    elif fault == "left over":
        arrays["7.0.weight"] = np.zeros((160, 1008))
    else:
        arrays["2.2.weight"] = arrays["2.2.weight"].T
    with pytest.raises(WeightsError):
        catalog_ani2xt.convert(arrays)


@pytest.mark.registry
def test_states_and_energies_agree_with_the_original_on_real_weights(golden, structures):
    encoder = PRETRAINED.build(PRETRAINED)
    assert count_params(encoder.params) == PRETRAINED.card.parameters
    # The first layer is that of the other tests' program; the script compares all of them.
    got, expected = features(encoder, structures), golden["hidden_3"]
    off = np.abs(got[:, :: COLUMNS["hidden_3"]] - expected)
    assert off.max() <= 2e-5 * np.abs(expected).max()
    batch = encoder.batching.collate([encoder.featurize(s) for s in structures], SHAPE)
    energies = np.asarray(_interaction(ANI_2XT, encoder.params, batch), np.float64)
    reference = encoder.energy.reference
    energies += [sum(reference[int(z)] for z in s.atomic_numbers) for s in structures]
    assert (np.abs(energies - golden["energy_eV"]) / golden["atoms"]).max() < 1e-4


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.parametrize("layer", ["aev", "hidden_1", "hidden_2"])
def test_further_layers_agree_with_the_original_on_real_weights(golden, structures, layer):
    got = features(PRETRAINED.build(PRETRAINED), structures, layer)[:, :: COLUMNS[layer]]
    np.testing.assert_allclose(got, golden[layer], rtol=0, atol=2e-5 * np.abs(golden[layer]).max())


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert PRETRAINED.card.package_sha256 in provenance["archive"]
    assert provenance["hidden_relative"]["float32"] <= 1e-4
    assert provenance["hidden_relative"]["float64"] <= 1e-10
