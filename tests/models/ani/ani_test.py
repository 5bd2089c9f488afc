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
from jaxalign.models.ani import ani, ani_inputs, catalog_ani
from jaxalign.models.ani.aev_settings import AEV_1X
from jaxalign.models.ani.ani import ANI_1X, EV_PER_HARTREE
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure
from tests.structures_golden import golden_structures

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_ani.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_ani.ENTRIES}
PRETRAINED = [name for name in ENTRIES if name != "ani-1x-random"]

COLUMNS = {"aev": 96, "hidden_1": 40, "hidden_2": 32, "hidden_3": 24}  # layer → every such column
SHAPE, LARGE = (40, 8), (128, 9)  # the tests share these shapes: bucket, rows

_apply = jax.jit(ani.apply_ani, static_argnums=(0, 3))
interaction = jax.jit(ani.interaction_energy, static_argnums=0)


def apply(params, batch, layer):
    return _apply(ANI_1X, params, batch, layer)


def named(name):
    molecule = ase.build.molecule(name)
    return Structure(
        id=name, atomic_numbers=molecule.numbers.astype(np.int32), positions=molecule.positions
    )


STRUCTURES = [named(name) for name in ("H", "N2", "H2O", "CH3CH2OH", "C6H6", "CH3CONH2")]


@pytest.fixture(scope="module")
def encoder():
    return ENTRIES["ani-1x-random"].build(ENTRIES["ani-1x-random"])


def padded(encoder, structures, shape=SHAPE):
    return encoder.batching.collate([encoder.featurize(s) for s in structures], shape)


def pooled(encoder, structures, shape=SHAPE):
    batch = padded(encoder, structures, shape)
    return np.asarray(pool(apply(encoder.params, batch, "hidden_3"), "mean"))[: len(structures)]


def oracle(params, number, x):
    """The network of one element on one vector, in float64: three states and the energy."""
    symbol = {1: "H", 6: "C", 7: "N", 8: "O"}[int(number)]
    states = []
    for layer in (1, 2, 3):
        dense = params[f"{symbol}_{layer}"]
        x = x @ np.asarray(dense["kernel"], np.float64) + dense["bias"]
        x = np.maximum(x, 0) + np.minimum(0, 0.1 * np.expm1(np.minimum(x, 0) / 0.1))
        states.append(x)
    dense = params[f"{symbol}_4"]
    return [*states, float((x @ np.asarray(dense["kernel"], np.float64) + dense["bias"])[0])]


@pytest.mark.slow
def test_states_and_energies_follow_the_definition(encoder):
    batch = padded(encoder, STRUCTURES)
    layers = {name: np.asarray(apply(encoder.params, batch, name).values) for name in ani.LAYERS}
    assert [layers[name].shape[-1] for name in ani.LAYERS] == [384, 160, 128, 96]
    energies = np.asarray(interaction(ANI_1X, encoder.params, batch))
    for row, structure in enumerate(STRUCTURES):
        expected = 0.0
        for atom, number in enumerate(structure.atomic_numbers):
            *states, energy = oracle(encoder.params, number, np.float64(layers["aev"][row, atom]))
            expected += EV_PER_HARTREE * energy
            for name, state in zip(ani.LAYERS[1:], states, strict=True):
                got = layers[name][row, atom]
                np.testing.assert_allclose(got[: len(state)], state, atol=1e-5)
                assert not got[len(state) :].any()  # an element with fewer units than the widest
        np.testing.assert_allclose(energies[row], expected, atol=2e-4)
    assert not energies[len(STRUCTURES) :].any()


def test_default_layer_is_the_last_hidden_one(encoder):
    batch = padded(encoder, STRUCTURES)
    # As programs, so that none of them is compiled.
    default, last = (
        str(
            jax.make_jaxpr(lambda p, b, name=name: encoder.apply(p, b, name))(encoder.params, batch)
        )
        for name in (None, "hidden_3")
    )
    assert default == last
    with pytest.raises(ValueError, match="hidden_3"):
        encoder.apply(encoder.params, batch, "hidden_4")


def test_rows_do_not_depend_on_order_padding_or_company(encoder, rng):
    expected = pooled(encoder, STRUCTURES)
    order = rng.permutation(len(STRUCTURES))
    mixed = pooled(encoder, [STRUCTURES[i] for i in order], LARGE)
    np.testing.assert_allclose(mixed, expected[order], rtol=1e-5, atol=1e-6)
    alone = pooled(encoder, [STRUCTURES[3]], LARGE)
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


@pytest.mark.slow
def test_forces_are_finite_and_sum_to_zero(encoder):
    batch = padded(encoder, STRUCTURES, (12, 8))  # a gradient of the larger shape takes long

    def total(positions):
        moved = {**batch, "positions": positions}
        return jnp.sum(ani.interaction_energy(ANI_1X, encoder.params, moved))

    forces = -np.asarray(jax.jit(jax.grad(total))(jnp.asarray(batch["positions"])))
    assert np.isfinite(forces).all()
    np.testing.assert_allclose(forces.sum(axis=1), 0, atol=3e-4)  # eV/Å
    assert not forces[~batch["mask"]].any()


