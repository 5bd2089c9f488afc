import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.esen import catalog_esen, esen
from jaxalign.models.esen.edge_blocks import EDGE_BLOCK
from jaxalign.models.esen.esen_encoder import (
    esen_packing,
    featurize_esen,
    load_esen,
    load_uma,
    read_model,
)
from jaxalign.models.esen.esen_settings import System
from jaxalign.models.esen.esen_weights import EsenArrays
from jaxalign.models.esen.system_embedding import system_vector
from jaxalign.models.weight_files.user_file import UserFile
from jaxalign.models.weight_files.weights import WeightsError
from tests.structures_golden import golden_structures, molecule

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_esen.npz"
SHAPE = (("graphs", 16), ("most", 24), ("atoms", 128), ("edges", 2048))  # one for all tests
CONFIG = {"cutoff": 4.0, "dataset": "omol", "normalizer": {"mean": 0.3, "rmsd": 1.7}}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def user_file(golden, changed=(), **config):
    """The tiny UMA of the golden file, as if a user had brought it."""
    prefix = "weights/"
    arrays = {n.removeprefix(prefix): a for n, a in golden.items() if n.startswith(prefix)}
    arrays |= dict(changed)
    return UserFile(pathlib.Path("tiny.npz"), "0" * 64, arrays, {}, {**CONFIG, **config})


@pytest.fixture(scope="module")
def model(golden):
    references = np.arange(20.0).tolist()
    return read_model(user_file(golden, element_references=references))


@pytest.fixture(scope="module")
def run(model):
    """Structures → layer name → rows of each structure; energies. One compilation for all."""
    own, settings, *_ = model

    @jax.jit
    def compute(params, batch):
        states = esen.esen_states(settings, params, batch)
        layers = {name: esen.layer_values(states, name) for name in esen.esen_layers(settings)}
        return layers, esen.readout_energy(params, batch, states)

    def rows(structures, *, params=own):
        examples = [featurize_esen(s, settings=settings) for s in structures]
        batch = esen_packing(settings).collate(examples, SHAPE)
        layers, energies = jax.tree.map(np.asarray, compute(params, batch))
        found = [
            {name: values[batch["graph"] == slot] for name, values in layers.items()}
            for slot in range(len(structures))
        ]
        return found, energies

    return rows


def test_all_states_and_energies_agree_with_the_original(golden, run):
    structures = golden_structures(golden)
    found, energies = run(structures)
    for name in ("embedding", "block_1", "block_2", "final"):
        got = np.concatenate([row[f"{name}_equivariant"] for row in found])
        expected = golden[name].reshape(len(got), -1)
        limit = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=0, atol=limit, err_msg=name)
        scalars = np.concatenate([row[name] for row in found])
        np.testing.assert_allclose(scalars, got[:, : scalars.shape[1]], atol=1e-5)
    expected = golden["energies"].reshape(-1) * 1.7 + 0.3
    np.testing.assert_allclose(energies[: len(structures)], expected, atol=1e-4)
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
        np.testing.assert_allclose(row["final"], expected[i]["final"], atol=2e-5)
    crystal = next(s for s in structures if all(s.pbc) and len(s.atomic_numbers) > 1)
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
    # The shares of the experts see the composition alone: the same for the double cell.
    (one, two, three), energies = run([crystal, moved, doubled])
    np.testing.assert_allclose(two["final"], one["final"][atoms], atol=2e-5)
    np.testing.assert_allclose(three["final"], np.tile(one["final"], (2, 1)), atol=2e-5)
    np.testing.assert_allclose(energies[2] - 0.3, 2 * (energies[0] - 0.3), atol=1e-4)


