import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics
from jaxalign.models.atomistic.tensor_products import coupling_paths, coupling_tensor
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.graph_packing import unpack_atoms
from jaxalign.models.pooling import pool
from jaxalign.models.sevennet import catalog_sevennet, sevennet
from jaxalign.models.sevennet.pair_graph import PACKING, featurize_pairs
from jaxalign.models.sevennet.sevennet import SILU_SCALE, SevenNetConfig
from jaxalign.models.sevennet.sevennet_params import block_channels, init_params
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure
from tests.structures_golden import golden_structures

GOLDEN = pathlib.Path(__file__).parents[2] / "data" / "golden_sevennet.npz"
ENTRIES = {entry.card.id: entry for entry in catalog_sevennet.ENTRIES}
PRETRAINED = [name for name in ENTRIES if name != "sevennet-0-random"]
CONFIG = SevenNetConfig(channels=(8, 6, 4), elements=(3, 26, 15, 8), onset=4.5)
SHAPE = (("graphs", 8), ("most", 8), ("atoms", 24), ("pairs", 64), ("edges", 640))


@functools.partial(jax.jit, static_argnums=2)
def run(params, batch, config):
    """States after each block, and energies: all in one program."""
    states = sevennet.block_states(params, batch, config)
    energies = sevennet.atom_energies(params, batch, states[-1])
    rows = [sevennet.flatten_features(state) for state in states]
    return states, energies, [pool(unpack_atoms(row, batch), "mean") for row in rows]


@pytest.fixture(scope="module")
def params():
    drawn = init_params(CONFIG, seed=1)
    # Random networks of few neighbors: as large values as trained ones have.
    for name in ("first", "middle", "last"):
        drawn[name]["paths"] = [30 * w for w in drawn[name]["paths"]]
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), drawn)


def crystal(rng, **changes):
    """Lithium iron phosphide oxide, much distorted."""
    cell = np.diag([4.4, 4.6, 5.2]) + rng.uniform(-0.4, 0.4, (3, 3))
    scaled = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0]])
    scaled = scaled + rng.uniform(-0.06, 0.06, (4, 3))
    facts = {
        "id": "crystal",
        "atomic_numbers": np.array([3, 26, 15, 8], np.int32),
        "positions": scaled @ cell,
        "cell": cell,
        "pbc": (True, True, True),
    }
    return Structure(**(facts | changes))


MOLECULE = Structure(
    id="molecule",
    atomic_numbers=np.array([8, 3, 8], np.int32),
    positions=np.array([[0, 0, 0], [0, 1.5, 0.4], [1.1, -0.9, 0.3]]),
)
ATOM = Structure(id="atom", atomic_numbers=np.array([26], np.int32), positions=np.zeros((1, 3)))


def collate(structures):
    make = functools.partial(featurize_pairs, elements=CONFIG.elements, cutoff=CONFIG.cutoff)
    return PACKING.collate([make(s) for s in structures], SHAPE)


def evaluate(params, structures):
    batch = collate(structures)
    states, energies, pooled = run(params, batch, CONFIG)
    count = sum(len(s.atomic_numbers) for s in structures)
    states = [[np.asarray(x)[:, :count] for x in state] for state in states]
    return states, np.asarray(energies)[:count], [np.asarray(p)[: len(structures)] for p in pooled]


