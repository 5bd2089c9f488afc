import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.atomistic.tensor_products import Path, coupling_tensor
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.mace import catalog_mace, mace
from jaxalign.models.mace.mace_coupling import degrees_of, generalized_couplings
from jaxalign.models.mace.mace_encoder import featurize_mace, mace_packing
from jaxalign.models.mace.mace_file import read_settings
from jaxalign.models.mace.mace_layers import smooth_cutoff
from jaxalign.models.mace.mace_weights import convert_params, message_paths, reference_energies
from jaxalign.models.mace.symmetric_contraction import contract, plan_contraction, weight_name
from tests.structures_golden import golden_structures, molecule

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_mace.npz"
NEIGHBORS = 61.9649  # of the model in the golden file
SHAPE = (("graphs", 16), ("most", 12), ("atoms", 96), ("edges", 2048))  # one for all tests


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def model(golden):
    """A tiny MACE of the original with random weights: settings, parameters, energies of atoms."""
    prefix = "weights/"
    arrays = {n.removeprefix(prefix): a for n, a in golden.items() if n.startswith(prefix)}
    settings = read_settings(arrays, config={"avg_num_neighbors": NEIGHBORS})
    params, plans = convert_params(arrays, settings)
    return mace.Mace(settings, plans), params, reference_energies(arrays, settings)


@pytest.fixture(scope="module")
def run(model):
    """Structures → layer name → rows of each structure; `energies`. One compilation for all."""
    network, params, _ = model

    @jax.jit
    def compute(params, batch):
        states = mace.mace_states(network, params, batch)
        layers = {name: mace.layer_values(states, name) for name in network.layers}
        joined = [jnp.concatenate([a[d] for d in sorted(a)], axis=1) for a, _ in states]
        messages = {f"messages_{t + 1}": jnp.swapaxes(a, 1, 2) for t, a in enumerate(joined)}
        energies = mace.readout_energy(network, params, batch, states)
        return {**layers, **messages, "block_2_equivariant": layers["block_2"]}, energies

    def rows(structures, *, params=params):
        examples = [featurize_mace(s, settings=network.settings) for s in structures]
        batch = mace_packing(network.settings).collate(examples, SHAPE)
        layers, energies = jax.tree.map(np.asarray, compute(params, batch))
        found = [
            {name: values[batch["graph"] == slot] for name, values in layers.items()}
            for slot in range(len(structures))
        ]
        return found, energies

    return rows


def test_all_states_and_energies_agree_with_the_original(golden, model, run):
    structures = golden_structures(golden)
    found, energies = run(structures)
    originals = {"messages": "messages", "features": "block", "descriptor": "descriptor"}
    for name in ("messages_1", "messages_2", "features_1", "features_2", "descriptor"):
        kind, _, block = name.partition("_")
        own = f"{originals[kind]}_{block}".rstrip("_")
        own = f"{own}_equivariant" if kind == "features" else own
        got, expected = np.concatenate([row[own] for row in found]), golden[name]
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )
    interaction, total = golden["energies"].T
    np.testing.assert_allclose(energies[: len(structures)], interaction, atol=1e-5)
    alone = [sum(model[2][int(z)] for z in s.atomic_numbers) for s in structures]
    np.testing.assert_allclose(energies[: len(structures)] + alone, total, atol=1e-5)
    assert not energies[len(structures) :].any()


def test_golden_file_says_how_it_was_made(golden):
    proofs = json.loads(str(golden["provenance"]))["proofs"]
    assert max(proof["hidden_relative_float32"] for proof in proofs) <= 1e-4
    assert max(proof["hidden_relative_float64"] for proof in proofs) <= 1e-10


def test_rows_do_not_depend_on_company_order_or_images(golden, run, rng):
    structures = golden_structures(golden)
    expected, _ = run(structures)
    order = rng.permutation(len(structures))
    mixed, _ = run([structures[i] for i in order])
    for row, i in zip(mixed, order, strict=True):
        np.testing.assert_allclose(row["descriptor"], expected[i]["descriptor"], atol=1e-6)
    periodic = next(i for i, s in enumerate(structures) if all(s.pbc))
    crystal = structures[periodic]
    count = len(crystal.atomic_numbers)
    atoms, shifts = rng.permutation(count), rng.integers(-2, 3, size=(count, 3))
    moved = dataclasses.replace(
        crystal,
        atomic_numbers=crystal.atomic_numbers[atoms],
        positions=(crystal.positions + shifts @ crystal.cell)[atoms],
    )
    doubled = dataclasses.replace(
        crystal,
        atomic_numbers=np.tile(crystal.atomic_numbers, 2),
        positions=np.concatenate([crystal.positions, crystal.positions + crystal.cell[0]]),
        cell=crystal.cell * np.array([[2.0], [1.0], [1.0]]),
    )
    (one, two), energies = run([moved, doubled])
    own = expected[periodic]["descriptor"]
    np.testing.assert_allclose(one["descriptor"], own[atoms], atol=2e-6)
    np.testing.assert_allclose(two["descriptor"], np.tile(own, (2, 1)), atol=2e-6)
    np.testing.assert_allclose(energies[1], 2 * energies[0], atol=1e-5)


