"""Encoders over several devices: the same rows whoever computes them, one compilation a bucket."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxalign.embeddings import preparation, rows
from jaxalign.embeddings.extract import NonFiniteEmbeddingError, embed_structures
from jaxalign.embeddings.heads import compiled_head
from jaxalign.embeddings.own_function import as_encoder
from jaxalign.embeddings.sources import StoredEmbeddings
from jaxalign.embeddings.store import open_store
from jaxalign.models.ani import ani
from jaxalign.models.card import ModelCard
from jaxalign.models.dmpnn import dmpnn
from jaxalign.models.language import albert_bert, transformer
from jaxalign.models.language.tokens import SmilesTokenizer
from jaxalign.parallel import mesh as mesh_module
from jaxalign.parallel.mesh import make_mesh
from jaxalign.structures.datasets import load_dataset
from tests.embeddings import toys


def bert(card):
    config = transformer.TransformerConfig(
        vocabulary=40, hidden=32, depth=2, heads=4, intermediate=64
    )
    signs = [*"CNOFcno12345()=#-+./\\", "[nH]", "[C@H]", "[C@@H]"]
    tokenizer = SmilesTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs])
    params = transformer.init_params(config, seed=0)
    return albert_bert.bert_encoder(card, config, params, tokenizer.featurize)


ENCODERS = {
    "bert": bert,
    "dmpnn": lambda card: dmpnn.graph_encoder(card, dmpnn.init_params(0)),
    "ani": lambda card: ani.atom_encoder(card, ani.init_params(0)),
}


def twin(name):
    """A random twin with one bucket and small batches: few compilations, many batches."""
    facts = {"bert": ("string", 32), "dmpnn": ("graph", 10), "ani": ("atoms", 32)}
    modality, bucket = facts[name]
    card = ModelCard(id=name, name=name, family=name, modality=modality, pretrained=False)
    encoder = ENCODERS[name](card)
    one = dataclasses.replace(encoder.batching, buckets=(bucket,), batch_size=lambda bucket: 4)
    return dataclasses.replace(encoder, batching=one)


@pytest.fixture(scope="module")
def molecules():
    return load_dataset("qm9", n=50, seed=3, elements=["H", "C", "N", "O"])


@pytest.fixture
def strings(rng):
    return toys.strings(100, int(rng.integers(2**31)))


def embed(encoder, structures, count=None, **options):
    mesh = None if count is None else make_mesh(jax.devices()[:count])
    return embed_structures(encoder, structures, progress=False, mesh=mesh, **options)


def check_devices(encoder, structures, counts):
    """Rows of one device and of several, and one compilation for each number of devices."""
    alone = embed(encoder, structures, 1, chunk_rows=20)
    # Rows that could not be told apart would prove nothing.
    assert len(np.unique(alone.values.round(4), axis=0)) > 30
    for count in counts:
        result = embed(encoder, structures, count, chunk_rows=20)
        assert result.info["compilations"] == 1
        np.testing.assert_allclose(result.values, alone.values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_networks_do_not_depend_on_the_number_of_devices(molecules, name):
    check_devices(twin(name), molecules, [8])


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_networks_do_not_depend_on_further_numbers_of_devices(molecules, name):
    check_devices(twin(name), molecules, [2, 4])


def test_rows_are_right_on_any_number_of_devices(strings, tmp_path):
    compiled_head.cache_clear()  # other tests compile this network too
    encoder, found = toys.toy(), {}
    for count in (1, 2, 4, 8):
        # Chunks that the devices do not divide, buckets that fill no group of batches.
        result = embed(encoder, strings, count, chunk_rows=11, store_path=tmp_path / str(count))
        assert result.info["compilations"] == 3
        assert result.info["rows_computed"] == 100
        np.testing.assert_allclose(result.values, toys.expected(strings), rtol=1e-5)
        found[count] = result.values.tobytes()
    assert len(set(found.values())) == 1
    # One store, begun on one device and resumed on many.
    store = open_store(tmp_path / "1")
    store.revoke(*range(22, 77, 11))
    resumed = embed(encoder, strings, 8, chunk_rows=11, store_path=tmp_path / "1")
    assert (resumed.info["rows_computed"], resumed.info["compilations"]) == (55, 0)
    assert resumed.values.tobytes() == found[1]


def test_devices_are_used_where_there_is_enough_to_do(strings, monkeypatch):
    used = []
    real = rows.NetworkRows.__init__

    def spy(self, *args, mesh, **options):
        used.append(mesh.size)
        real(self, *args, mesh=mesh, **options)

    monkeypatch.setattr(rows.NetworkRows, "__init__", spy)
    encoder = toys.toy()
    embed(encoder, strings)
    monkeypatch.setattr(preparation, "_LEAST_ROWS", 30)
    monkeypatch.setattr(mesh_module, "LEAST_ROWS", 10)
    embed(encoder, strings)
    assert used == [1, 3]
    with pytest.raises(ValueError, match=r"8 devices for 5 structures"):
        embed(encoder, strings[:5], 8)


def test_a_failure_on_a_device_names_the_structures(strings, tmp_path):
    bad = toys.toy(poison=["s3", "s40", "s41"])
    with pytest.raises(NonFiniteEmbeddingError, match=r"for 2 structures \(s40, s41\)"):
        embed(bad, strings[20:], 4, chunk_rows=10, store_path=tmp_path / "s")
    assert open_store(tmp_path / "s").pending()[0] == (20, 30)


def test_rows_may_stay_in_the_store(strings, tmp_path):
    encoder = as_encoder(lambda structures: [[len(s.smiles), 1.0] for s in structures])
    for computed in (100, 0):
        kept = embed(encoder, strings, store_path=tmp_path / "s", chunk_rows=30, in_memory=False)
        assert isinstance(kept, StoredEmbeddings)
        assert kept.info["rows_computed"] == computed
        np.testing.assert_array_equal(kept.raw.read(0, 100)[:, 0], [len(s.smiles) for s in strings])
    with pytest.raises(ValueError, match="pass store_path"):
        embed(encoder, strings, in_memory=False)
