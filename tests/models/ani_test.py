import json
import pathlib

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models import aev, ani, catalog_ani
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import pool
from jaxalign.models.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "golden_ani.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_ani.ENTRIES}
PRETRAINED = [name for name in ENTRIES if name != "ani-1x-random"]
EV_PER_HARTREE = 27.211386

apply = jax.jit(ani.apply_ani, static_argnums=2)


def named(name):
    molecule = ase.build.molecule(name)
    return Structure(
        id=name, atomic_numbers=molecule.numbers.astype(np.int32), positions=molecule.positions
    )


STRUCTURES = [named(name) for name in ("H", "N2", "H2O", "CH3CH2OH", "C6H6", "CH3CONH2")]


@pytest.fixture(scope="module")
def encoder():
    return ENTRIES["ani-1x-random"].build(ENTRIES["ani-1x-random"])


def pooled(encoder, structures, *, bucket=12, rows=8):  # most tests share the shape 12 × 8
    batch = encoder.batching.pad([encoder.featurize(s) for s in structures], bucket, rows)
    return np.asarray(pool(apply(encoder.params, batch, None), "mean"))[: len(structures)]


def oracle(params, numbers, vectors):
    """Each atom through the network of its element, in float64: states and atomic energies."""
    states, energies = [], []
    for z, x in zip(numbers, vectors.astype(np.float64), strict=True):
        symbol = {1: "H", 6: "C", 7: "N", 8: "O"}[int(z)]
        for layer in (1, 2, 3):
            dense = params[f"{symbol}_{layer}"]
            x = x @ np.asarray(dense["kernel"], np.float64) + dense["bias"]
            x = np.maximum(x, 0) + np.minimum(0, 0.1 * np.expm1(np.minimum(x, 0) / 0.1))
        dense = params[f"{symbol}_4"]
        states.append(x)
        energies.append(float((x @ np.asarray(dense["kernel"], np.float64) + dense["bias"])[0]))
    return np.array(states), np.array(energies)


def test_states_and_energies_follow_the_definition(encoder):
    batch = encoder.batching.pad([encoder.featurize(s) for s in STRUCTURES], 12, 8)
    vectors, _ = apply(encoder.params, batch, "aev")
    features = apply(encoder.params, batch, "hidden_3")
    total = ani.energy(encoder.params, batch, self_energies=(1.0, 10.0, 100.0, 1000.0))
    for row, structure in enumerate(STRUCTURES):
        count = len(structure.atomic_numbers)
        states, energies = oracle(
            encoder.params, structure.atomic_numbers, np.asarray(vectors)[row, :count]
        )
        np.testing.assert_allclose(features.values[row, :count], states, atol=1e-5)
        of_element = {1: 1.0, 6: 10.0, 7: 100.0, 8: 1000.0}
        expected = energies.sum() + sum(of_element[int(z)] for z in structure.atomic_numbers)
        np.testing.assert_allclose(total[row], expected, atol=1e-5)
    assert not np.asarray(total)[len(STRUCTURES) :].any()


def test_default_layer_is_the_last_hidden_one(encoder):
    batch = encoder.batching.pad([encoder.featurize(STRUCTURES[2])], 12, 8)
    np.testing.assert_array_equal(
        apply(encoder.params, batch, None).values, apply(encoder.params, batch, "hidden_3").values
    )
    assert apply(encoder.params, batch, "aev").values.shape == (8, 12, 384)
    with pytest.raises(ValueError, match="hidden_3"):
        ani.apply_ani(encoder.params, batch, "hidden_1")


def test_rows_do_not_depend_on_order_padding_or_company(encoder, rng):
    expected = pooled(encoder, STRUCTURES)
    order = rng.permutation(len(STRUCTURES))
    mixed = pooled(encoder, [STRUCTURES[i] for i in order], bucket=20, rows=9)
    np.testing.assert_allclose(mixed, expected[order], rtol=1e-5, atol=1e-6)
    alone = pooled(encoder, [STRUCTURES[3]], bucket=20, rows=9)
    np.testing.assert_allclose(alone[0], expected[3], rtol=1e-5, atol=1e-6)


def test_rows_do_not_depend_on_pose_or_order_of_atoms_but_on_shape(encoder, rng):
    structure = STRUCTURES[5]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(structure.atomic_numbers))
    moved = Structure(
        id="moved",
        atomic_numbers=structure.atomic_numbers[order],
        positions=(structure.positions @ turn)[order] + 100.0,
    )
    stretched = Structure(
        id="stretched",
        atomic_numbers=structure.atomic_numbers,
        positions=structure.positions * 1.05,
    )
    same, other, different = pooled(encoder, [structure, moved, stretched])
    np.testing.assert_allclose(same, other, rtol=1e-5, atol=1e-6)
    assert np.abs(same - different).max() > 1e-4


def test_forces_are_finite_and_sum_to_zero(encoder):
    batch = encoder.batching.pad([encoder.featurize(s) for s in STRUCTURES], 12, 8)

    def total(positions):
        return jnp.sum(ani.interaction_energy(encoder.params, {**batch, "positions": positions}))

    forces = -np.asarray(jax.jit(jax.grad(total))(jnp.asarray(batch["positions"])))
    assert np.isfinite(forces).all()
    np.testing.assert_allclose(forces.sum(axis=1), 0, atol=1e-5)
    assert not forces[~batch["mask"]].any()