def test_scalars_stay_and_vectors_turn_with_the_structure(run, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)  # a proper rotation
    first = molecule("CH3OCH3")
    second = dataclasses.replace(first, positions=first.positions @ turn.T + 50.0)
    stretched = dataclasses.replace(first, positions=first.positions * 1.05)
    # Edges along all axes, where the frames have their poles.
    axes = molecule("CH4", positions=np.concatenate([np.zeros((1, 3)), np.eye(3), [[0, -1, 0]]]))
    turned_axes = dataclasses.replace(axes, positions=axes.positions @ turn.T)
    found, energies = run([first, second, stretched, axes, turned_axes])
    # The pointwise network acts on a grid of the sphere, which turns with a structure only nearly.
    for one, other in (found[:2], found[3:]):
        for name in ("embedding", "block_1", "block_2", "final"):
            np.testing.assert_allclose(one[name], other[name], atol=5e-3)
        channels = one["final"].shape[1]
        vectors, turned = (
            row["block_2_equivariant"].reshape(len(row["final"]), -1, channels)[:, 1:4]
            for row in (one, other)
        )
        assert np.abs(vectors).max() > 1e-2
        np.testing.assert_allclose(np.einsum("xy,nyc->nxc", turn, vectors), turned, atol=5e-3)
    assert np.abs(found[0]["final"] - found[2]["final"]).max() > 1e-2
    np.testing.assert_allclose(energies[0], energies[1], atol=5e-3)


def test_charge_and_spin_change_everything_and_the_card_states_them(golden, model, run):
    charged = read_model(user_file(golden, charge=1, spin=2))
    assert charged[2] == System(1, 2, "omol")
    assert model[2] == System(0, 1, "omol")
    # Nothing but numbers differs: the same compilation serves both.
    water = molecule("H2O")
    ((neutral,), _), ((ion,), _) = run([water]), run([water], params=charged[0])
    assert np.abs(neutral["final"] - ion["final"]).max() > 1e-3
    encoder = load_uma(user_file(golden, charge=1, spin=2))
    assert "charge 1, spin multiplicity 2" in encoder.card.notes
    assert "data set omol" in encoder.card.notes
    assert encoder.card.verified == "random"
    assert encoder.card.width == 4
    assert encoder.energy is not None


def test_references_of_elements_come_from_the_configuration(model):
    reference = model[3]
    assert reference[6] == 6.0
    assert set(reference) == set(range(1, 20))


def test_files_that_contradict_the_configuration_are_refused(golden):
    name = "backbone.blocks.1.edge_wise.so2_conv_2.fc_m0.bias"
    cases = (
        ({"lmax": 3}, (), "lmax = 3, and the arrays of the file have 2"),
        ({"cutoff": None}, (), "cutoff"),
        ({"dataset": "oc20"}, (), "omat, omol"),
        ({"charge": 1.5}, (), "charge must be an integer"),
        ({"radius": 3}, (), "radius"),
        ({"distance_function": "bessel"}, (), "gaussian"),
        ({"head": "forces"}, (), "energyandforcehead"),
        ({}, {name: np.zeros(7)}, r"fc_m0.bias has shape \(7,\), and the settings want \(12,\)"),
        ({}, {"backbone.Jd_1": np.eye(3)}, "Jd_1"),
        ({}, {"backbone.extra.weight": np.eye(3)}, "extra.weight"),
    )
    for config, changed, words in cases:
        with pytest.raises(WeightsError, match=words):
            read_model(user_file(golden, changed, **config))
    with pytest.raises(WeightsError, match='load it as "uma"'):
        load_esen(user_file(golden))


def test_published_form_says_everything_itself(golden, model):
    """Configuration and tasks inside the file stand in for the user's."""
    backbone = {"cutoff": 4.0, "max_neighbors": 300, "model": "escnmd_moe_backbone"}
    calls = {"_target_": "torch.DoubleTensor", "_args_": [np.arange(20.0).tolist()]}
    task = {
        "property": "energy",
        "datasets": ["omol"],
        "normalizer": {"mean": 0.3, "rmsd": 1.7},
        "element_references": {"_target_": "References", "element_references": calls},
    }
    heads = {"energyandforcehead": {"dataset_names": ["omat", "omol"]}}
    settings = {
        "model_config": {"backbone": backbone, "heads": heads, "model_id": "UMA-S-1.2"},
        "tasks_config": [{"property": "forces"}, task],
    }
    file = user_file(golden)
    arrays = {f"module.{name}": array for name, array in file.arrays.items()}
    arrays["n_averaged"] = np.array(3)
    published = UserFile(file.path, file.sha256, arrays, {"": settings}, {"dataset": "omol"})
    params, own, system, reference = read_model(published)
    assert own == dataclasses.replace(model[1], count_self=True)
    assert (system, reference) == model[2:]
    jax.tree.map(np.testing.assert_array_equal, params, model[0])


