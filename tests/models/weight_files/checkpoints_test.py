import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import safetensors.numpy
from jaxtyping import TypeCheckError

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.weight_files.checkpoints import CheckpointError, Opaque, read_checkpoint
from jaxalign.types import JaxalignError


def npz(compressed=False, **arrays) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def npy(header: bytes, body: bytes) -> bytes:
    """An npz file around one array whose header says anything."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        archive.writestr("x.npy", head + body)
    return buffer.getvalue()


@pytest.fixture
def arrays(rng) -> dict[str, np.ndarray]:
    return {
        "a/b": rng.standard_normal((3, 4)).astype(np.float32),
        "half": rng.standard_normal(5).astype(np.float16),
        "ints": rng.integers(-100, 100, (2, 0, 3)),
        "flags": rng.integers(0, 2, 7).astype(bool),
        "scalar": np.array(2.5),
    }


def assert_equal(result, expected):
    assert set(result) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(result[name], array, strict=True)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz(arrays, compressed):
    arrays["fortran"] = np.asfortranarray(arrays["a/b"])
    assert_equal(read_checkpoint(npz(compressed, **arrays)), arrays)


def test_safetensors(arrays):
    assert_equal(read_checkpoint(safetensors.numpy.save(arrays)), arrays)


def test_safetensors_bfloat16():
    header = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + struct.pack("<HH", 0x3FC0, 0xC000)
    assert_equal(read_checkpoint(data), {"w": np.array([1.5, -2.0], np.float32)})


def test_a_path_and_a_named_format(arrays, tmp_path):
    (tmp_path / "w").write_bytes(npz(**arrays))
    assert_equal(read_checkpoint(tmp_path / "w"), arrays)
    assert_equal(read_checkpoint(str(tmp_path / "w"), format="npz"), arrays)


def test_every_error_says_what_came(tmp_path):
    assert issubclass(CheckpointError, JaxalignError)
    with pytest.raises(ValueError, match="unknown format 'tar'; known are 'torch-zip'"):
        read_checkpoint(b"", format="tar")
    with pytest.raises(CheckpointError, match=r"weight file .*absent: No such file"):
        read_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="Is a directory"):
        read_checkpoint(tmp_path)
    for data in (b"", b"\x00", b"GIF89a", pickle.dumps({"w": 1})):
        with pytest.raises(CheckpointError, match="which is none of torch-zip"):
            read_checkpoint(data)
    with pytest.raises(CheckpointError, match="as npz: it is no sound zip file"):
        read_checkpoint(b"GIF89a", format="npz")


def test_pickled_objects_in_npz_are_refused():
    class Evil:
        def __reduce__(self):
            return os.mkdir, ("evil",)

    with pytest.raises(CheckpointError, match="Python objects"):
        read_checkpoint(npz(x=np.array([Evil()], dtype=object)))
    assert not os.path.exists("evil")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n",
        b"{'descr': '|V0', 'fortran_order': False, 'shape': (4611686018427387904, 8)}\n",
        b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (0,)}\n",
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}\n",
        b"{'descr': __import__('os').mkdir('evil'), 'fortran_order': False, 'shape': (1,)}\n",
        b"(" * 5000 + b"\n",
        b"\n",
    ],
)
def test_lying_array_headers_are_refused(header):
    tracemalloc.start()
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(npy(header, b"\x00" * 4))
    assert not isinstance(raised.value.__cause__, TypeCheckError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert not os.path.exists("evil")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|V0', 'fortran_order': False, 'shape': (1099511627776,)}\n",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}\n",
        b"{'descr': ('<f4', (1,)), 'fortran_order': False, 'shape': (1,)}\n",
    ],
)
def test_records_and_types_without_size_are_refused(header):
    body = b"" if b"V0" in header else bytes(4)
    with pytest.raises(CheckpointError, match=r"records of the type|shape"):
        read_checkpoint(npy(header, body))


def test_two_arrays_of_one_name_are_refused():
    buffer = io.BytesIO(npz(a=np.zeros(2)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a", archive.read("a.npy"))
    with pytest.raises(CheckpointError, match="same name"):
        read_checkpoint(buffer.getvalue())


def test_an_endless_safetensors_header_is_not_parsed():
    data = struct.pack("<Q", 9 * 2**20) + b"{" + b" " * 9 * 2**20
    with pytest.raises(CheckpointError, match="header claims 9,437,184 bytes"):
        read_checkpoint(data)


def test_a_compressed_bomb_is_refused():
    data = npz(compressed=True, x=np.zeros(10_000_000))
    with pytest.raises(CheckpointError, match="claim more than"):
        read_checkpoint(data)


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}},
        {"w": {"dtype": "NONE", "shape": [4], "data_offsets": [0, 4]}},
        {"w": []},
        [],
    ],
    ids=str,
)
def test_lying_safetensors_headers_are_refused(header):
    text = json.dumps(header).encode()
    with pytest.raises(CheckpointError):
        read_checkpoint(struct.pack("<Q", len(text)) + text + bytes(4), format="safetensors")
    with pytest.raises(CheckpointError):
        read_checkpoint(struct.pack("<Q", 2**62) + text + bytes(4), format="safetensors")


def test_random_damage_is_an_error_or_harmless(arrays, rng):
    good = [npz(**arrays), npz(True, **arrays), safetensors.numpy.save(arrays)]
    read, causes = 0, set()
    for _ in range(400):
        data = bytearray(good[int(rng.integers(3))])
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        if rng.random() < 0.1:
            del data[int(rng.integers(len(data))) :]
        try:
            result = read_checkpoint(bytes(data))
        except CheckpointError as error:
            causes.add(type(error.__cause__))
            continue
        read += 1
        assert sum(array.copy().nbytes for array in result.values()) < 16 * len(data) + 2**24
    assert TypeCheckError not in causes
    assert read > 0  # damage to a number in a safetensors file cannot be seen


# (arrays, numbers, CRC-32) of the state dictionaries as `torch.load` 2.13 reads them.
REAL = {
    "bert": (207, 6_893_137, 3_155_700_640),
    "albert": (32, 877_598, 3_058_898_155),
    "dmpnn": (12, 327_395, 1_399_694_897),
}


def array_sum(arrays: dict[str, np.ndarray]) -> int:
    """CRC-32 over all arrays in the order of the file."""
    total = 0
    for array in arrays.values():
        total = zlib.crc32(np.ascontiguousarray(array), total)
    return total


@pytest.mark.registry
def test_real_weight_files():
    """Sizes and checksums of what `torch.load` gives for the same files."""
    bert = read_real("rxnfp", "rxnfp/models/transformers/bert_pretrained/pytorch_model.bin")
    assert facts(bert) == REAL["bert"]
    folder = "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k"
    assert facts(read_real("rxnmapper", f"{folder}/pytorch_model.bin")) == REAL["albert"]
    dmpnn = read_real("admet-ai", "admet_ai/resources/models/admet_classification/model_0.pt")
    assert facts(dmpnn["state_dict"]) == REAL["dmpnn"]
    aggregation = dmpnn["hyper_parameters"]["agg"]
    assert aggregation == {
        "dim": 0,
        "cls": Opaque("chemprop.nn.agg", "NormAggregation"),
        "norm": 100,
    }


def read_real(package: str, entry: str) -> dict:
    return read_checkpoint(read_entry(fetch(ARCHIVES[package]), entry))


def facts(arrays) -> tuple[int, int, int]:
    return len(arrays), sum(array.size for array in arrays.values()), array_sum(arrays)
