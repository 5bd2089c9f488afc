import json
import pathlib

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.graph_packing import GraphPacking, unpack_atoms
from jaxalign.models.so3lr import catalog_so3lr, so3krates, so3lr_energy
from jaxalign.models.so3lr.so3krates_graph import LAYOUT, cutoff_weights, harmonics
from jaxalign.models.so3lr.so3krates_weights import SETTINGS, require_settings
from jaxalign.models.so3lr.so3lr_weights import SCREENING
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure
from tests.models.so3lr.so3krates_oracle import oracle, scipy_harmonics

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_so3lr.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_so3lr.ENTRIES}
# One shape, and so one compilation, for all tests.
SHAPE = (("graphs", 16), ("most", 24), ("atoms", 96), ("pairs", 1536), ("far_pairs", 16384))
NEAR = SHAPE[:-1]


PARAMS = ENTRIES["so3lr-random"].build(ENTRIES["so3lr-random"]).params


def dense(inputs, outputs):
    return {
        "kernel": np.zeros((inputs, outputs), np.float32),
        "bias": np.zeros(outputs, np.float32),
    }


# Stand for the heads that random networks do not have, so that these share the compilation.
ONES, ZERO = np.ones(8, np.float32), np.zeros((), np.float32)
HEADS = {
    "energy": {"hidden": dense(128, 128), "out": dense(128, 1), "scale": ONES},
    "repulsion": {name: ZERO for name in (*SCREENING[0], *SCREENING[1], "p", "d")},
    "charge": {"hidden": dense(128, 128), "out": dense(128, 1), "shift": ONES},
    "ratio": {
        "hidden": dense(128, 64),
        "out": dense(64, 64),
        "shift": ONES,
        "query": np.zeros((8, 64), np.float32),
    },
}


@jax.jit
def everything(params, batch):
    states = so3krates.atom_states(params, batch)
    found = {
        layer: unpack_atoms(so3krates.layer_values(states[int(layer[6]) - 1], layer), batch)
        for layer in so3krates.LAYERS
    }
    # One layer is taken as encoders take it.
    found["block_1"] = so3krates.apply_so3krates(params, batch, "block_1")
    return found, so3lr_energy.energy_terms(params, batch)


def run(params, structures):
    packing = so3lr_energy.energy_model({}).batching
    batch = packing.collate([so3lr_energy.featurize_far(s) for s in structures], SHAPE)
    return jax.tree.map(np.asarray, everything({**HEADS, **params}, batch))


def layers(params, structures):
    """Each layer's features of the atoms of each structure; structures share a batch."""
    found, _ = run(params, structures)
    assert all(np.isfinite(f.values).all() for f in found.values())
    assert not found["block_3"].mask[len(structures) :].any()
    return [
        {name: f.values[row][f.mask[row]] for name, f in found.items()}
        for row in range(len(structures))
    ]


def energies(params, structures):
    """Terms of each structure."""
    _, terms = run(params, structures)
    assert not any(value[len(structures) :].any() for value in terms.values())
    return {name: value[: len(structures)] for name, value in terms.items()}


def from_ase(atoms, name="x"):
    return Structure(
        id=name,
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=atoms.positions,
        cell=np.array(atoms.cell.array) if atoms.pbc.any() else None,
        pbc=tuple(map(bool, atoms.pbc)),
    )


def rattled(name, rng):
    atoms = ase.build.molecule(name)
    atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def ice(rng):
    atoms = ase.Atoms(
        "OH2", [[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]], cell=[3.2, 3.5, 3.9], pbc=True
    )
    atoms.positions += rng.normal(scale=0.05, size=(3, 3))
    return atoms


def assert_same(ours, expected, atol=2e-5):
    for name, value in expected.items():
        size = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=atol * size, err_msg=name)


@pytest.mark.slow
def test_features_follow_the_definition(rng):
    molecules = [rattled(name, rng) for name in ("CH3CH2OH", "C4H4S", "CH3Cl")]
    found = layers(PARAMS, [from_ase(atoms) for atoms in molecules])
    for atoms, ours in zip(molecules, found, strict=True):
        assert_same(ours, oracle(PARAMS, atoms))