def test_every_bucket_has_a_batch_and_the_last_has_all_slots(encoder):
    assert list(encoder.batching.buckets) == sorted(set(encoder.batching.buckets))
    assert all(encoder.batching.batch_size(bucket) >= 1 for bucket in encoder.batching.buckets)
    slots = [ani.neighbor_slots(bucket) for bucket in encoder.batching.buckets]
    assert slots == sorted(slots)
    assert slots[-1] == ani.MAX_NEIGHBORS


def test_foreign_elements_are_named(encoder):
    with pytest.raises(UnsupportedStructureError, match="holds S"):
        encoder.featurize(named("SO2"))


def test_random_twin_is_seeded_and_its_card_says_so(encoder):
    again = ENTRIES["ani-1x-random"].build(ENTRIES["ani-1x-random"])
    leaves = jax.tree.leaves(encoder.params), jax.tree.leaves(again.params)
    assert all(map(np.array_equal, *leaves))
    assert count_params(encoder.params) == encoder.card.parameters
    assert not encoder.card.pretrained


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def golden_structures(golden):
    ends = np.cumsum(golden["atoms"])[:-1]
    numbers = np.split(golden["atomic_numbers"].astype(np.int32), ends)
    positions = np.split(golden["positions_1e4A"] * 1e-4, ends)
    return [
        Structure(id=str(name), atomic_numbers=n, positions=p)
        for name, n, p in zip(golden["names"], numbers, positions, strict=True)
    ]


def golden_batch(golden, *, largest):
    structures = golden_structures(golden)
    chosen = [i for i, s in enumerate(structures) if len(s.atomic_numbers) <= largest]
    examples = [ani.featurize_molecule(structures[i]) for i in chosen]
    bucket = 40 if largest <= 40 else 128
    return np.array(chosen), ani.collate_molecules(examples, bucket, len(examples))


@pytest.mark.registry
@pytest.mark.parametrize("layer", ani.LAYERS)
def test_layers_agree_with_the_original_on_real_weights(golden, layer):
    encoder = ENTRIES["ani-1x-0"].build(ENTRIES["ani-1x-0"])
    _, batch = golden_batch(golden, largest=200)
    features = apply(encoder.params, batch, layer)
    step = {"aev": 96, "hidden_3": 24}[layer]
    got = np.asarray(features.values)[np.asarray(features.mask)][:, ::step]
    expected = golden[layer]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.registry
@pytest.mark.parametrize("model_id", PRETRAINED)
def test_energies_and_pooled_states_agree_with_the_original(golden, model_id):
    entry = ENTRIES[model_id]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    family, member = model_id.rsplit("-", 1)
    chosen, batch = golden_batch(golden, largest=40)
    rows = np.asarray(pool(apply(encoder.params, batch, None), "mean"))[:, :6]
    expected = golden[f"{family}_mean"][int(member), chosen]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    energy = ani.energy(encoder.params, batch, self_energies=ani.SELF_ENERGIES[family])
    difference = (energy - golden[f"{family}_energy"][int(member), chosen]) * EV_PER_HARTREE
    assert np.abs(difference / golden["atoms"][chosen]).max() < 1e-4


@pytest.mark.registry
def test_constants_are_those_of_the_published_file():
    path = fetch(ARCHIVES["torchani"])
    root = "torchani/resources/ani-1x_8x"
    text = read_entry(path, f"{root}/rHCNO-5.2R_16-3.5A_a4-8.params").decode()
    file = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
    numbers = {
        name: np.array(value.strip("[] ").split(","), np.float32)
        for name, value in file.items()
        if name != "Atyp"
    }
    ours = {
        "Rcr": aev.RADIAL_CUTOFF,
        "Rca": aev.ANGULAR_CUTOFF,
        "EtaR": aev.RADIAL_ETA,
        "ShfR": aev.RADIAL_SHIFTS,
        "Zeta": aev.ANGULAR_POWER,
        "ShfZ": aev.ANGLES,
        "EtaA": aev.ANGULAR_ETA,
        "ShfA": aev.ANGULAR_SHIFTS,
    }
    for name, value in ours.items():
        np.testing.assert_array_equal(numbers[name], np.atleast_1d(np.float32(value)), name)
    assert tuple(file["Atyp"].strip("[] ").split(",")) == aev.ELEMENTS
    for family, energies in ani.SELF_ENERGIES.items():
        lines = read_entry(path, f"torchani/resources/{family}_8x/sae_linfit.dat").decode()
        assert tuple(float(line.split("=")[1]) for line in lines.split()) == energies


@pytest.mark.registry
def test_other_networks_than_the_pinned_ones_are_refused():
    folder = "torchani/resources/ani-1x_8x/train1/networks"
    with pytest.raises(WeightsError, match="SHA-256"):
        catalog_ani.read_networks(ARCHIVES["torchani"], folder, sha256="0" * 64)


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["ani-1x-0"].card.package_sha256 in provenance["archive"]
    assert max(provenance["float32"].values()) <= 1e-4
    assert max(provenance["float64"].values()) <= 1e-10
