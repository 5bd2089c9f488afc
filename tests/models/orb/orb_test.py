import dataclasses
import functools
import json

import ase.build
import ase.data
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.orb import catalog_orb, orb
from jaxalign.models.orb.orb_graph import PACKING, featurize_orb
from jaxalign.models.orb.orb_settings import read_settings
from jaxalign.models.orb.orb_weights import convert_params, reference_energies
from jaxalign.structures.structure import Structure
from tests.models.orb.orb_golden import CONFIG, golden_arrays, read_golden
from tests.structures_golden import golden_structures

SHAPE = (("graphs", 16), ("most", 16), ("atoms", 96), ("edges", 1200))  # one for all tests


@functools.cache
def tiny(name):
    """A tiny Orb of the original: golden values, settings, parameters, energies of atoms."""
    golden = read_golden(name)
    arrays = golden_arrays(golden)
    settings = read_settings(arrays, CONFIG[name])
    params = jax.tree.map(jnp.float32, convert_params(arrays, settings))
    return golden, settings, params, reference_energies(arrays)


@functools.cache
def compiled(name):
    settings = tiny(name)[1]

    @jax.jit
    def compute(params, batch):
        states = orb.orb_states(settings, params, batch, steps=settings.steps)
        return states, orb.readout_energy(settings, params, batch, states[-1])

    return compute


def collate(settings, structures):
    known = settings.elements
    examples = [featurize_orb(s, neighbors=settings.neighbors, known=known) for s in structures]
    return PACKING.collate(examples, SHAPE)


def run(name, structures):
    """States `[layers, atoms, d]` and energy of each structure. One compilation a model."""
    _, settings, params, _ = tiny(name)
    batch = collate(settings, structures)
    states, energies = jax.tree.map(np.asarray, compiled(name)(params, batch))
    assert not energies[len(structures) :].any()
    count = range(len(structures))
    return [states[:, batch["graph"] == slot] for slot in count], energies[: len(structures)]


def rattled(rng, **changes):
    """A crystal without equally far neighbors."""
    atoms = ase.build.bulk("NaCl", "rocksalt", a=4.9)
    structure = Structure(
        id="rattled",
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=atoms.positions + rng.normal(scale=0.1, size=(2, 3)),
        cell=np.array(atoms.cell) + rng.normal(scale=0.2, size=(3, 3)),
        pbc=(True, True, True),
    )
    return dataclasses.replace(structure, **changes)


def molecule(name):
    atoms = ase.build.molecule(name)
    return Structure(
        id=name, atomic_numbers=atoms.numbers.astype(np.int32), positions=atoms.positions
    )


@pytest.mark.parametrize("name", ["tiny-v2", "tiny-v3"])
def test_all_states_and_energies_agree_with_the_original(name):
    golden, settings, _, reference = tiny(name)
    structures = golden_structures(golden)
    found, energies = run(name, structures)
    states, expected = np.concatenate(found, axis=1), golden["states"]
    for layer, got, wanted in zip(settings.layers, states, expected, strict=True):
        np.testing.assert_allclose(
            got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(), err_msg=layer
        )
    alone = [sum(reference[int(z)] for z in s.atomic_numbers) for s in structures]
    np.testing.assert_allclose(energies + alone, golden["energies"], rtol=3e-6, atol=3e-5)
    proof = json.loads(str(golden["provenance"]))["proof"]
    assert proof["hidden_relative_float32"] <= 1e-4
    assert proof["hidden_relative_float64"] <= 1e-10