def test_harmonics_are_those_of_scipy_and_the_cutoff_ends_smoothly(rng):
    vectors = rng.normal(size=(50, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours = jax.jit(harmonics)(jnp.asarray(vectors, jnp.float32))
    np.testing.assert_allclose(ours, scipy_harmonics(vectors), atol=2e-6)
    weights = np.asarray(cutoff_weights(jnp.array([0, 4.4999, 4.5, 7.8])))
    np.testing.assert_allclose(weights, [1, 0, 0, 0], atol=1e-6)


def test_features_do_not_depend_on_company_order_or_place(rng):
    atoms = rattled("CH3CONH2", rng)
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions += rng.uniform(-5, 5, 3)
    others = [from_ase(rattled(name, rng)) for name in ("H2O", "PH3", "CF4")]
    (alone,) = layers(PARAMS, [from_ase(atoms)])
    found = layers(PARAMS, [*others, from_ase(moved), from_ase(atoms)])
    assert_same(found[-1], alone)
    assert_same(found[-2], {name: value[order] for name, value in alone.items()})


def test_rotations_turn_the_equivariant_features_alone(rng):
    atoms = rattled("CH3CH2OH", rng)
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    turned, mirrored = atoms.copy(), atoms.copy()
    turned.positions = atoms.positions @ turn.T
    mirrored.positions = atoms.positions * [1, 1, -1]
    base, other, mirror = layers(PARAMS, list(map(from_ase, (atoms, turned, mirrored))))
    fixed = {name: value for name, value in base.items() if "equivariant" not in name}
    assert_same(other, fixed, atol=5e-5)
    assert_same(mirror, fixed, atol=5e-5)
    for number in (1, 2, 3):
        v, w = (found[f"block_{number}_equivariant"] for found in (base, other))
        size = np.abs(v).max()
        # Degree 1 is the vector (y, z, x).
        vectors = v[:, [2, 0, 1]] @ turn.T
        np.testing.assert_allclose(w[:, [2, 0, 1]], vectors, atol=5e-5 * max(1, size))
        assert np.abs(w - v).max() > 1e-2 * size
        parts = np.split(v, [3, 8, 15], axis=1)
        lengths = np.stack([np.linalg.norm(part, axis=1) for part in parts], axis=1)
        np.testing.assert_allclose(base[f"block_{number}_norms"], lengths, rtol=1e-4, atol=1e-5)


def test_a_supercell_and_unwrapped_atoms_are_the_same_crystal(rng):
    cell = ice(rng)
    unwrapped = cell.copy()
    unwrapped.positions += rng.integers(-3, 4, (3, 3)) @ cell.cell.array
    double = cell.repeat((1, 2, 1))
    base, away, large = layers(PARAMS, [from_ase(a) for a in (cell, unwrapped, double)])
    assert_same(away, base)
    assert_same(large, {name: np.tile(value, (2, 1)) for name, value in base.items()})


def test_atoms_without_neighbors_and_empty_slots_have_finite_features():
    far = Structure(
        id="far",
        atomic_numbers=np.array([6, 1], np.int32),
        positions=np.array([[0.0, 0, 0], [6, 0, 0]]),
    )
    lone = Structure(id="C", atomic_numbers=far.atomic_numbers[:1], positions=far.positions[:1])
    found = layers(PARAMS, [far, lone])
    assert_same({k: v[:1] for k, v in found[0].items()}, found[1])
    assert not found[0]["block_3_equivariant"].any()
    assert layers(PARAMS, []) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"atomic_numbers": np.array([14, 1], np.int32)},
            "SO3LR knows .* only, and the structure holds Si",
        ),
        ({"positions": np.array([[0.0, 0, 0], [np.nan, 0, 0]])}, "NaN"),
        ({"positions": np.array([[0.0, 0, 0], [0, 0, 0.01]])}, "atoms 0 and 1"),
        ({"cell": np.zeros((3, 3)), "pbc": (True, True, True)}, "volume"),
        ({"atomic_numbers": None, "positions": None, "smiles": "C"}, "positions"),
    ],
)
def test_what_cannot_be_represented_is_refused(change, match):
    atoms = {
        "atomic_numbers": np.array([8, 1], np.int32),
        "positions": np.array([[0.0, 0, 0], [0, 0, 1]]),
    }
    structure = Structure(id="x", **{**atoms, **change})
    for refuse in (so3krates.check_structure, so3krates.featurize_pairs):
        with pytest.raises(UnsupportedStructureError, match=match):
            refuse(structure)


