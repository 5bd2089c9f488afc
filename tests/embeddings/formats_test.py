import io
import json
import zipfile

import numpy as np
import pytest

from jaxalign.embeddings.formats import (
    EmbeddingFileError,
    read_embedding_collection,
    read_embeddings,
    write_embeddings,
)
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.store import EmbeddingStoreError, create_store
from jaxalign.models.card import ModelCard

CARD = ModelCard(id="m", name="Model", family="F", modality="3d", pretrained=False, layers=("x",))


def save(path, x, ids=None):
    np.save(path, x)
    if ids is not None:
        path.with_suffix(".ids.txt").write_text("\n".join(ids) + "\n")
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_npy_without_ids(tmp_path, rng, dtype):
    x = rng.normal(size=(5, 3)).astype(dtype)
    x[2] = np.nan
    found = read_embeddings(save(tmp_path / "my.model.npy", x))
    np.testing.assert_array_equal(found.values, x)
    assert found.values.dtype.isnative
    assert found.ids == ("0", "1", "2", "3", "4")
    assert found.info["implicit_ids"] is True
    assert found.info["dtype"] == x.dtype.newbyteorder("=").name
    # What nobody stated is not invented.
    assert (found.card.id, found.card.family, found.card.modality) == ("my.model", "", "")


def test_npy_with_ids(tmp_path, rng):
    x = rng.normal(size=(3, 2))
    path = save(tmp_path / "a.npy", x)
    (tmp_path / "ids.txt").write_text("\ufeffp\r\nq q\r\nr\n\n")
    found = read_embeddings(path)
    assert found.ids == ("p", "q q", "r")
    assert found.info["implicit_ids"] is False
    save(path, x, ids=["own1", "own2", "own3"])
    assert read_embeddings(path).ids == ("own1", "own2", "own3")
    assert read_embeddings(path, ids=["u", "v", "w"]).ids == ("u", "v", "w")


@pytest.mark.parametrize("name", ["values", "anything"])
@pytest.mark.parametrize(
    "ids", [np.array(["a", "b"]), np.array([b"a", b"b"]), np.array([7, 8]), None]
)
def test_npz(tmp_path, rng, name, ids):
    x = rng.normal(size=(2, 4)).astype(np.float32)
    extra = {} if ids is None else {"ids": ids}
    np.savez_compressed(tmp_path / "a.npz", **{name: x}, labels=np.zeros(2), **extra)
    found = read_embeddings(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.values, x)
    expected = ("0", "1") if ids is None else ("7", "8") if ids.dtype.kind == "i" else ("a", "b")
    assert found.ids == expected


