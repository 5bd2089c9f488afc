"""CHGNet against its definition with loops, against the original, and under symmetries."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.chgnet import catalog_chgnet, chgnet
from jaxalign.models.chgnet.chgnet_weights import FIRST, SECOND, convert_params, init_params
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.graph_packing import unpack_atoms
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_chgnet.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_chgnet.ENTRIES}
PRETRAINED = [name for name in ENTRIES if name != "chgnet-random"]
# All tests share one shape, so that there is one program for each of the two kinds of settings.
SHAPE = (
    ("graphs", 16),
    ("most", 24),
    ("atoms", 96),
    ("bonds", 3200),
    ("short_bonds", 800),
    ("angles", 7000),
)


@functools.partial(jax.jit, static_argnums=2)
def compute(params, batch, settings):
    """Features of the default layer, states of all layers, energies: one program."""
    states = chgnet.hidden_states(params, batch, settings)
    layers = *states.atoms[1:], chgnet.readout_states(params, states)
    features = chgnet.apply_chgnet(params, batch, settings=settings)
    energies = chgnet.interaction_energy(params, batch, settings=settings)
    return features, [unpack_atoms(layer, batch).values for layer in layers], energies


def crystal(name, cell, numbers, positions, pbc=(True, True, True)):
    return Structure(
        id=name,
        atomic_numbers=np.array(numbers, np.int32),
        positions=np.array(positions, float),
        cell=np.array(cell, float),
        pbc=pbc,
    )


RUTILE = crystal(
    "TiO2",
    np.diag([4.6, 4.6, 2.96]),
    [22, 22, 8, 8, 8, 8],
    np.array(
        [[0, 0, 0], [0.5] * 3, [0.3, 0.3, 0], [-0.3, -0.3, 0], [0.8, 0.2, 0.5], [0.2, 0.8, 0.5]]
    )
    * [4.6, 4.6, 2.96],
)
POTASSIUM = crystal("K", np.eye(3) * 5.33, [19, 19], [[0, 0, 0], [2.665] * 3])
WATER = crystal(
    "H2O", np.zeros((3, 3)), [8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]], (False,) * 3
)
WIRE = crystal(
    "wire", np.diag([2.5, 9, 9]), [29, 10], [[0, 0, 0], [0, 40, 0]], (True, False, False)
)
STRUCTURES = [RUTILE, POTASSIUM, WATER, WIRE]


def shaken_params(settings, seed=3):
    """Random parameters without the ones and zeros that would hide a fault."""
    rng = np.random.default_rng(seed)
    params = init_params(seed, settings)
    return jax.tree.map(
        lambda x: (x * rng.uniform(0.8, 1.2, x.shape) + 0.05 * rng.normal(size=x.shape)).astype(
            np.float32
        ),
        params,
    )


@functools.cache
def encoder(settings=SECOND):
    card = ENTRIES["chgnet-random"].card
    reference = {number: 0.1 * number for number in range(1, 95)}
    return chgnet.crystal_encoder(card, shaken_params(settings), settings, reference=reference)


def run(model, structures, settings=SECOND):
    """Rows of each layer and structure, energies, and rows pooled by default."""
    batch = model.batching.collate([model.featurize(s) for s in structures], SHAPE)
    features, layers, energies = compute(model.params, batch, settings)
    mask = np.asarray(features.mask)
    names = chgnet.layer_names(settings)
    rows = {
        name: [values[own] for values, own in zip(np.asarray(layer), mask, strict=True)]
        for name, layer in zip(names, layers, strict=False)
    }
    return rows, np.asarray(energies), np.asarray(pool(features, "mean"))


def mean_rows(structures, settings=SECOND):
    _, energies, rows = run(encoder(settings), structures, settings)
    return rows[: len(structures)], energies[: len(structures)]


class Oracle:
    """The definition in float64 with loops over directed bonds and angles."""

    def __init__(self, params, settings):
        self.params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        self.settings = settings

    def linear(self, name, x):
        linear = self.params[name]
        return x @ linear["kernel"] + linear.get("bias", 0.0)

    def norm(self, name, x):
        if name not in self.params:
            return x
        centered = x - x.mean()
        own = self.params[name]
        return centered / np.sqrt((centered**2).mean() + 1e-5) * own["scale"] + own["bias"]

    def gated(self, name, *inputs):
        values = []
        for part in ("core", "gate"):
            x = self.linear(f"{name}/{part}_1", np.concatenate(inputs))
            if f"{name}/{part}_2" in self.params:
                x = self.linear(f"{name}/{part}_2", x / (1 + np.exp(-x)))
            values.append(self.norm(f"{name}/{part}_norm", x))
        core, gate = values
        return core / (1 + np.exp(-core)) / (1 + np.exp(-gate))

    def radial(self, name, length, cutoff):
        x, p = length / cutoff, self.settings.power
        if x >= 1:
            return 0.0 * self.params[name]["frequencies"]
        envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
        envelope -= p * (p + 1) / 2 * x ** (p + 2)
        return (
            (2 / cutoff) ** 0.5 * np.sin(self.params[name]["frequencies"] * x) / length * envelope
        )

    def start(self, structure):
        pairs = neighbor_pairs(structure, cutoff=self.settings.atom_cutoff)
        lengths = pairs.lengths()
        self.edges = list(zip(pairs.centers.tolist(), pairs.neighbors.tolist(), strict=True))
        keys = [(i, j, *s.tolist()) for (i, j), s in zip(self.edges, pairs.shifts, strict=True)]
        back = [(j, i, *(-s).tolist()) for (i, j), s in zip(self.edges, pairs.shifts, strict=True)]
        self.bond_of = [min(key, other) for key, other in zip(keys, back, strict=True)]
        cutoffs = self.settings.atom_cutoff, self.settings.bond_cutoff
        far = [self.radial("atom_frequencies", d, cutoffs[0]) for d in lengths]
        near = [self.radial("bond_frequencies", d, cutoffs[1]) for d in lengths]
        bonds = dict(
            zip(self.bond_of, (self.linear("bond_embedding", x) for x in far), strict=True)
        )
        self.far = [self.linear("atom_weights", x) for x in far]
        self.near = [self.linear("bond_weights", x) for x in near]
        angles, units = {}, pairs.vectors / lengths[:, None]
        for e, (i, _) in enumerate(self.edges):
            for f, (k, _) in enumerate(self.edges):
                if e != f and i == k and max(lengths[e], lengths[f]) < cutoffs[1]:
                    theta = np.arccos(units[e] @ units[f] * (1 - 1e-6))
                    phases = theta * self.params["angle_frequencies"]["frequencies"]
                    waves = np.concatenate([[0.5**0.5], np.sin(phases), np.cos(phases)])
                    angles[e, f] = self.linear("angle_embedding", waves / np.pi**0.5)
        atoms = self.params["embedding"]["embedding"][structure.atomic_numbers - 1]
        return atoms, bonds, angles

    def layers(self, structure):
        atoms, bonds, angles = self.start(structure)
        layers = {}
        for block in range(1, 5):
            name, total = f"atom_conv_{block}", np.zeros_like(atoms)
            for e, (i, j) in enumerate(self.edges):
                message = self.gated(name, atoms[i], bonds[self.bond_of[e]], atoms[j])
                total[i] += message * self.far[e]
            atoms = atoms + self.linear(f"{name}/output", total)
            layers[f"conv_{block}"] = atoms
            if block < 4 and angles:
                name, total = f"bond_conv_{block}", {bond: np.zeros(64) for bond in bonds}
                for (e, f), angle in angles.items():
                    message = self.gated(
                        name, *self.at(bonds, e, f), angle, atoms[self.edges[e][0]]
                    )
                    total[self.bond_of[e]] += message * self.near[e] * self.near[f]
                bonds = {b: x + self.linear(f"{name}/output", total[b]) for b, x in bonds.items()}
                name = f"angle_update_{block}"
                angles = {
                    (e, f): angle
                    + self.gated(name, *self.at(bonds, e, f), angle, atoms[self.edges[e][0]])
                    for (e, f), angle in angles.items()
                }
        if self.settings.norms:
            atoms = np.array([self.norm("readout_norm", x) for x in atoms])
            layers["readout"] = atoms
        for number in range(1, len(self.settings.readout) + 1):
            atoms = self.linear(f"readout_{number}", atoms)
            atoms = atoms / (1 + np.exp(-atoms))
        return layers, self.linear(f"readout_{len(self.settings.readout) + 1}", atoms).sum()

    def at(self, bonds, e, f):
        return bonds[self.bond_of[e]], bonds[self.bond_of[f]]


@pytest.mark.parametrize(
    "settings",
    [pytest.param(FIRST, id="first"), pytest.param(SECOND, id="second", marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_layers_and_energies_follow_the_definition(settings):
    model = encoder(settings)
    rows, energies, pooled = run(model, STRUCTURES, settings)
    oracle = Oracle(model.params, settings)
    for number, structure in enumerate(STRUCTURES):
        layers, energy = oracle.layers(structure)
        assert list(layers) == list(chgnet.layer_names(settings))
        for name, expected in layers.items():
            tolerance = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(rows[name][number], expected, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(pooled[number], expected.mean(axis=0), atol=tolerance)
        np.testing.assert_allclose(energies[number], energy, rtol=1e-4, atol=1e-4)
    assert not energies[len(STRUCTURES) :].any()


def test_rows_do_not_depend_on_order_or_company(rng):
    expected, energies = mean_rows(STRUCTURES)
    order = rng.permutation(len(STRUCTURES))
    mixed, other = mean_rows([STRUCTURES[row] for row in order])
    np.testing.assert_allclose(mixed, expected[order], atol=1e-5)
    np.testing.assert_allclose(other, energies[order], atol=1e-4)
    alone, _ = mean_rows([RUTILE])
    np.testing.assert_allclose(alone[0], expected[0], atol=1e-5)


@pytest.mark.parametrize("settings", [FIRST, SECOND], ids=["first", "second"])
def test_a_structure_without_angles_is_the_same_in_any_company(settings):
    alone, company = mean_rows([POTASSIUM], settings), mean_rows([RUTILE, POTASSIUM], settings)
    np.testing.assert_allclose(alone[0][0], company[0][1], atol=1e-5)
    np.testing.assert_allclose(alone[1][0], company[1][1], atol=1e-4)


def test_rows_do_not_depend_on_pose_cell_or_order_of_atoms_but_on_shape(rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(6)
    shifts = rng.integers(-2, 3, (6, 3)) @ RUTILE.cell
    numbers, positions = RUTILE.atomic_numbers, RUTILE.positions
    moved = crystal("moved", RUTILE.cell @ turn, numbers, (positions + shifts + 0.3) @ turn)
    shuffled = crystal("shuffled", RUTILE.cell, numbers[order], positions[order])
    skewed = crystal("skewed", [[1, 0, 0], [2, 1, 0], [-1, 1, 1]] @ RUTILE.cell, numbers, positions)
    doubled = crystal(
        "doubled",
        np.diag([1, 1, 2]) @ RUTILE.cell,
        [*numbers, *numbers],
        np.concatenate([positions, positions + RUTILE.cell[2]]),
    )
    strained = crystal("strained", RUTILE.cell * 1.02, numbers, positions * 1.02)
    rows, energies = mean_rows([RUTILE, moved, shuffled, skewed, doubled, strained])
    for same in range(1, 5):
        np.testing.assert_allclose(rows[same], rows[0], atol=1e-5)
    np.testing.assert_allclose(energies[1:5], energies[0] * np.array([1, 1, 1, 2]), atol=5e-4)
    assert np.abs(rows[5] - rows[0]).max() > 1e-2


def test_layers_are_chosen_by_name_and_foreign_ones_refused(monkeypatch):
    atoms = tuple(jnp.full((1, 64), float(number)) for number in range(5))
    states = chgnet.HiddenStates(atoms, (), ())
    monkeypatch.setattr(chgnet, "hidden_states", lambda *_: states)
    batch = {"slots": np.zeros((1, 1), np.int32)}
    apply = functools.partial(chgnet.apply_chgnet, {}, batch, settings=FIRST)
    found = {
        name: float(apply(name).values[0, 0, 0]) for name in (*chgnet.layer_names(FIRST), None)
    }
    assert found == {"conv_1": 1, "conv_2": 2, "conv_3": 3, "conv_4": 4, None: 4}
    with pytest.raises(ValueError, match="conv_1, conv_2, conv_3, conv_4"):
        apply("readout")
    for entry in ENTRIES.values():
        assert entry.card.layer == entry.card.layers[-1]


def test_elements_without_training_data_are_named():
    model = encoder()
    structure = crystal("PoO", np.eye(3) * 4, [84, 8], [[0, 0, 0], [2, 2, 2]])
    for refuse in (model.check, model.featurize):
        with pytest.raises(
            UnsupportedStructureError,
            match="CHGNet knows 89 elements only, and the structure holds Po",
        ):
            refuse(structure)
    model.check(RUTILE)


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = ENTRIES["chgnet-random"]
    one, other = (entry.build(entry).params for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert count_params(one) == entry.card.parameters
    assert not entry.card.pretrained
    assert entry.archives == ()


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="atom_embedding"):
        convert_params({"embedding.weight": np.zeros((94, 64), np.float32)}, SECOND)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def golden_structures(golden):
    ends = np.cumsum(golden["atoms"])[:-1]
    numbers = np.split(golden["atomic_numbers"], ends)
    positions = np.split(golden["positions"], ends)
    return list(map(crystal, golden["names"].tolist(), golden["cells"], numbers, positions))


@pytest.mark.registry
@pytest.mark.parametrize("model_id", PRETRAINED)
def test_layers_and_energies_agree_with_the_original_on_real_weights(golden, model_id):
    entry = ENTRIES[model_id]
    model = entry.build(entry)
    assert count_params(model.params) == entry.card.parameters
    structures = golden_structures(golden)
    settings = catalog_chgnet.RELEASES[model_id].settings
    rows, energies, _ = run(model, structures, settings)
    expected = golden[f"{model_id}_layers"]
    for name, layer in zip(entry.card.layers, expected, strict=True):
        ours = np.concatenate(rows[name])[:, ::16]
        tolerance = 5e-5 * np.abs(layer).max()
        np.testing.assert_allclose(ours, layer, rtol=0, atol=tolerance, err_msg=name)
    reference = model.energy.reference
    own = [sum(reference[int(z)] for z in s.atomic_numbers) for s in structures]
    per_atom = (energies[: len(structures)].astype(float) + own) / golden["atoms"]
    np.testing.assert_allclose(per_atom, golden[f"{model_id}_energy"], rtol=0, atol=1e-4)


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["chgnet-0.3.0"].card.package_sha256 in provenance["archive"]
    proofs = {proof["model"]: proof for proof in provenance["proofs"]}
    assert set(proofs) == set(PRETRAINED)
    for proof in proofs.values():
        assert proof["structures"] >= 50
        assert proof["hidden_relative_float32"] <= 1e-4
        assert proof["hidden_relative_float64"] <= 1e-10
        assert proof["energy_ev_per_atom_float32"] <= 1e-4