def test_the_default_layer_is_the_last(rng):
    structure = from_ase(rattled("CH3Cl", rng))
    batch = GraphPacking(LAYOUT, dict(NEAR[2:])).collate(
        [so3krates.featurize_pairs(structure)], NEAR
    )
    default, last, norms = (
        str(jax.make_jaxpr(so3krates.apply_so3krates, static_argnums=2)(PARAMS, batch, layer))
        for layer in (None, "block_3", "block_3_norms")
    )
    assert default == last != norms


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="block_3_norms"):
        so3krates.apply_so3krates(PARAMS, {}, "block_4")


def test_another_variant_of_the_network_is_refused():
    require_settings({**SETTINGS, "more": 1}, SETTINGS)
    with pytest.raises(WeightsError, match=r"num_layers.*2.*implemented.*3"):
        require_settings({**SETTINGS, "num_layers": 2}, SETTINGS)


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = ENTRIES["so3lr-random"]
    again = entry.build(entry)
    assert all(map(np.array_equal, jax.tree.leaves(PARAMS), jax.tree.leaves(again.params)))
    assert count_params(again.params) == entry.card.parameters
    assert not entry.card.pretrained
    assert entry.archives == ()
    assert again.energy is None


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def encoder():
    entry = ENTRIES["so3lr"]
    return entry.build(entry)


def golden_structures(golden):
    ends = np.cumsum(golden["atoms"])[:-1]
    atoms = zip(
        golden["names"],
        np.split(golden["atomic_numbers"], ends),
        np.split(golden["positions"], ends),
        golden["cells"],
        golden["pbc"].tolist(),
        strict=True,
    )
    return [
        Structure(
            id=str(name),
            atomic_numbers=numbers.astype(np.int32),
            positions=positions,
            cell=cell if any(pbc) else None,
            pbc=tuple(pbc),
        )
        for name, numbers, positions, cell, pbc in atoms
    ]


@pytest.mark.registry
def test_layers_agree_with_the_original(golden, encoder):
    assert count_params(encoder.params) == ENTRIES["so3lr"].card.parameters
    found = layers(encoder.params, golden_structures(golden))
    for name, columns in (("", slice(None, None, 16)), ("_equivariant", slice(None, None, 4))):
        for number in (1, 2, 3):
            layer = f"block_{number}{name}"
            ours = np.concatenate([row[layer][:, columns] for row in found])
            expected = golden[layer]
            np.testing.assert_allclose(ours, expected, rtol=0, atol=5e-5 * np.abs(expected).max())
    means = np.stack([row["block_3"].mean(axis=0) for row in found])
    np.testing.assert_allclose(means, golden["mean"], rtol=0, atol=5e-5)


@pytest.mark.registry
def test_energies_agree_with_the_original(golden, encoder):
    structures = golden_structures(golden)
    terms = energies(encoder.params, structures)
    for name in ("repulsion", "electrostatics", "dispersion"):
        off = (terms[name] - golden[name]) / golden["atoms"]
        assert np.abs(off).max() < 1e-4, name
    reference = [
        sum(encoder.energy.reference[int(z)] for z in s.atomic_numbers) for s in structures
    ]
    total = np.sum([*terms.values()], axis=0, dtype=np.float64) + reference
    assert np.abs((total - golden["energy"]) / golden["atoms"]).max() < 1e-4


@pytest.mark.registry
def test_energies_of_what_does_not_interact_add_up(encoder, rng):
    water, cell = rattled("CH3CONH2", rng), ice(rng)
    apart = water.copy()
    apart.positions += [30.0, 0, 0]
    turned = water.copy()
    turned.rotate(float(rng.uniform(0, 360)), rng.normal(size=3))
    chosen = (water, turned, water + apart, cell, cell.repeat((2, 1, 1)))
    total = sum(energies(encoder.params, [from_ase(atoms) for atoms in chosen]).values())
    expected = total[[0, 0, 0, 3, 3]] * [1, 1, 2, 1, 2]
    np.testing.assert_allclose(total, expected, rtol=0, atol=5e-4)


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["so3lr"].card.package_sha256 in provenance["archive"]
    assert max(provenance["float32"]["relative"].values()) <= 1e-4
    assert provenance["float32"]["ev_per_atom"]["energy"] <= 1e-4
    assert max(provenance["float64"]["relative"].values()) <= 1e-10