def test_farthest_neighbors_are_dropped_with_those_alike(model):
    settings = dataclasses.replace(model[1], experts=0)
    line = molecule("C2H2", positions=np.array([[x, 0, 0] for x in (0.0, 1, 2, 3)]))
    example = featurize_esen(line, settings=dataclasses.replace(settings, max_neighbors=1))
    # As in the original the first beyond the number stays too, and so do those as far as it.
    assert example["neighbors"].tolist() == [1, 2, 0, 2, 1, 3, 1, 2]
    assert len(featurize_esen(line, settings=settings)["centers"]) == 12
    # Maps of its own for each structure: no group of edges belongs to two.
    filled = featurize_esen(line, settings=model[1])
    assert len(filled["centers"]) == EDGE_BLOCK
    assert np.linalg.norm(filled["vectors"][12:], axis=1).min() > settings.cutoff


def test_layers_have_the_promised_widths_and_others_are_refused(model):
    params, settings, *_ = model
    batch = esen_packing(settings).collate([], SHAPE)
    features = jax.eval_shape(lambda p, b: esen.apply_esen(settings, p, b), params, batch)
    assert features.values.shape == (16, 24, 4)
    states = jax.eval_shape(lambda p, b: esen.esen_states(settings, p, b), params, batch)
    wide = jax.eval_shape(functools.partial(esen.layer_values, layer="final_equivariant"), states)
    assert wide.shape == (128, 36)
    with pytest.raises(ValueError, match="block_2_equivariant"):
        esen.apply_esen(settings, params, batch, "block_3")


def test_foreign_elements_and_coincident_atoms_are_refused(model):
    settings = model[1]
    with pytest.raises(UnsupportedStructureError, match="I"):
        featurize_esen(
            molecule("CH3Cl", atomic_numbers=np.full(5, 53, np.int32)), settings=settings
        )
    with pytest.raises(UnsupportedStructureError, match="apart"):
        featurize_esen(molecule("CO", positions=np.zeros((2, 3))), settings=settings)


def test_embeddings_of_charge_and_spin_follow_their_definitions(rng):
    mix = rng.normal(size=(4, 8)), rng.normal(size=4)
    tables = {"charge": rng.normal(size=(201, 4)), "spin": rng.normal(size=(101, 4))}
    common = {"mix_csd.weight": mix[0], "mix_csd.bias": mix[1]}
    rows = {f"{kind}_embedding.rand_emb.weight": table for kind, table in tables.items()}
    line = {"weight": rng.normal(size=(4, 1)), "bias": rng.normal(size=4)}
    lines = {f"{k}_embedding.lin_emb.{n}": a for k in tables for n, a in line.items()}
    waves = {f"{kind}_embedding.W": rng.normal(size=2) for kind in tables}
    angles = 2 * np.pi * -3 * waves["charge_embedding.W"]
    expected = {
        "table": [tables["charge"][97], tables["spin"][0]],
        "line": [
            -3 * line["weight"][:, 0] + line["bias"],
            -100 * line["weight"][:, 0] + line["bias"],
        ],
        "wave": [np.concatenate([np.sin(angles), np.cos(angles)]), np.zeros(4)],
    }
    for kind, arrays in (("table", rows), ("line", lines), ("wave", waves)):
        x = mix[0] @ np.concatenate(expected[kind]) + mix[1]
        got = system_vector(EsenArrays({**common, **arrays}), 4, System(-3, 0))
        np.testing.assert_allclose(got, x / (1 + np.exp(-x)), atol=1e-12)


def test_random_twins_are_seeded_and_their_cards_say_so():
    small = dataclasses.replace(
        catalog_esen.MIXED_TWIN, channels=4, hidden=4, experts=2, elements=9
    )
    one, other = (catalog_esen.random_esen(small, seed=3) for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert one["blocks"]["messages"]["first"]["order_1"].shape == (2, 2, 16, 16)
    plain, mixed = (entry.card for entry in catalog_esen.ENTRIES)
    assert (plain.family, mixed.family) == ("eSEN", "UMA")
    assert not plain.pretrained
    assert plain.width == 128