def assert_close(found, expected, tolerance=2e-5):
    scale = max(float(np.abs(expected).max()), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def silu(x):
    return SILU_SCALE * x / (1 + np.exp(-x))


def linear(layer, features):
    mapped = [x @ w for x, w in zip(features, layer["weights"], strict=False)]
    if "bias" in layer:
        mapped[0] = mapped[0] + layer["bias"]
    return mapped


def oracle(params, structure):
    """Edge by edge, both directions, in float64: states after each block."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    edges = neighbor_pairs(structure, cutoff=CONFIG.cutoff)
    lengths = edges.lengths()[:, None]
    with jax.enable_x64(True):
        y = spherical_harmonics(jnp.asarray(edges.vectors / lengths), CONFIG.degree)
    y = [np.asarray(value) for value in y]
    square, on, cut = lengths**2, CONFIG.onset**2, CONFIG.cutoff**2
    tail = (cut - square) ** 2 * (cut + 2 * square - 3 * on) / (cut - on) ** 3
    envelope = np.where(lengths < CONFIG.onset, 1.0, tail)
    radial = 2 / CONFIG.cutoff * np.sin(params["frequencies"] * lengths) / lengths * envelope
    species = [CONFIG.elements.index(z) for z in structure.atomic_numbers.tolist()]
    states = [[params["embedding"][species][None]]]
    middle = [jax.tree.map(lambda w, n=n: w[n], params["middle"]) for n in range(3)]
    for number, layer in enumerate([params["first"], *middle, params["last"]]):
        states.append(oracle_block(layer, number, states[-1], edges, radial, y))
    return states


def oracle_block(layer, number, features, edges, radial, y):
    inputs, sums, _ = block_channels(CONFIG, number)
    hidden = radial
    for matrix in layer["radial"]:
        hidden = silu(hidden @ matrix) / SILU_SCALE
    columns = [hidden @ matrix for matrix in layer["paths"]]
    mixed = linear(layer["mix"], features)
    atoms = features[0].shape[1]
    summed = [[] for _ in sums]
    used = [0] * len(columns)
    for path in coupling_paths(len(inputs) - 1, CONFIG.degree, len(sums) - 1):
        weights = columns[path.right][:, used[path.right] :][:, : inputs[path.left]]
        used[path.right] += inputs[path.left]
        near = mixed[path.left][:, edges.neighbors]
        table = np.sqrt(2 * path.product + 1) * coupling_tensor(path)
        messages = np.einsum("abc,aeu,eb,eu->ecu", table, near, y[path.right], weights)
        total = np.zeros((atoms, *messages.shape[1:]))
        np.add.at(total, edges.centers, messages)
        summed[path.product].append(np.moveaxis(total, 0, 1))
    update = linear(layer["update"], [np.concatenate(parts, axis=2) for parts in summed])
    for degree, skip in enumerate(linear(layer["skip"], features)):
        update[degree] = update[degree] + skip
    active, start, gated = silu(update[0]), CONFIG.channels[0], []
    for value in update[1:]:
        gated.append(value * active[:, :, start : start + value.shape[2]])
        start += value.shape[2]
    return [active[:, :, : CONFIG.channels[0]], *gated]


@pytest.mark.slow
def test_states_and_energies_follow_the_definition(params, rng):
    structures = [crystal(rng), MOLECULE, ATOM]
    states, energies, _ = evaluate(params, structures)
    expected = [oracle(params, s) for s in structures]
    for number, state in enumerate(states):
        for degree, value in enumerate(state):
            parts = [one[number][degree] for one in expected]
            assert_close(value, np.concatenate(parts, axis=1))
    scalars = np.concatenate([one[-1][0][0] for one in expected])
    own = np.concatenate([s.atomic_numbers for s in structures])
    scale = np.asarray(params["scale"])[[CONFIG.elements.index(z) for z in own]]
    readout = np.asarray(params["readout"]["weights"][0])
    assert_close(energies, scale * (scalars @ readout)[:, 0])


def test_rows_do_not_depend_on_company_or_order(params, rng):
    structures = [crystal(rng), MOLECULE, ATOM, crystal(rng)]
    *_, together = evaluate(params, structures)
    order = [2, 3, 0]
    *_, others = evaluate(params, [structures[n] for n in order])
    *_, alone = evaluate(params, structures[:1])
    for all_rows, some, one in zip(together, others, alone, strict=True):
        assert_close(some, all_rows[order])
        assert_close(one, all_rows[:1])


def test_scalars_stay_and_vectors_turn_with_the_structure(params, rng):
    sample = crystal(rng)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    order = rng.permutation(4)
    moved = crystal(
        rng,
        atomic_numbers=sample.atomic_numbers[order],
        positions=(sample.positions @ turn.T)[order] + 100.0,
        cell=sample.cell @ turn.T,
    )
    (before, _, _), (after, _, _) = evaluate(params, [sample]), evaluate(params, [moved])
    for one, other in zip(before, after, strict=True):
        assert_close(other[0], one[0][:, order], 1e-4)
        for degree in range(1, len(one)):
            lengths = [np.linalg.norm(x, axis=0) for x in (one[degree][:, order], other[degree])]
            assert_close(lengths[1], lengths[0], 1e-4)
        if len(one) > 1:
            # Degree 1 has the components x, y, z.
            assert_close(other[1], np.einsum("ab,bnu->anu", turn, one[1][:, order]), 1e-4)
            assert np.abs(one[1]).max() > 1e-3


def test_supercell_has_the_mean_features_of_its_cell(params, rng):
    sample = crystal(rng)
    double = crystal(
        rng,
        atomic_numbers=np.tile(sample.atomic_numbers, 2),
        positions=np.concatenate([sample.positions, sample.positions + sample.cell[1]]),
        cell=sample.cell * np.array([[1.0], [2.0], [1.0]]),
    )
    *_, rows = evaluate(params, [sample, double])
    for row in rows:
        assert_close(row[1], row[0], 5e-5)


def test_images_and_far_atoms_matter_as_they_should(params, rng):
    sample = crystal(rng)
    wrapped = crystal(rng, positions=sample.positions + sample.cell[0], cell=sample.cell)
    open_one = crystal(rng, positions=sample.positions, cell=sample.cell, pbc=(True, True, False))
    *_, rows = evaluate(params, [sample, wrapped, open_one])
    assert_close(rows[-1][1], rows[-1][0], 5e-5)
    assert np.abs(rows[-1][2] - rows[-1][0]).max() > 1e-2


@pytest.fixture(scope="module")
def encoder():
    return ENTRIES["sevennet-0-random"].build(ENTRIES["sevennet-0-random"])


def test_layers_have_the_promised_widths(encoder):
    batch = collate([ATOM])
    assert len(encoder.card.layers) == 10
    for layer, width in {"embedding": 128, "block_2_equivariant": 480, None: 128}.items():
        apply = functools.partial(encoder.apply, layer=layer)
        shape = jax.eval_shape(lambda p, apply=apply: apply(p, batch), encoder.params)
        assert shape.values.shape == (8, 8, width)
    with pytest.raises(ValueError, match="block_5"):
        encoder.apply(encoder.params, batch, "block_6")


def test_features_are_flattened_degree_by_degree_with_components_fastest(rng):
    scalars, vectors = rng.normal(size=(1, 4, 2)), rng.normal(size=(3, 4, 2))
    flat = sevennet.flatten_features((jnp.asarray(scalars), jnp.asarray(vectors)))
    rows = [[*scalars[0, n], *vectors[:, n, 0], *vectors[:, n, 1]] for n in range(4)]
    np.testing.assert_allclose(flat, np.array(rows), rtol=1e-6)


def test_bad_structures_are_refused(encoder, rng):
    bad = {
        "Po": crystal(rng, atomic_numbers=np.array([84, 26, 15, 8], np.int32)),
        "NaN": crystal(rng, positions=np.full((4, 3), np.nan)),
        "apart": crystal(rng, positions=np.zeros((4, 3))),
        "volume": crystal(rng, cell=np.diag([4.0, 4.0, 0.0])),
    }
    for message, structure in bad.items():
        for function in (encoder.check, encoder.featurize):
            with pytest.raises(UnsupportedStructureError, match=message):
                function(structure)


def test_random_twin_is_seeded_and_its_card_says_so(encoder):
    again = ENTRIES["sevennet-0-random"].build(ENTRIES["sevennet-0-random"])
    leaves = jax.tree.leaves(encoder.params), jax.tree.leaves(again.params)
    assert all(map(np.array_equal, *leaves))
    assert count_params(encoder.params) == encoder.card.parameters
    assert not encoder.card.pretrained
    assert encoder.energy is None


@pytest.mark.slow
def test_forces_are_finite_and_sum_to_zero(params, rng):
    batch = collate([crystal(rng), MOLECULE, ATOM])

    def total(vectors):
        energies = sevennet.interaction_energy(params, {**batch, "vectors": vectors}, config=CONFIG)
        return jnp.sum(energies)

    gradient = np.asarray(jax.jit(jax.grad(total))(jnp.asarray(batch["vectors"])))
    assert np.isfinite(gradient).all()
    assert not gradient[~batch["edges_mask"]].any()
    assert np.abs(gradient).max() > 1e-4


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


# One of five here: the others compile the same code for other sizes.
CHOSEN = [
    pytest.param(name, marks=() if name == "sevennet-0-11jul2024" else pytest.mark.slow)
    for name in PRETRAINED
]


@pytest.mark.registry
@pytest.mark.parametrize("model_id", CHOSEN)
def test_embeddings_and_energies_agree_with_the_original(golden, model_id):
    encoder = ENTRIES[model_id].build(ENTRIES[model_id])
    structures = golden_structures(golden)
    examples = [encoder.featurize(s) for s in structures]
    (plan,) = encoder.batching.plan(examples)
    batch = encoder.batching.collate(examples, plan.shape)
    config = encoder.apply.keywords["config"]
    assert set(encoder.energy.reference) == set(config.elements)
    states, energies, pooled = run(encoder.params, batch, config)
    rows = np.asarray(pooled[-1])[: len(structures), ::8]
    assert_close(rows, golden[f"{model_id}_mean"], 1e-4)
    for number, structure in enumerate(structures):
        own = np.asarray(energies)[batch["graph"] == number].sum(dtype=np.float64)
        total = own + sum(encoder.energy.reference[int(z)] for z in structure.atomic_numbers)
        expected = golden[f"{model_id}_energy"][number]
        assert abs(total - expected) <= 1e-4 * len(structure.atomic_numbers)
    if model_id == "sevennet-0-11jul2024":
        layers = ("embedding", *(f"block_{n}" for n in range(1, sevennet.BLOCKS + 1)))
        for layer, state in zip(layers, states, strict=True):
            flat = np.asarray(sevennet.flatten_features(state))[: golden["atoms"].sum(), ::48]
            assert_close(flat, golden[layer], 1e-4)


def test_golden_file_says_how_it_was_made(golden):
    provenance = json.loads(str(golden["provenance"]))
    assert ENTRIES["sevennet-l3i5"].card.package_sha256 in provenance["archive"]
    assert provenance["float32"] <= 1e-4
    assert provenance["float64"] <= 1e-10
