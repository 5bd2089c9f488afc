"""UniRep against its equations in NumPy float64, on random and on real weights."""

import jax
import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.unirep.catalog_unirep import ENTRIES
from jaxalign.models.unirep.unirep import (
    TOKENS,
    UniRepConfig,
    apply_unirep,
    convert_params,
    init_params,
    unirep_encoder,
)
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

SMALL = UniRepConfig(width=6, cells=3)
SINGLE_CELL = UniRepConfig(width=5, cells=1)
SEQUENCES = ("MKT", "X", "ACDEFGHIKLMNPQRSTVWY", "UOBZJ")
CATALOG = {entry.card.id: entry for entry in ENTRIES}
# The alphabet of the published weights, written out a second time.
ALPHABET = {letter: number for number, letter in enumerate("-MRHKDESTNQCUGPAVIFYWLO")}
ALPHABET |= dict.fromkeys("XBZJ", 23)


def published(config, rng):
    """Random arrays under the published names, with the head that the port leaves out."""
    arrays = {"embedding": rng.normal(size=(26, 10)), "dense.w": np.ones((2, 2)), "dense.b": 1.0}
    for number in range(config.cells):
        inputs, d = (config.width if number else 10), config.width
        for name, shape in {
            "wx": (inputs, 4 * d),
            "wh": (d, 4 * d),
            "wmx": (inputs, d),
            "wmh": (d, d),
        }.items():
            arrays[f"mlstm.{number}.{name}"] = rng.normal(size=shape)
            arrays[f"mlstm.{number}.{name.replace('w', 'g')}"] = rng.normal(1, 0.3, shape[1])
        arrays[f"mlstm.{number}.b"] = rng.normal(size=4 * d)
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def oracle(arrays, cells, sequence):
    """All layers of one chain, residue by residue, in float64."""
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    x = arrays["embedding"][[24, *(ALPHABET[letter] for letter in sequence)]]
    layers = {"embedding": x}
    for number in range(cells):
        cell = {
            k.rsplit(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"mlstm.{number}.")
        }
        wx, wh, wmx, wmh = (
            cell[w] / np.linalg.norm(cell[w], axis=0) * cell[w.replace("w", "g")]
            for w in ("wx", "wh", "wmx", "wmh")
        )
        h, c, hidden, memory = np.zeros(len(wmh)), np.zeros(len(wmh)), [], []
        for row in x:
            z = row @ wx + ((row @ wmx) * (h @ wmh)) @ wh + cell["b"]
            i, f, o = (1 / (1 + np.exp(-part)) for part in np.split(z, 4)[:3])
            c = f * c + i * np.tanh(np.split(z, 4)[3])
            h = o * np.tanh(c)
            hidden.append(h)
            memory.append(c)
        x = np.stack(hidden)
        layers |= {f"layer_{number + 1}": x, f"cell_{number + 1}": np.stack(memory)}
    return layers | {"final_hidden": x[-1:], "final_cell": memory[-1][None]}


def some_layers(config, params, sequences, names, *, bucket=24, rows=None):
    examples = [TOKENS.encode(sequence) for sequence in sequences]
    batch = TOKENS.batching(lambda bucket: 1).pad(examples, bucket, rows or len(examples))
    run = jax.jit(lambda p, b: {name: apply_unirep(config, p, b, name) for name in names})
    return jax.tree.map(np.asarray, run(params, batch))


def require_agreement(features, arrays, config, sequences, tolerance):
    for row, sequence in enumerate(sequences):
        wanted = oracle(arrays, config.cells, sequence)
        for name, (values, mask) in features.items():
            came = values[row][mask[row]]
            assert came.shape == wanted[name].shape, name
            assert np.abs(came - wanted[name]).max() <= tolerance * np.abs(wanted[name]).max(), name


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (SMALL, ("embedding", "layer_1", "layer_3", "cell_2", "final_cell")),
        (SINGLE_CELL, ("layer_1", "cell_1", "final_hidden")),
    ],
    ids=["stacked", "single"],
)
def test_layers_follow_the_equations(config, names, rng):
    """In a padded batch with an empty slot, whose rows know nothing of each other."""
    arrays = published(config, rng)
    features = some_layers(config, convert_params(config, arrays), SEQUENCES, names, rows=5)
    require_agreement(features, arrays, config, SEQUENCES, 1e-4)
    assert all(np.isfinite(values).all() for values, _ in features.values())
    assert not any(mask[4].any() for _, mask in features.values())