@pytest.mark.parametrize("extension", [".npy", ".npz"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_round_trip(tmp_path, rng, extension, dtype):
    path = tmp_path / f"m{extension}"
    made = Embeddings(
        values=rng.normal(size=(3, 2)).astype(dtype),
        ids=("ä/1", "b c", "d"),
        card=CARD,
        info={"pooling": "mean", "skipped": []},
    )
    write_embeddings(path, made)
    found = read_embeddings(path)
    np.testing.assert_array_equal(found.values, made.values)
    assert found.values.dtype == dtype
    assert found.ids == made.ids
    if extension == ".npz":
        assert found.card == CARD
        assert found.info["pooling"] == "mean"
    for odd in ("a\nb", " a", "a\u2028b"):
        odd_ids = Embeddings(values=made.values, ids=("p", "q", odd), card=CARD)
        if extension == ".npy":
            with pytest.raises(ValueError, match=r"need the .npz format"):
                write_embeddings(path, odd_ids)
        else:
            write_embeddings(path, odd_ids)
            assert read_embeddings(path).ids == odd_ids.ids


def test_write_elsewhere(tmp_path):
    with pytest.raises(ValueError, match=r"got '.parquet'"):
        write_embeddings(tmp_path / "a.parquet", Embeddings(np.ones((1, 1)), ids=("a",), card=CARD))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 2), dtype=np.int64), r"int64.*astype\(np.float32\)"),
        (np.ones((3, 2), dtype=bool), "got dtype bool"),
        (np.ones((3, 2), dtype=np.complex64), "got dtype complex64"),
        (np.array([["a"]]), "got dtype <U1"),
        (np.zeros(3, dtype=[("a", "f4")]).reshape(3, 1), "floating-point"),
        (np.ones(3), r"\[structures, width\], got shape \(3,\)"),
        (np.ones((2, 3, 4)), r"got shape \(2, 3, 4\)"),
        (np.ones((0, 4)), r"got shape \(0, 4\)"),
        (np.ones((4, 0)), r"got shape \(4, 0\)"),
    ],
)
def test_unusable_arrays(tmp_path, array, message):
    with pytest.raises(EmbeddingFileError, match=message):
        read_embeddings(save(tmp_path / "a.npy", array))
    np.savez(tmp_path / "a.npz", values=array)
    with pytest.raises(EmbeddingFileError, match=message):
        read_embeddings(tmp_path / "a.npz")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Bomb()]], dtype=object))
    np.savez(tmp_path / "a.npz", values=np.ones((1, 1)), ids=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(EmbeddingFileError, match=r"pickle.*np.stack"):
            read_embeddings(tmp_path / name)


def test_unreadable_files(tmp_path):
    with pytest.raises(EmbeddingFileError, match="no such file"):
        read_embeddings(tmp_path / "a.npy")
    with pytest.raises(EmbeddingFileError, match=r".npy, .npz files"):
        read_embeddings(tmp_path / "a.h5")
    with pytest.raises(EmbeddingFileError, match="not an embedding store"):
        read_embeddings(tmp_path)
    path = save(tmp_path / "a.npy", np.ones((50, 4)))
    whole = path.read_bytes()
    for data in (b"", whole[:3], whole[:60], whole[:-8], b"hello, world"):
        path.write_bytes(data)
        with pytest.raises(EmbeddingFileError, match=r"a\.npy"):
            read_embeddings(path)
    np.savez(tmp_path / "a.npz", values=np.ones((50, 4)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[200] ^= 255
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(EmbeddingFileError, match=r"a\.npz: not a readable"):
        read_embeddings(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(EmbeddingFileError, match=r"b\.npz"):
        read_embeddings(tmp_path / "b.npz")


def test_npz_without_a_clear_choice(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), y=np.ones((2, 2)))
    with pytest.raises(EmbeddingFileError, match=r"'x': \(2, 2\), 'y': \(2, 2\)"):
        read_embeddings(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(EmbeddingFileError, match="named 'values'"):
        read_embeddings(tmp_path / "a.npz")


def test_bad_ids(tmp_path):
    path = save(tmp_path / "a.npy", np.ones((3, 2)), ids=["a", "b"])
    with pytest.raises(EmbeddingFileError, match="3 rows but 2 ids"):
        read_embeddings(path)
    save(path, np.ones((3, 2)), ids=["a", "b", "a"])
    with pytest.raises(EmbeddingFileError, match=r"'a' names rows 0 and row 2"):
        read_embeddings(path)
    save(path, np.ones((3, 2)), ids=["a", "", "c"])
    with pytest.raises(EmbeddingFileError, match=r"empty in row 1"):
        read_embeddings(path)
    np.savez(tmp_path / "a.npz", values=np.ones((2, 1)), ids=np.array([[1], [2]]))
    with pytest.raises(EmbeddingFileError, match="ids must be a 1-D array"):
        read_embeddings(tmp_path / "a.npz")


def make_store(path, values, *, finish=True):
    store = create_store(
        path,
        ids=[f"s{i}" for i in range(len(values))],
        width=values.shape[1],
        card=CARD,
        info={"layer": "x"},
        chunk_rows=2,
    )
    for start, stop in store.pending()[: None if finish else 1]:
        store.write(start, values[start:stop])


def test_store_directory(tmp_path, rng):
    values = rng.normal(size=(5, 2)).astype(np.float32)
    make_store(tmp_path / "s", values)
    found = read_embeddings(tmp_path / "s")
    np.testing.assert_array_equal(found.values, values)
    assert found.card == CARD
    assert found.info["layer"] == "x"
    make_store(tmp_path / "t", values, finish=False)
    with pytest.raises(EmbeddingStoreError, match="not computed yet"):
        read_embeddings(tmp_path / "t")


@pytest.fixture
def folder(tmp_path, rng):
    values = rng.normal(size=(4, 2)).astype(np.float32)
    folder = tmp_path / "models"
    folder.mkdir()
    save(folder / "b.npy", values)
    np.savez(folder / "a.npz", values=values)
    make_store(folder / "c", values)
    (folder / "ids.txt").write_text("s0\ns1\ns2\ns3\n")
    (folder / "notes.md").write_text("x")
    return folder


def test_collection_of_a_directory(folder):
    found = read_embedding_collection([folder])
    assert list(found) == ["a", "b", "c"]
    assert all(entry.ids == ("s0", "s1", "s2", "s3") for entry in found.values())
    assert [entry.card.id for entry in found.values()] == ["a", "b", "c"]
    assert found["c"].card.name == "Model"
    for given in (folder, str(folder), [folder / "b.npy", str(folder / "a.npz"), folder / "c"]):
        assert set(read_embedding_collection(given)) == {"a", "b", "c"}


def test_models_csv(folder):
    (folder / "models.csv").write_text(
        "\ufeffID,Family,modality,training data,Colour,label,pretrained,secret\n"
        "a,ANI,3d,ANI-1x,#ff0000,ANI-1x no. 1,yes,42\n"
        "b,,string,,,,False,\n"
        "elsewhere,X,3d,,,,,\n"
    )
    found = read_embedding_collection(folder)
    a, b, c = (found[name] for name in "abc")
    assert a.card == ModelCard(
        id="a",
        name="ANI-1x no. 1",
        family="ANI",
        modality="3d",
        pretrained=True,
        training_data="ANI-1x",
    )
    assert a.info["color"] == "#ff0000"
    assert (b.card.family, b.card.modality, b.card.pretrained) == ("", "string", False)
    assert (b.card.name, "color" in b.info) == ("b", False)
    assert c.card.family == "F"
    assert "secret" not in json.dumps(a.card.to_json())
    assert read_embedding_collection([folder / "a.npz"])["a"].card == a.card


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,family\na,b\n", r"row 0 has no id; the columns are \['family', 'name'\]"),
        ("id,family\na,b\n,c\n", "row 1 has no id"),
        ("id\na\na\n", "two rows have the id 'a'"),
        ("id,pretrained\na,perhaps\n", "true or false: 'perhaps'"),
    ],
)
def test_bad_models_csv(folder, text, message):
    (folder / "models.csv").write_text(text)
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding_collection(folder)


def test_surplus_cells_are_ignored(folder):
    (folder / "models.csv").write_text("id,family\na,F,more,and more\n")
    assert read_embedding_collection(folder)["a"].card.family == "F"


def test_collections_that_are_refused(folder, tmp_path):
    with pytest.raises(EmbeddingFileError, match="no embeddings were given"):
        read_embedding_collection([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmbeddingFileError, match=r"no .npy or .npz file"):
        read_embedding_collection([tmp_path / "empty"])
    save(tmp_path / "a.npy", np.ones((4, 2)))
    with pytest.raises(EmbeddingFileError, match="two inputs have the label 'a'"):
        read_embedding_collection([folder, tmp_path / "a.npy"])
    (folder / "d.pt").write_bytes(io.BytesIO(b"x").read())
    with pytest.raises(EmbeddingFileError, match=r"\['d.pt'\] are pickles"):
        read_embedding_collection(folder)