@pytest.mark.parametrize("name", ["tiny-v2", "tiny-v3"])
def test_rows_do_not_depend_on_company_order_images_or_cell(name, rng):
    crystal, guest = rattled(rng), molecule("CH3OCH3")
    atoms, shifts = np.array([1, 0]), rng.integers(-2, 3, size=(2, 3))
    moved = dataclasses.replace(
        crystal,
        atomic_numbers=crystal.atomic_numbers[atoms],
        positions=(crystal.positions + shifts @ crystal.cell)[atoms] + rng.normal(size=3),
    )
    doubled = dataclasses.replace(
        crystal,
        atomic_numbers=np.tile(crystal.atomic_numbers, 2),
        positions=np.concatenate([crystal.positions, crystal.positions + crystal.cell[0]]),
        cell=crystal.cell * np.array([[2.0], [1.0], [1.0]]),
    )
    (alone,), (energy,) = run(name, [crystal])
    (first, _, turned, double), energies = run(name, [crystal, guest, moved, doubled])
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
    close(first, alone)
    close(turned[:, atoms], alone)
    close(double, np.tile(alone, (1, 2, 1)))
    close(energies[[0, 2]], [energy, energy], atol=1e-3)


@pytest.mark.parametrize("name", ["tiny-v2", "tiny-v3"])
def test_rotations_change_rows_and_translations_do_not(name, rng):
    """Orb is not equivariant: a card that claimed it would be wrong."""
    guest = molecule("CH3OCH3")
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = dataclasses.replace(guest, positions=guest.positions @ turn.T)
    quarter = dataclasses.replace(guest, positions=guest.positions[:, [1, 2, 0]])
    moved = dataclasses.replace(guest, positions=guest.positions + rng.normal(size=3))
    (first, second, third, last), energies = run(name, [guest, turned, quarter, moved])
    np.testing.assert_array_equal(first[0], second[0])  # elements alone
    assert np.abs(first[-1] - third[-1]).max() > 1e-2
    np.testing.assert_allclose(first, last, atol=1e-4)
    np.testing.assert_allclose(energies[0], energies[3], atol=1e-3)
    assert catalog_orb.ENTRIES[0].card.symmetry == "none"


def test_repulsion_is_that_of_the_original_with_atomic_numbers_one_too_large(rng):
    _, settings, params, _ = tiny("tiny-v3")
    length = float(rng.uniform(0.4, 0.9))
    pair = Structure(
        id="CN",
        atomic_numbers=np.array([6, 7], np.int32),
        positions=np.array([[0, 0, 0], [0, length, 0]]),
    )
    batch = collate(settings, [pair])
    nodes = jnp.zeros((96, settings.latent))
    kinds = [dataclasses.replace(settings, repulsion=kind) for kind in (None, "sum", "mean")]
    none, total, mean = (
        np.asarray(orb.readout_energy(kind, params, batch, nodes))[0] for kind in kinds
    )
    a, b = 7.0, 8.0
    x = length * (a**0.3 + b**0.3) / (0.4543 * 0.529)
    screened = sum(
        c * np.exp(-d * x)
        for c, d in ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    )
    u, p = length / ase.data.covalent_radii[[7, 8]].sum(), 6
    ends = 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u**8
    expected = 14.3996 * a * b / length * screened * ends
    np.testing.assert_allclose(total - none, expected, rtol=1e-4)
    np.testing.assert_allclose(mean - none, expected / 2, rtol=1e-4)


def test_layers_have_the_promised_widths_and_others_are_refused():
    _, settings, params, _ = tiny("tiny-v3")
    assert settings.layers == ("encoder", "layer_1", "layer_2")
    batch = collate(settings, [])
    for layer in (None, *settings.layers):
        apply = functools.partial(orb.apply_orb, settings, layer=layer)
        assert jax.eval_shape(apply, params, batch).values.shape == (16, 16, 8)
    with pytest.raises(ValueError, match="layer_2"):
        orb.apply_orb(settings, params, batch, "layer_3")


@pytest.mark.slow
def test_random_twin_is_seeded_and_has_the_shape_of_its_card():
    small = dataclasses.replace(catalog_orb.TWIN, latent=4, hidden=6, head_hidden=3, steps=2)
    one, other = (catalog_orb.random_orb(small, seed=3) for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    batch = collate(small, [molecule("H2O")])
    assert np.isfinite(orb.interaction_energy(small, jax.tree.map(jnp.float32, one), batch)).all()
    card = catalog_orb.ENTRIES[0].card
    assert not card.pretrained
    assert card.width == 256
    assert card.layers[-1] == card.layer == "layer_5"