def test_every_bucket_has_a_batch_and_the_last_has_all_slots(encoder):
    buckets = encoder.batching.buckets
    assert list(buckets) == sorted(set(buckets))
    assert all(encoder.batching.batch_size(bucket) >= 1 for bucket in buckets)
    slots = [ani_inputs.slots_per_atom(bucket) for bucket in buckets]
    assert slots == sorted(slots)
    assert slots[-1] == ani_inputs.MAX_NEIGHBORS


def hostile():
    line = np.arange(100)[:, None] * [0.1, 0, 0]
    yield "holds S", named("SO2")
    yield (
        "an atom has 70 others",
        Structure(id="dense", atomic_numbers=np.ones(100, np.int32), positions=line),
    )


@pytest.mark.parametrize(("message", "structure"), list(hostile()))
def test_the_check_refuses_what_inputs_cannot_be_made_of(encoder, message, structure):
    with pytest.raises(UnsupportedStructureError, match=message):
        encoder.check(structure)
    with pytest.raises(UnsupportedStructureError):
        encoder.batching.check(encoder.featurize(structure))


def test_the_check_lets_molecules_pass(encoder):
    line = np.arange(1025)[:, None] * [5.0, 0, 0]
    long = Structure(id="long", atomic_numbers=np.ones(1025, np.int32), positions=line)
    for structure in (*STRUCTURES, long):
        assert encoder.check(structure) is None
    (plan,) = encoder.batching.plan([encoder.featurize(long)])
    assert plan.shape == (2048, 2)


def test_members_share_programs_and_differ_in_their_energies_of_atoms():
    cards = [ENTRIES[name].card for name in ("ani-1x-0", "ani-1x-random")]
    one, other = (
        ani.atom_encoder(card, {}, self_energies={1: own})
        for card, own in zip(cards, (-0.5, -0.6), strict=True)
    )
    assert one.apply is other.apply
    assert one.energy.interaction is other.energy.interaction
    assert one.energy.reference[1] == pytest.approx(-13.605693)
    assert other.energy.reference[1] == pytest.approx(-16.326832)
    assert ani.atom_encoder(cards[1], {}).energy is None


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


def golden_batch(golden, encoder):
    structures = golden_structures(golden)
    small = [i for i, s in enumerate(structures) if len(s.atomic_numbers) <= SHAPE[0]]
    return np.array(small), padded(encoder, [structures[i] for i in small])


def check_layer(features, expected, layer):
    got = np.asarray(features.values)[np.asarray(features.mask)][:, :: COLUMNS[layer]]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.registry
@pytest.mark.parametrize("layer", ani.LAYERS)
def test_layers_agree_with_the_original_on_real_weights(golden, layer):
    encoder = ENTRIES["ani-1x-0"].build(ENTRIES["ani-1x-0"])
    small, batch = golden_batch(golden, encoder)
    is_small = np.repeat(np.isin(np.arange(len(golden["atoms"])), small), golden["atoms"])
    check_layer(apply(encoder.params, batch, layer), golden[layer][is_small], layer)


@pytest.mark.registry
def test_large_molecules_agree_with_the_original_on_real_weights(golden):
    encoder = ENTRIES["ani-1x-0"].build(ENTRIES["ani-1x-0"])
    batch = padded(encoder, golden_structures(golden), LARGE)
    check_layer(apply(encoder.params, batch, "hidden_3"), golden["hidden_3"], "hidden_3")


@pytest.mark.registry
@pytest.mark.parametrize("model_id", PRETRAINED)
def test_energies_and_pooled_states_agree_with_the_original(golden, model_id):
    entry = ENTRIES[model_id]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    family, member = model_id.rsplit("-", 1)
    chosen, batch = golden_batch(golden, encoder)
    rows = np.asarray(pool(apply(encoder.params, batch, "hidden_3"), "mean"))[:, :6]
    expected = golden[f"{family}_mean"][int(member), chosen]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    energy = np.asarray(interaction(ANI_1X, encoder.params, batch), np.float64)
    numbers = [golden_structures(golden)[i].atomic_numbers for i in chosen]
    energy += [sum(encoder.energy.reference[int(z)] for z in row) for row in numbers]
    expected = golden[f"{family}_energy"][int(member), chosen] * EV_PER_HARTREE
    assert np.abs((energy - expected) / golden["atoms"][chosen]).max() < 1e-4


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
        "Rcr": AEV_1X.radial_cutoff,
        "Rca": AEV_1X.angular_cutoff,
        "EtaR": AEV_1X.radial_eta,
        "ShfR": AEV_1X.radial_shifts,
        "Zeta": AEV_1X.angular_power,
        "ShfZ": AEV_1X.angles,
        "EtaA": AEV_1X.angular_eta,
        "ShfA": AEV_1X.angular_shifts,
    }
    for name, value in ours.items():
        np.testing.assert_array_equal(numbers[name], np.atleast_1d(np.float32(value)), name)
    assert tuple(file["Atyp"].strip("[] ").split(",")) == AEV_1X.elements
    for family, energies in catalog_ani.SELF_ENERGIES.items():
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
    assert provenance["hidden_relative"]["float32"] <= 1e-4
    assert provenance["hidden_relative"]["float64"] <= 1e-10
