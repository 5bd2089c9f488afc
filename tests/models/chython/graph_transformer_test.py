import jax
import numpy as np
import pytest
from rdkit import Chem
from scipy.special import erf, softmax

from jaxalign.models.chython import catalog_chython, graph_transformer, transformer_weights
from jaxalign.models.chython.graph_transformer import LAYERS
from jaxalign.models.chython.reaction_tokens import collate_reactions, featurize_reaction
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import pool
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

ENTRIES = {entry.card.id: entry for entry in catalog_chython.ENTRIES}
STRINGS = ("C", "[Na+].[Cl-]", "CC(=O)Oc1ccccc1", "CC(=O)O.CN>O>CC(=O)NC.O", "C>>", "C>>CO")
WIDTH, INNER = 64, 48
BUCKET = 16

states_of = jax.jit(lambda params, batch: graph_transformer.hidden_states(params, batch)[0])
apply = jax.jit(graph_transformer.apply_transformer, static_argnums=2)


def draw(rng):
    """Random weights of a narrow network, in the layout of the original's file."""
    tables = {"atoms": (121, WIDTH), "neighbors": (17, WIDTH), "spatial": (13, 16)}
    tables |= {"role": (4, WIDTH)}
    weights = {f"{name}_encoder.weight": rng.standard_normal(s) for name, s in tables.items()}
    weights["spatial_encoder.weight"][0] = -np.inf
    weights["role_encoder.weight"][0] = 0
    numbers = {"mol_layer": (1582, 1590, 1591, 1592), "rxn_layer": (1675, 1683, 1684, 1685)}
    shapes = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH))
    names = ("self_attn.qkv_proj", "self_attn.o_proj", "linear1", "linear2")
    for layer, matrices in numbers.items():
        for number, name, shape in zip(matrices, names, shapes, strict=True):
            matrix = rng.standard_normal(shape) / np.sqrt(shape[0])
            weights[f"onnx::MatMul_{number}"] = matrix
            weights[f"{layer}.{name}.bias"] = rng.standard_normal(shape[1]) / 10
        for norm in (1, 2):
            weights[f"{layer}.norm{norm}.weight"] = 1 + rng.standard_normal(WIDTH) / 10
            weights[f"{layer}.norm{norm}.bias"] = rng.standard_normal(WIDTH) / 10
    return {name: value.astype(np.float32) for name, value in weights.items()}


@pytest.fixture(scope="module")
def weights():
    return draw(np.random.default_rng(5))


@pytest.fixture(scope="module")
def params(weights):
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(transformer_weights, "HIDDEN", WIDTH)
        context.setattr(transformer_weights, "INTERMEDIATE", INNER)
        return transformer_weights.convert_params(weights)


def examples(strings):
    return [featurize_reaction(Structure(id=s, smiles=s)) for s in strings]


def collate(strings, rows=8):
    return collate_reactions(examples(strings), BUCKET, rows)


def original_tokens(smiles):
    """The original's layout, with a token for the reaction in front."""
    sides = [part.split(".") if part else [] for part in smiles.split(">")[::2]]
    sides = sides if ">" in smiles else [[smiles], []]
    atoms, neighbors, roles, blocks = [0], [0], [1], [np.ones((1, 1), int)]
    for role, side in zip((2, 3), sides, strict=True):
        for molecule in map(Chem.MolFromSmiles, side):
            own = [molecule.GetAtomWithIdx(i) for i in range(molecule.GetNumAtoms())]
            atoms += [1, *(atom.GetAtomicNum() + 2 for atom in own)]
            neighbors += [0, *(atom.GetDegree() + atom.GetTotalNumHs() + 2 for atom in own)]
            roles += [0, *[role] * len(own)]
            block = np.ones((len(own) + 1, len(own) + 1), int)
            for one in own:
                for other in own:
                    ends = one.GetIdx(), other.GetIdx()
                    path = ends[:1] if ends[0] == ends[1] else Chem.GetShortestPath(molecule, *ends)
                    if path:
                        block[ends[0] + 1, ends[1] + 1] = min(len(path) - 1, 10) + 2
            blocks.append(block)
    distances = np.zeros((len(atoms), len(atoms)), int)
    start = 0
    for block in blocks:
        stop = start + len(block)
        distances[start:stop, start:stop] = block
        start = stop
    return np.array(atoms), np.array(neighbors), np.array(roles), distances


