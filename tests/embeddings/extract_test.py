"""Extraction: order, batching independence, bounded compilation, resuming, refusals."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.embeddings.extract import NonFiniteEmbeddingError, embed_structures
from jaxalign.embeddings.own_function import as_encoder
from jaxalign.embeddings.store import EmbeddingStore, EmbeddingStoreError, open_store
from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import (
    Encoder,
    HostEncoder,
    NodeFeatures,
    UnsupportedStructureError,
)
from jaxalign.structures.structure import Structure, StructureSet

CARD = ModelCard(
    id="toy",
    name="Toy",
    family="toy",
    modality="string",
    pretrained=False,
    layer="second",
    layers=("first", "second"),
)


def _featurize(structure):
    if structure.smiles is None or "X" in structure.smiles:
        raise UnsupportedStructureError(f"foreign letter in {structure.smiles}")
    return {"codes": np.frombuffer(structure.smiles.encode(), np.uint8).astype(np.float32)}


def _collate(examples, bucket, batch_size):
    codes = np.zeros((batch_size, bucket), np.float32)
    mask = np.zeros((batch_size, bucket), bool)
    for row, example in enumerate(examples):
        codes[row, : len(example["codes"])] = example["codes"]
        mask[row, : len(example["codes"])] = True
    return {"codes": codes, "mask": mask}


def _toy(calls=None):
    """A network whose rows are known: per letter (c, c² / 100) or, in layer `first`, (c, 1)."""

    def apply(params, batch, layer):
        codes = batch["codes"]
        second = codes**2 / 100 if layer in (None, "second") else jnp.ones_like(codes)
        return NodeFeatures(params["w"] * jnp.stack([codes, second], -1), batch["mask"])

    def featurize(structure):
        if calls is not None:
            calls.append(structure.id)
        return _featurize(structure)

    return Encoder(
        card=CARD,
        params={"w": jnp.float32(2.0)},
        featurize=featurize,
        batching=RowBuckets(
            size=lambda example: len(example["codes"]),
            buckets=(4, 8, 16),
            batch_size=lambda bucket: 32 // bucket,
            pad=_collate,
        ),
        apply=apply,
    )


def _expected(structures):
    codes = [np.frombuffer(s.smiles.encode(), np.uint8).astype(float) for s in structures]
    return np.array([[2 * c.mean(), 2 * (c**2 / 100).mean()] for c in codes])


@pytest.fixture
def structures(rng):
    lengths = rng.permutation(np.arange(60) % 16 + 1)
    texts = ["".join(rng.choice(list("CNOF"), length)) for length in lengths]
    return StructureSet(
        [Structure(id=f"s{i}", smiles=text) for i, text in enumerate(texts)], name="letters"
    )


def _embed(encoder, structures, **options):
    return embed_structures(encoder, structures, progress=False, **options)


def test_rows_are_in_order_and_right(structures):
    result = _embed(_toy(), structures)
    assert result.ids == structures.ids
    assert result.values.dtype == np.float32
    np.testing.assert_allclose(result.values, _expected(structures), rtol=1e-5)
    assert result.info["layer"] == "second"
    assert result.info["pooling"] == "mean"
    assert result.info["content_hash"] == structures.content_hash
    assert result.info["rows_computed"] == 60
    assert result.info["skipped"] == []
    assert 0 < result.info["padding_waste"] < 1


def test_rows_do_not_depend_on_batching(structures, rng):
    encoder = _toy()
    values = _embed(encoder, structures).values
    order = rng.permutation(60)
    shuffled = _embed(encoder, [structures[i] for i in order.tolist()], chunk_rows=7).values
    np.testing.assert_allclose(shuffled, values[order], rtol=1e-6)


def test_compiles_once_a_bucket(structures):
    encoder = _toy()
    assert _embed(encoder, structures, chunk_rows=9).info["compilations"] == 3
    assert _embed(encoder, structures).info["compilations"] == 0
    assert _embed(encoder, structures, pooling="max").info["compilations"] == 3
    short = [s for s in structures if len(s.smiles) <= 4]
    assert _embed(_toy(), short).info["compilations"] == 1
    twin = dataclasses.replace(encoder, params={"w": jnp.float32(1.0)})
    again = _embed(twin, structures)
    assert again.info["compilations"] == 0
    np.testing.assert_allclose(again.values, _expected(structures) / 2, rtol=1e-5)


def test_layer_and_pooling(structures):
    result = _embed(_toy(), structures, layer="first", pooling="sum")
    np.testing.assert_allclose(result.values[:, 1], [2 * len(s.smiles) for s in structures])
    with pytest.raises(ValueError, match=r"no layer 'third'; pass one of first, second"):
        _embed(_toy(), structures, layer="third")
    with pytest.raises(ValueError, match="unknown pooling 'median'"):
        _embed(_toy(), structures, pooling="median")


def test_large_sets_are_featurized_chunk_by_chunk(structures, monkeypatch):
    monkeypatch.setattr("jaxalign.embeddings.rows._KEEP_EXAMPLES", 10)
    result = _embed(_toy(), structures, chunk_rows=13)
    np.testing.assert_allclose(result.values, _expected(structures), rtol=1e-5)


@pytest.fixture
def partly_foreign(structures):
    bad = [
        Structure(id="bad0", smiles="CXC"),
        Structure(id="bad1"),
        Structure(id="long", smiles="C" * 17),
    ]
    return StructureSet([bad[0], *structures[:10], bad[1], bad[2]])


def test_unsupported_structures_are_all_named(partly_foreign):
    with pytest.raises(UnsupportedStructureError) as error:
        _embed(_toy(), partly_foreign)
    message = str(error.value)
    assert "3 of 13" in message
    assert all(name in message for name in ("bad0", "bad1", "long", "limit of 16", "on_error"))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("host", [False, True])
def test_unsupported_structures_are_skipped_and_listed(partly_foreign, tmp_path, stored, host):
    path = tmp_path / "store" if stored else None
    encoder = _host(limit=16) if host else _toy()
    result = _embed(encoder, partly_foreign, on_error="skip", store_path=path, chunk_rows=4)
    assert [record["id"] for record in result.info["skipped"]] == ["bad0", "bad1", "long"]
    assert result.ids == partly_foreign.ids[1:11]
    np.testing.assert_allclose(result.values, _expected(partly_foreign[1:11]), rtol=1e-5)
    if stored:
        again = _embed(encoder, partly_foreign, on_error="skip", store_path=path, chunk_rows=4)
        assert again.info["rows_computed"] == 0
        assert again.info["skipped"] == result.info["skipped"]
        with pytest.raises(UnsupportedStructureError):
            _embed(encoder, partly_foreign, store_path=path, chunk_rows=4)


def test_nothing_left_is_an_error():
    with pytest.raises(UnsupportedStructureError, match=r"1 of 1 .* other data"):
        _embed(_toy(), [Structure(id="a")], on_error="skip")


def test_complete_store_computes_and_featurizes_nothing(structures, tmp_path):
    path, calls = tmp_path / "store", []
    first = _embed(_toy(), structures, store_path=path, chunk_rows=16)
    again = _embed(_toy(calls), structures, store_path=path, chunk_rows=16)
    assert (first.info["rows_computed"], again.info["rows_computed"]) == (60, 0)
    assert again.info["compilations"] == 0
    assert calls == []
    np.testing.assert_array_equal(again.values, first.values)
    assert again.ids == first.ids


def test_interrupted_run_resumes_at_the_missing_chunk(structures, tmp_path, monkeypatch):
    path, whole = tmp_path / "store", _embed(_toy(), structures).values
    real, calls = EmbeddingStore.write, []

    def killed(store, start, values):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(start)
        real(store, start, values)

    monkeypatch.setattr(EmbeddingStore, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        _embed(_toy(), structures, store_path=path, chunk_rows=16)
    monkeypatch.setattr(EmbeddingStore, "write", real)
    assert not open_store(path).complete
    resumed = _embed(_toy(), structures, store_path=path, chunk_rows=16)
    assert resumed.info["rows_computed"] == 60 - 32
    np.testing.assert_allclose(resumed.values, whole, rtol=1e-6)


def test_store_of_something_else_is_refused(structures, tmp_path):
    path = tmp_path / "store"
    _embed(_toy(), structures, store_path=path)
    for options in ({"pooling": "max"}, {"layer": "first"}):
        with pytest.raises(EmbeddingStoreError, match="holds other embeddings"):
            _embed(_toy(), structures, store_path=path, **options)
    with pytest.raises(EmbeddingStoreError, match="holds other embeddings"):
        _embed(_toy(), structures[:59], store_path=path)


def test_damaged_chunk_is_computed_again(structures, tmp_path):
    path = tmp_path / "store"
    whole = _embed(_toy(), structures, store_path=path, chunk_rows=16).values
    chunk = max(
        (p for p in (path / "values").rglob("*") if p.is_file()),
        key=lambda p: p.name != "zarr.json",
    )
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0xFF
    chunk.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match="committed hash"):
        again = _embed(_toy(), structures, store_path=path, chunk_rows=16)
    assert 0 < again.info["rows_computed"] <= 16
    np.testing.assert_allclose(again.values, whole, rtol=1e-6)


@pytest.mark.parametrize("host", [False, True])
def test_non_finite_rows_are_named_and_never_stored(structures, tmp_path, host):
    encoder = _toy()
    encoder = (
        _host(poison="s33")
        if host
        else dataclasses.replace(encoder, params={"w": jnp.float32(np.nan)})
    )
    with pytest.raises(NonFiniteEmbeddingError, match=r"s33" if host else "s0, s1"):
        _embed(encoder, structures, store_path=tmp_path / "store", chunk_rows=16)
    assert len(open_store(tmp_path / "store").pending()) == (2 if host else 4)


def _host(limit=99, poison=None):
    """The toy network as a function on the host."""

    def embed(structures):
        for structure in structures:
            if len(_featurize(structure)["codes"]) > limit:
                raise UnsupportedStructureError("too long")
        values = _expected(structures).astype(np.float32)
        values[[s.id == poison for s in structures]] = np.inf
        return values

    return HostEncoder(card=dataclasses.replace(CARD, layers=(), layer=None), embed=embed)


def test_host_function_in_chunks(structures, tmp_path):
    path = tmp_path / "store"
    result = _embed(as_encoder(_expected), structures, store_path=path, chunk_rows=8)
    np.testing.assert_allclose(result.values, _expected(structures), rtol=1e-6)
    assert (result.card.id, result.info["compilations"]) == ("_expected", 0)
    with pytest.raises(ValueError, match="no layers and no pooling"):
        _embed(as_encoder(_expected), structures, pooling="sum")


@pytest.mark.parametrize(
    "answer", [lambda s: np.zeros((len(s) - 1, 3)), lambda s: np.zeros(len(s))]
)
def test_host_function_of_wrong_shape(structures, answer):
    with pytest.raises(ValueError, match=r"gave an array of shape .* one row"):
        _embed(as_encoder(answer), structures)


def test_as_encoder_refuses_nonsense(structures):
    with pytest.raises(ValueError, match="must be a function"):
        as_encoder(3)
    with pytest.raises(ValueError, match="array of numbers"):
        _embed(as_encoder(lambda s: [["a"]] * len(s)), structures)
    encoder = _toy()
    assert as_encoder(encoder) is encoder
    with pytest.raises(ValueError, match="has a card"):
        as_encoder(encoder, CARD)


def test_bad_options(structures):
    with pytest.raises(ValueError, match="on_error"):
        _embed(_toy(), structures, on_error="ignore")
    with pytest.raises(ValueError, match="chunk_rows"):
        _embed(_toy(), structures, chunk_rows=0)
    with pytest.raises(ValueError, match="no structure"):
        _embed(_toy(), [])
    with pytest.raises(ValueError, match="unique"):
        _embed(_toy(), [structures[0], structures[0]])
