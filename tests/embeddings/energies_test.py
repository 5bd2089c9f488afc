"""Energies: interaction from the device, atoms' own energies in float64; nodes one by one."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.embeddings.energies import NoEnergyError, structure_energies
from jaxalign.embeddings.nodes import node_embeddings
from jaxalign.embeddings.own_function import as_encoder
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, NodeFeatures, UnsupportedStructureError
from jaxalign.models.graph_packing import Field, GraphPacking, sum_atoms, unpack_atoms
from jaxalign.structures.structure import Structure, StructureSet


def features(params, batch, layer):
    return unpack_atoms(params * batch["z"][:, None], batch)


def interaction(params, batch):
    return sum_atoms(params * jnp.asarray(batch["z"]) ** 2, batch)


def check(structure):
    if 99 in structure.atomic_numbers:
        raise UnsupportedStructureError("foreign element")


def potential():
    """Feature of an atom: 2 Z; interaction energy: Σ 2 Z²; own energy: −1000.1 Z."""
    card = ModelCard(
        id="toy", name="toy", family="toy", modality="3d", pretrained=False, layers=("last",)
    )
    return Encoder(
        card=card,
        params=jnp.float32(2),
        featurize=lambda s: {"z": s.atomic_numbers.astype(np.float32)},
        batching=GraphPacking({"z": Field("atoms")}, {"atoms": 20}),
        apply=features,
        check=check,
        energy=EnergyModel(interaction, {z: -1000.1 * z for z in range(1, 99)}),
    )


@pytest.fixture
def structures(rng):
    sizes = [*rng.integers(1, 9, 30).tolist(), 50]
    return StructureSet(
        [
            Structure(id=f"s{i}", atomic_numbers=rng.integers(1, 99, size).astype(np.int32))
            for i, size in enumerate(sizes)
        ]
    )


def test_energies_keep_their_digits_and_resume(structures, tmp_path):
    options = {"store_path": tmp_path / "e", "progress": False, "chunk_rows": 8}
    energies = structure_energies(potential(), structures, **options)
    for row, structure in enumerate(structures):
        z = structure.atomic_numbers.astype(float)
        np.testing.assert_allclose(energies.interaction[row], (2 * z**2).sum(), rtol=1e-6)
        own = energies.total[row] - energies.interaction[row]
        np.testing.assert_allclose(own, -1000.1 * z.sum(), rtol=1e-12)
    assert energies.ids == structures.ids
    table = energies.table()
    np.testing.assert_allclose(table["energy_ev_per_atom"] * table["atoms"], energies.total)
    again = structure_energies(potential(), structures, **options)
    assert again.info["rows_computed"] == 0
    np.testing.assert_array_equal(again.total, energies.total)


def test_inputs_of_energies_may_differ_from_those_of_the_features(structures):
    encoder = potential()
    own = dataclasses.replace(
        encoder.energy, featurize=lambda s: {"z": np.ones(len(s.atomic_numbers), np.float32)}
    )
    energies = structure_energies(
        dataclasses.replace(encoder, energy=own), structures, progress=False
    )
    np.testing.assert_allclose(energies.interaction, 2 * energies.atoms)


def test_skipped_structures_are_listed_before_any_input_is_made(structures):
    bad = StructureSet([*structures, Structure(id="bad", atomic_numbers=np.array([99], np.int32))])
    with pytest.raises(UnsupportedStructureError, match="bad: foreign"):
        structure_energies(potential(), bad, progress=False)
    energies = structure_energies(potential(), bad, progress=False, on_error="skip")
    assert energies.ids == structures.ids
    assert energies.info["skipped"] == [{"id": "bad", "reason": "foreign element"}]


def test_models_without_energies_say_so(structures):
    with pytest.raises(NoEnergyError, match="predicts no energies"):
        structure_energies(as_encoder(lambda s: np.ones((len(s), 2))), structures)
    with pytest.raises(NoEnergyError):
        structure_energies(dataclasses.replace(potential(), energy=None), structures)


def test_nodes_are_those_of_each_structure(structures, tmp_path):
    nodes = node_embeddings(potential(), structures)
    assert isinstance(nodes.values, np.ndarray)
    for structure in structures:
        expected = 2 * structure.atomic_numbers[:, None].astype(np.float32)
        np.testing.assert_array_equal(nodes.of(structure.id), expected)
    nodes.save(tmp_path / "nodes.npz")
    with np.load(tmp_path / "nodes.npz") as file:
        np.testing.assert_array_equal(file["values"], nodes.values)
        assert tuple(file["ids"]) == structures.ids
    with pytest.raises(ValueError, match="no structure 'x'"):
        nodes.of("x")
    with pytest.raises(ValueError, match="no nodes"):
        node_embeddings(as_encoder(lambda s: np.ones((len(s), 2))), structures)


def test_features_of_masked_nodes_never_leave(structures):
    def poisoned(params, batch, layer):
        values, mask = features(params, batch, layer)
        return NodeFeatures(jnp.where(mask[..., None], values, jnp.nan), mask)

    nodes = node_embeddings(dataclasses.replace(potential(), apply=poisoned), structures)
    assert np.isfinite(nodes.values).all()