def test_float64_agrees_to_rounding(rng):
    arrays = published(SMALL, rng)
    params = jax.tree.map(lambda p: p.astype(np.float64), convert_params(SMALL, arrays))
    with jax.enable_x64(True):
        features = some_layers(SMALL, params, SEQUENCES[:2], (SMALL.last_layer,))
    assert features[SMALL.last_layer].values.dtype == np.float64
    require_agreement(features, arrays, SMALL, SEQUENCES[:2], 1e-11)


def test_conversion_names_what_is_wrong(rng):
    arrays = published(SMALL, rng)
    with pytest.raises(WeightsError, match=r"no array 'mlstm\.3\.b'"):
        convert_params(UniRepConfig(width=6, cells=4), arrays)
    with pytest.raises(WeightsError, match=r"mlstm\.2\."):
        convert_params(UniRepConfig(width=6, cells=2), arrays)
    with pytest.raises(WeightsError, match=r"\['deeper'\]\['b'\] has shape \(2, 24\)"):
        convert_params(UniRepConfig(width=7, cells=3), arrays)


def test_a_foreign_layer_is_refused():
    batch = {"ids": np.zeros((1, 2), np.int32), "mask": np.ones((1, 2), bool)}
    with pytest.raises(ValueError, match=r"layer_4.*layer_3"):
        apply_unirep(SMALL, init_params(SMALL, seed=0), batch, "layer_4")


def small_encoder():
    names = SMALL.layer_names
    facts = {"family": "UniRep", "modality": "protein-sequence", "pretrained": False}
    card = ModelCard(id="small", name="small", layer=SMALL.last_layer, layers=names, **facts)
    return unirep_encoder(card, SMALL, init_params(SMALL, seed=1))


def test_chains_of_any_length_are_taken_whole(rng):
    """A row depends on its chain alone; none is cut, and residues beyond the twenty are counted."""
    chain = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 10_000))
    structures = [Structure(id="long", sequence=chain), Structure(id="short", sequence="mkXt")]
    found = embed_structures(small_encoder(), structures, progress=False)
    alone = embed_structures(small_encoder(), structures[1:], progress=False)
    np.testing.assert_allclose(found.values[1], alone.values[0], rtol=0, atol=1e-6)
    assert np.isfinite(found.values).all()
    assert found.info["unknown_tokens"] == 1
    assert not int(TOKENS.encode(chain)["truncated"])


@pytest.mark.parametrize(
    ("sequence", "message"), [(None, "has none"), ("", "an empty one"), ("MK-T*", r"'\*', '-'")]
)
def test_bad_input(sequence, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        small_encoder().featurize(Structure(id="x", sequence=sequence))


def test_random_twin_is_seeded_and_its_card_says_so():
    entry = CATALOG["unirep-64-random"]
    one, other = (entry.build(entry).params for _ in range(2))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert count_params(one) == entry.card.parameters == CATALOG["unirep-64"].card.parameters
    assert (entry.card.package, entry.archives) == (None, ())


@pytest.mark.registry
@pytest.mark.parametrize("width", [64, 256, 1900])
def test_real_weights_follow_the_equations(width):
    """The weights are not free for all uses: no activations are kept; the equations judge."""
    entry = CATALOG[f"unirep-{width}"]
    encoder = entry.build(entry)
    assert count_params(encoder.params) == entry.card.parameters
    params = jax.tree.map(np.asarray, encoder.params)
    cells = [
        params["first"],
        *(
            {name: p[n] for name, p in params["deeper"].items()}
            for n in range(len(params.get("deeper", {"b": ()})["b"]))
        ),
    ]
    arrays = {f"mlstm.{n}.{name}": p for n, cell in enumerate(cells) for name, p in cell.items()}
    arrays["embedding"] = params["embedding"]
    config = UniRepConfig(width=width, cells=len(cells))
    features = some_layers(config, encoder.params, SEQUENCES[:1], (config.last_layer,), bucket=6)
    require_agreement(features, arrays, config, SEQUENCES[:1], 1e-5)