def oracle(weights, smiles):
    """All states of all tokens of the original's layout, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    atoms, neighbors, roles, distances = original_tokens(smiles)

    def norm(name, x):
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def update(layer, numbers, x, bias):
        joined = x @ w[f"onnx::MatMul_{numbers[0]}"] + w[f"{layer}.self_attn.qkv_proj.bias"]
        attended = []
        for head, own in enumerate(np.split(np.arange(WIDTH), len(bias))):
            query, key, value = (joined[:, own + part * WIDTH] for part in range(3))
            logits = query @ key.T / np.sqrt(len(own)) + bias[head]
            attended.append(softmax(logits, axis=1) @ value)
        output = np.concatenate(attended, axis=1) @ w[f"onnx::MatMul_{numbers[1]}"]
        x = norm(f"{layer}.norm1", x + output + w[f"{layer}.self_attn.o_proj.bias"])
        inner = x @ w[f"onnx::MatMul_{numbers[2]}"] + w[f"{layer}.linear1.bias"]
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        inner = inner @ w[f"onnx::MatMul_{numbers[3]}"] + w[f"{layer}.linear2.bias"]
        return norm(f"{layer}.norm2", x + inner)

    x = w["atoms_encoder.weight"][atoms] + w["neighbors_encoder.weight"][neighbors]
    bias = np.moveaxis(w["spatial_encoder.weight"][distances], -1, 0)
    molecule, reaction = [x], []
    for _ in range(8):
        molecule.append(update("mol_layer", (1582, 1590, 1591, 1592), molecule[-1], bias))
    x = molecule[-1] * (roles > 1)[:, None] + w["role_encoder.weight"][roles]
    bias = np.tile(np.where(roles == 0, -np.inf, 0), (4, 1, 1))
    reaction = [x]
    for _ in range(7):
        reaction.append(update("rxn_layer", (1675, 1683, 1684, 1685), reaction[-1], bias))
    return molecule, reaction


@pytest.mark.slow
def test_states_follow_the_definition(weights, params):
    states = states_of(params, collate(STRINGS))
    for row, smiles in enumerate(STRINGS):
        molecule, reaction = oracle(weights, smiles)
        count = len(molecule[0]) - 1
        for found, expected in zip(states.molecule, molecule, strict=True):
            np.testing.assert_allclose(found[row, :count], expected[1:], atol=1e-4)
        for found, expected in zip(states.reaction, reaction, strict=True):
            kept = np.delete(expected, 1, axis=0)
            np.testing.assert_allclose(found[row, :count], kept, atol=1e-4)


@pytest.mark.parametrize("layer", [None, "embedding", "molecule_3", "reaction_2"])
def test_layers_are_those_states(params, layer):
    batch = collate(STRINGS)
    states = states_of(params, batch)
    features = apply(params, batch, layer)
    number = LAYERS.index(layer or "molecule_8")
    expected = states.reaction[number - 8] if number > 8 else states.molecule[number]
    np.testing.assert_allclose(features.values, expected[:, 1:], atol=1e-5)
    atoms = [sum(example["roles"] > 1) for example in examples(STRINGS)]
    assert features.mask.sum(axis=1).tolist() == [*atoms, 0, 0]
    assert np.isfinite(features.values).all()


def test_a_foreign_layer_is_refused(params):
    with pytest.raises(ValueError, match="reaction_7"):
        graph_transformer.apply_transformer(params, {}, "reaction_8")


def test_company_and_order_of_atoms_do_not_matter(params, rng):
    def pooled(strings):
        return np.asarray(pool(apply(params, collate(strings), None), "mean"))[: len(strings)]

    expected = np.concatenate([pooled([smiles]) for smiles in STRINGS])
    order = rng.permutation(len(STRINGS))
    np.testing.assert_allclose(pooled([STRINGS[i] for i in order]), expected[order], atol=1e-5)
    molecule = Chem.MolFromSmiles(STRINGS[2])
    numbers = rng.permutation(molecule.GetNumAtoms()).tolist()
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, numbers), canonical=False)
    np.testing.assert_allclose(pooled([shuffled])[0], expected[2], atol=1e-5)
    # The card warns: charges and bond orders are not seen, numbers of hydrogens are.
    rows = pooled(["[Na+].[Cl-]", "[Na].[Cl]", "CO", "CN"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert np.abs(rows[2] - rows[3]).max() > 1e-3


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = ENTRIES["chython-rxnmap-random"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    assert not entry.card.pretrained
    assert entry.archives == ()
    twice = transformer_weights.init_params(0)
    assert all(map(np.array_equal, jax.tree.leaves(encoder.params), jax.tree.leaves(twice)))
    with pytest.raises(UnsupportedStructureError, match="SMILES"):
        encoder.check(Structure(id="x", smiles="c1cccc1"))


def test_buckets_hold_their_batches_and_grow():
    entry = ENTRIES["chython-rxnmap"]
    batching = graph_transformer.reaction_encoder(entry.card, {}).batching
    assert list(batching.buckets) == sorted(set(batching.buckets))
    long = examples(["C" * 300])
    (plan,) = batching.plan(long)
    assert plan.shape == (512, 1)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(WeightsError, match="atoms_encoder"):
        transformer_weights.convert_params({})
    with pytest.raises(WeightsError, match="no place"):
        transformer_weights.convert_params({**weights, "another": np.zeros(2)})
    with pytest.raises(WeightsError, match=r"\(121, 1024\)"):
        transformer_weights.convert_params(weights)


def test_a_table_of_distances_that_masks_nothing_is_refused(weights, monkeypatch):
    monkeypatch.setattr(transformer_weights, "HIDDEN", WIDTH)
    monkeypatch.setattr(transformer_weights, "INTERMEDIATE", INNER)
    table = np.zeros((13, 16), np.float32)
    with pytest.raises(WeightsError, match="first row"):
        transformer_weights.convert_params({**weights, "spatial_encoder.weight": table})


@pytest.mark.registry
def test_real_weights_fit():
    entry = ENTRIES["chython-rxnmap"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(encoder.params))
