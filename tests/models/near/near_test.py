"""NEAR against its equations in NumPy float64, on random and on real weights."""

import jax
import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.near.catalog_near import ENTRIES
from jaxalign.models.near.near import LAYERS, TOKENS, apply_near, convert_params
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

SEQUENCES = ("MKTXUAY", "X", "ACDEFGHIKLMNPQRSTVWY", "OZBJ")
CHECKED = ("embedding", "block_1", "block_8")
CATALOG = {entry.card.id: entry for entry in ENTRIES}
# The alphabet of the published weights, written out a second time; O and Z have no row.
ALPHABET = {letter: number for number, letter in enumerate("XARNDCEQGHILKMFPSTWYV")}
ALPHABET |= dict.fromkeys("UBJ", 0)


@pytest.fixture(scope="module")
def arrays():
    """Random arrays under the published names."""
    rng = np.random.default_rng(5)
    arrays = {"in_symbols": np.float32(25), "embedding_layer.weight": rng.normal(size=(256, 25))}
    for number in range(8):
        for name in ("conv1", "conv2"):
            arrays[f"conv_layers.{number}.{name}.weight"] = rng.normal(0, 0.02, (256, 256, 7))
            arrays[f"conv_layers.{number}.{name}.bias"] = rng.normal(0, 0.2, 256)
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def oracle(arrays, sequence):
    """All layers of one chain, tap by tap, in float64."""
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    table = arrays["embedding_layer.weight"].T
    rows = [table[ALPHABET[s]] if s in ALPHABET else np.zeros(256) for s in sequence]
    x = np.stack(rows)
    layers = {"embedding": x}
    for number in range(8):
        y = x
        for name in ("conv1", "conv2"):
            weight, bias = (arrays[f"conv_layers.{number}.{name}.{k}"] for k in ("weight", "bias"))
            padded = np.pad(np.where(y > 0, y, np.expm1(np.minimum(y, 0))), ((3, 3), (0, 0)))
            y = bias + sum(padded[t : t + len(x)] @ weight[:, :, t].T for t in range(7))
        x = x + y
        layers[f"block_{number + 1}"] = x
    return layers


def states(params, sequences, *, bucket=22, rows=None):
    examples = [TOKENS.encode(sequence) for sequence in sequences]
    batch = TOKENS.batching(lambda bucket: 1).pad(examples, bucket, rows or len(examples))
    run = jax.jit(lambda p, b: {name: apply_near(p, b, name) for name in CHECKED})
    return jax.tree.map(np.asarray, run(params, batch))


def require_agreement(features, arrays, sequences, tolerance):
    for row, sequence in enumerate(sequences):
        wanted = oracle(arrays, sequence)
        for name, (values, mask) in features.items():
            error = np.abs(values[row][mask[row]] - wanted[name]).max()
            assert error <= tolerance * max(1, np.abs(wanted[name]).max()), (sequence, name)


def test_layers_follow_the_equations(arrays):
    """In a padded batch with an empty slot: what lies beyond a chain is zero for every layer."""
    features = states(convert_params(arrays), SEQUENCES, rows=5)
    require_agreement(features, arrays, SEQUENCES, 1e-5)
    for values, mask in features.values():
        assert not values[~mask].any()
        assert not mask[4].any()


def test_float64_agrees_to_rounding(arrays):
    params = jax.tree.map(lambda p: p.astype(np.float64), convert_params(arrays))
    with jax.enable_x64(True):
        features = states(params, SEQUENCES[:2])
    assert features["block_8"].values.dtype == np.float64
    require_agreement(features, arrays, SEQUENCES[:2], 1e-12)


def test_conversion_names_what_is_wrong(arrays):
    missing = {k: v for k, v in arrays.items() if k != "conv_layers.7.conv2.bias"}
    with pytest.raises(WeightsError, match=r"no array 'conv_layers\.7\.conv2\.bias'"):
        convert_params(missing)
    with pytest.raises(WeightsError, match=r"conv_layers\.8"):
        convert_params(arrays | {"conv_layers.8.conv1.bias": np.zeros(256, np.float32)})
    wrong = {"embedding_layer.weight": np.zeros((256, 21), np.float32)}
    with pytest.raises(WeightsError, match=r"\['embedding'\] has shape \(21, 256\)"):
        convert_params(arrays | wrong)


def test_company_does_not_matter_and_foreign_letters_are_counted():
    entry = CATALOG["near-random"]
    encoder = entry.build(entry)
    structures = [Structure(id=s, sequence=s) for s in ("MKTAYIAKQRQ", "mkX", "MKO")]
    found = embed_structures(encoder, structures, progress=False)
    alone = embed_structures(encoder, structures[:1], progress=False)
    np.testing.assert_allclose(found.values[0], alone.values[0], rtol=0, atol=1e-6)
    assert np.abs(found.values[1] - found.values[2]).max() > 1e-3
    assert found.info["unknown_tokens"] == 2


def test_chains_of_any_length_have_a_bucket(rng):
    entry = CATALOG["near-random"]
    batching = entry.build(entry).batching
    example = TOKENS.encode("".join(rng.choice(list("ACDW"), 10_000)))
    assert len(example["ids"]) == 10_000
    assert not int(example["truncated"])
    (plan,) = batching.plan([example])
    assert plan.shape == (16_384, 1)


def test_bad_input():
    batch = {"ids": np.zeros((1, 2), np.int32), "mask": np.ones((1, 2), bool)}
    with pytest.raises(ValueError, match=r"block_9.*block_8"):
        apply_near({}, batch, "block_9")
    for sequence, message in (
        (None, "has none"),
        ("", "an empty one"),
        ("MK T", "no letters: ' '"),
    ):
        with pytest.raises(UnsupportedStructureError, match=message):
            TOKENS.featurize(Structure(id="x", sequence=sequence))


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = CATALOG["near-random"]
    one, other = (entry.build(entry).params for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert count_params(one) == entry.card.parameters == CATALOG["near"].card.parameters
    assert (entry.card.package, entry.archives) == (None, ())
    assert entry.card.layers == LAYERS


@pytest.mark.registry
def test_real_weights_follow_the_equations():
    """The package is under the GPL: no activations are kept, the equations are the judge."""
    entry = CATALOG["near"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    params = jax.tree.map(np.asarray, encoder.params)
    arrays = {"embedding_layer.weight": params["embedding"].T}
    for name, linear in params["blocks"].items():
        for number in range(8):
            kernel = linear["kernel"][number].transpose(2, 1, 0)
            arrays[f"conv_layers.{number}.{name}.weight"] = kernel
            arrays[f"conv_layers.{number}.{name}.bias"] = linear["bias"][number]
    require_agreement(states(encoder.params, SEQUENCES, rows=5), arrays, SEQUENCES, 1e-5)
