"""What every network must do, whatever its architecture."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxalign.embeddings.extract import embed_structures
from jaxalign.learning.networks.architectures import ARCHITECTURES, build_network
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError
from tests.learning.networks.molecules import case, drawn_params, random_molecules

LINE = np.array([[0.0, 0, 0], [1.1, 0, 0], [2.2, 0, 0], [3.3, 0, 0]])
HOSTILE = (
    Structure("one atom", np.array([1], np.int32), np.zeros((1, 3)), smiles="[H]"),
    Structure("far apart", np.array([6, 8], np.int32), 7 * np.eye(3)[:2], smiles="C.O"),
    Structure("on the cutoff", np.array([6, 8], np.int32), np.diag([5.0, 0, 0])[:2], smiles="[Xe]"),
    Structure("collinear", np.array([1, 6, 6, 94], np.int32), LINE, smiles="C#C"),
    Structure("far away", np.array([6, 1], np.int32), LINE[:2] + 1e5, smiles="CC"),
)
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@every_architecture
def test_rows_do_not_depend_on_batch_or_bucket(architecture, rng):
    it, structures = case(architecture), random_molecules(rng)
    params = drawn_params(it.network, rng)
    together = it.run(params, it.batch(structures))
    alone = [it.run(params, it.batch([structure])) for structure in structures]
    for joint, single in zip(together, zip(*alone, strict=True), strict=True):
        assert np.isfinite(joint).all()
        single = np.stack([rows[0] for rows in single])
        np.testing.assert_allclose(joint[:4], single, rtol=1e-5, atol=1e-5)
    assert np.ptp(together[0][:4], axis=0).max() > 1e-3
    assert np.ptp(together[1][:4]) > 1e-3
    # Through `embed`, in a bucket of another size.
    encoder = it.network.encoder(params, id="mine@3", training_data="nothing")
    embeddings = embed_structures(encoder, structures, progress=False)
    assert (embeddings.card.id, embeddings.card.training_data) == ("mine@3", "nothing")
    assert embeddings.values.shape == (4, it.network.card.width)
    np.testing.assert_allclose(embeddings.values, together[0][:4], rtol=1e-5, atol=1e-5)


def test_starts_from_the_key_alone_and_predicts_zero(rng):
    it = case("invariant")
    params, again = (it.network.init(jax.random.key(5)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, params, again)
    other = it.network.init(jax.random.key(6))
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (params, other))))
    np.testing.assert_array_equal(it.run(params, it.batch(random_molecules(rng)))[1], 0)


@every_architecture
def test_gradients_are_finite_on_hostile_structures(architecture, rng):
    it = case(architecture)
    params, batch = drawn_params(it.network, rng), it.batch(HOSTILE)
    # Through what embeddings are made of, too: it is all that the readout reads.
    gradient = jax.grad(lambda params, batch: jnp.sum(it.network.predict(params, batch) ** 2))
    gradients = jax.jit(gradient)(params, batch)
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all()


def test_devices_may_share_the_slots(rng):
    it = case("invariant")
    params = drawn_params(it.network, rng)
    halves = [it.batch(random_molecules(rng)) for _ in range(2)]
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    data = PartitionSpec("data")

    def own(params, batch):
        return it.network.predict(params, {name: array[0] for name, array in batch.items()})

    specs = {"in_specs": (PartitionSpec(), data), "out_specs": data, "check_vma": False}
    shared = jax.jit(jax.shard_map(own, mesh=mesh, **specs))
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *halves)
    expected = np.concatenate([it.run(params, half)[1] for half in halves])
    np.testing.assert_allclose(shared(params, stacked), expected, rtol=1e-5, atol=1e-5)


@every_architecture
def test_gives_every_layer_and_no_other(architecture, rng):
    it = case(architecture)
    params, card = drawn_params(it.network, rng), it.network.card
    batch = it.batch(random_molecules(rng))
    assert card.layer == card.layers[-1]
    for layer in card.layers:
        features = functools.partial(it.network.features, layer=layer)
        shapes = jax.eval_shape(features, params, batch)
        assert shapes.values.shape == (*batch["mask"].shape, card.width)
    with pytest.raises(ValueError, match=f"'block_9' of this network; .*{card.layer}"):
        it.network.features(params, batch, "block_9")


@every_architecture
def test_one_shape_holds_every_minibatch(architecture, rng):
    network = case(architecture).network
    examples = [network.featurize(s) for s in random_molecules(rng, sizes=rng.integers(1, 12, 9))]
    shape = network.minibatch_shape(examples, 3)
    seen = set()
    for _ in range(9):
        batch = network.batching.collate([examples[i] for i in rng.choice(9, 3)], shape)
        seen.add(tuple((name, array.shape, array.dtype) for name, array in batch.items()))
    assert len(seen) == 1
    with pytest.raises(ValueError, match="0 examples and size 3"):
        network.minibatch_shape([], 3)


@every_architecture
def test_id_and_settings_tell_networks_apart(architecture):
    first, *others = (
        build_network(architecture, width=width, depth=depth)
        for width, depth in ((8, 2), (8, 1), (16, 2))
    )
    known = case(architecture)
    ids = [network.card.id for network in (first, *others)]
    assert ids == [f"{architecture}-{size}" for size in ("8x2", "8x1", "16x2")]
    assert first.settings == known.network.settings
    assert first.features is known.network.features  # found again in compilation caches
    assert len({network.card.parameters for network in (first, *others)}) == 3
    shapes = jax.eval_shape(first.init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == first.card.parameters


def test_settings_that_are_no_defaults_are_in_the_id():
    network = build_network("invariant", width=8, depth=1, cutoff=4.5, radial=8)
    assert network.card.id == "invariant-8x1-cutoff4.5"
    assert network.settings == {
        **{"architecture": "invariant", "width": 8, "depth": 1},
        **{"cutoff": 4.5, "radial": 8},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "mlp"}, "'mlp'; pass one of invariant, equivariant, dmpnn, transformer"),
        ({"width": 0}, "width of a network must be an integer of at least 1: got 0"),
        ({"depth": 1.0}, "depth of a network must be an integer of at least 1: got 1.0"),
        ({"depth": True}, "got True"),
        ({"cutoff": float("nan")}, "cutoff of a network must be a positive number: got nan"),
        ({"radial": 2.5}, "radial of a network must be an integer"),
        ({"colour": 3}, "invariant has no setting 'colour'; .* there is: cutoff, radial"),
        ({"architecture": "equivariant", "width": 3}, "got width 3; take at least 4"),
        ({"architecture": "transformer", "width": 12}, "width 12 and 4 heads; .* multiple of 8"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        build_network(**{"architecture": "invariant", "width": 8, "depth": 1} | settings)


def test_names_the_extra_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "e3nn_jax", None)
    with pytest.raises(JaxalignError, match=r"e3nn-jax.*pip install 'jaxalign\[learning\]'"):
        build_network("equivariant", width=8, depth=1)