def test_scalars_stay_and_vectors_turn_with_the_structure(run, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # proper or not: parity is that of harmonics
    first = molecule("CH3OCH3")
    second = dataclasses.replace(first, positions=first.positions @ turn.T + 50.0)
    stretched = dataclasses.replace(first, positions=first.positions * 1.05)
    (one, other, different), energies = run([first, second, stretched])
    for name in ("descriptor", "block_1", "block_2"):
        np.testing.assert_allclose(one[name], other[name], atol=2e-6)
    vectors, turned = (row["block_1_equivariant"][:, 4:].reshape(-1, 3) for row in (one, other))
    assert np.abs(vectors).max() > 1e-3
    np.testing.assert_allclose(vectors @ turn.T, turned, atol=2e-6)
    np.testing.assert_array_equal(one["block_1_equivariant"][:, :4], one["block_1"])
    assert np.abs(one["descriptor"] - different["descriptor"]).max() > 1e-5
    np.testing.assert_allclose(energies[0], energies[1], atol=1e-5)


def test_layers_have_the_promised_widths_and_others_are_refused(model):
    network, params, _ = model
    batch = mace_packing(network.settings).collate([], SHAPE)
    states = jax.eval_shape(lambda p, b: mace.mace_states(network, p, b), params, batch)
    widths = {"descriptor": 8, "block_1": 4, "block_2": 4, "block_1_equivariant": 16}
    assert tuple(widths) == network.layers
    for layer, width in widths.items():
        shape = jax.eval_shape(functools.partial(mace.layer_values, layer=layer), states)
        assert shape.shape == (96, width)
    features = jax.eval_shape(lambda p, b: mace.apply_mace(network, p, b), params, batch)
    assert features.values.shape == (16, 12, 8)
    with pytest.raises(ValueError, match="block_1_equivariant"):
        mace.apply_mace(network, params, batch, "block_2_equivariant")


def test_foreign_elements_and_coincident_atoms_are_refused(model):
    settings = model[0].settings
    with pytest.raises(UnsupportedStructureError, match="Cl"):
        featurize_mace(molecule("HCl"), settings=settings)
    with pytest.raises(UnsupportedStructureError, match="apart"):
        featurize_mace(molecule("CO", positions=np.zeros((2, 3))), settings=settings)


def test_random_twin_is_seeded_and_its_card_says_so():
    small = dataclasses.replace(
        catalog_mace.TWIN, channels=4, atomic_numbers=(1, 8), radial_widths=((8,),) * 2
    )
    one, other = (catalog_mace.random_mace(small, seed=3)[1] for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    card = catalog_mace.ENTRIES[0].card
    assert not card.pretrained
    assert card.width == 256


def test_couplings_are_orthogonal_and_those_of_the_harmonics():
    """For even sums the tensors are integrals of three harmonics; here l = 1 with l = 1."""
    np.testing.assert_allclose(
        coupling_tensor(Path(1, 1, 0))[:, :, 0], np.eye(3) / 3**0.5, atol=1e-12
    )
    cross = coupling_tensor(Path(1, 1, 1))
    np.testing.assert_allclose(cross, -np.swapaxes(cross, 0, 1), atol=1e-12)
    x, y, z = 0, 1, 2
    # Y₂ components: xz, xy, 3y² − r², yz, z² − x².
    table = coupling_tensor(Path(1, 1, 2))
    assert table[x, z, 0] > 0
    assert table[x, y, 1] > 0
    assert table[y, y, 2] > 0 > table[x, x, 2]
    for first, second in ((1, 2), (2, 3), (3, 3)):
        joined = [
            coupling_tensor(Path(first, second, d)) * (2 * d + 1) ** 0.5
            for d in degrees_of(first, second)
        ]
        square = np.concatenate(joined, axis=2).reshape((2 * first + 1) * (2 * second + 1), -1)
        np.testing.assert_allclose(square.T @ square, np.eye(len(square)), atol=1e-12)


def test_contraction_follows_the_definition(rng):
    degrees, elements, channels = (0, 1, 2), 3, 2
    couplings, weights = {}, {}
    for degree in (0, 1):
        for order in (1, 2, 3):
            table = generalized_couplings(degrees, order=order, degree=degree)
            couplings[degree, order] = table
            shape = (table.shape[-1], elements, channels)
            weights[weight_name(degree, order)] = jnp.asarray(rng.normal(size=shape), np.float32)
    x = rng.normal(size=(5, 9, channels)).astype(np.float32)
    species = rng.integers(0, elements, size=5).astype(np.int32)
    plan = plan_contraction(couplings, degrees)
    found = jax.jit(functools.partial(contract, plan))(weights, x, species)
    letters = "ijl"
    for degree in (0, 1):
        expected = 0
        for order in (1, 2, 3):
            own = np.asarray(weights[weight_name(degree, order)])[:, species]
            factors = ",".join(f"n{letters[i]}c" for i in range(order))
            rule = f"m{letters[:order]}k,{factors},knc->nmc"
            expected += np.einsum(rule, couplings[degree, order], *[x] * order, own, optimize=True)
        np.testing.assert_allclose(found[degree], expected, atol=1e-4 * np.abs(expected).max())


def test_cutoff_is_the_polynomial_and_ends_smoothly():
    u = np.linspace(0, 1, 101)
    for p in (5, 6):
        powers = 1 - (p + 1) * (p + 2) / 2 * u**p
        powers += p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)
        np.testing.assert_allclose(smooth_cutoff(jnp.asarray(u, np.float32), p), powers, atol=2e-6)
    assert not np.asarray(smooth_cutoff(jnp.asarray([1.0, 1.5, 9.0]), 5)).any()


def test_paths_keep_parity_and_are_ordered_by_their_result():
    paths = message_paths((0, 1), 3)
    assert len(paths) == 10
    assert [path[2] for path in paths] == sorted(path[2] for path in paths)
    assert all(sum(path) % 2 == 0 for path in paths)
