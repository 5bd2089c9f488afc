"""Torch files made here, opcode by opcode and without torch, the right ones and the hostile ones."""

import dataclasses
import io
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from jaxalign.models.checkpoints import CheckpointError, Opaque, read_checkpoint

MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}
LAYOUTS = ("torch-zip", "torch-legacy")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What a file says about a tensor; nothing here needs to be true."""

    key: object = "0"
    kind: str = "FloatStorage"
    numel: object = 6
    offset: object = 0
    size: object = (2, 3)
    stride: object = (3, 1)
    function: str = "_rebuild_tensor_v2"
    extra: tuple = ()  # further items of the persistent id


@dataclasses.dataclass(frozen=True)
class Raw:
    code: bytes


def emit(value) -> bytes:
    """Pickle opcodes of protocol 2, as torch writes them."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Tensor):
        identifier = ("storage", Raw(b"ctorch\n" + value.kind.encode() + b"\n"), value.key, "cpu")
        storage = Raw(emit((*identifier, value.numel, *value.extra)) + b"Q")
        hooks = Raw(b"ccollections\nOrderedDict\n)R")
        arguments = (storage, value.offset, value.size, value.stride, False, hooks)
        return b"ctorch._utils\n" + value.function.encode() + b"\n" + emit(arguments) + b"R"
    if isinstance(value, dict):
        items = b"".join(emit(key) + emit(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(emit, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]


def write_zip(
    value, storages, *, root="archive", extra=(), compression=zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", b"\x80\x02" + emit(value) + b".")
        for key, content in storages.items():
            archive.writestr(f"{root}/data/{key}", content)
        for name, content in dict(extra).items():
            archive.writestr(f"{root}/{name}", content)
    return buffer.getvalue()


def write_legacy(value, storages, *, itemsizes=4, machine=MACHINE, protocol=1001) -> bytes:
    parts = [pickle.dumps(part, 2) for part in (MAGIC, protocol, machine)]
    parts += [b"\x80\x02" + emit(value) + b".", pickle.dumps(list(storages), 2)]
    for content in storages.values():
        parts += [struct.pack("<q", len(content) // itemsizes), content]
    return b"".join(parts)


def write(layout, value, storages, *, itemsize=4) -> bytes:
    if layout == "torch-zip":
        return write_zip(value, storages)
    return write_legacy(value, storages, itemsizes=itemsize)


SIX = np.arange(6, dtype="<f4")


def refused(data: bytes, match: str = ""):
    with pytest.raises(CheckpointError, match=match):
        read_checkpoint(data)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_comes_back(layout, kind, rng):
    dtype = np.dtype(KINDS[kind])
    values = rng.integers(0, 2 if kind == "BoolStorage" else 100, (4, 3)).astype(dtype)
    tensor = Tensor(kind=kind, numel=12, size=(4, 3))
    data = write(layout, {"w": tensor}, {"0": values.tobytes()}, itemsize=dtype.itemsize)
    result = read_checkpoint(data)["w"]
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, values)
    assert not result.flags.writeable


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_becomes_float32(layout, rng):
    values = rng.standard_normal(8).astype(np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    tensor = Tensor(kind="BFloat16Storage", numel=8, size=(8,), stride=(1,))
    result = read_checkpoint(write(layout, {"w": tensor}, {"0": bits.tobytes()}, itemsize=2))["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result.view(np.uint32), bits.astype(np.uint32) << 16)
    np.testing.assert_allclose(result, values, rtol=2**-7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_of_a_shared_storage(layout, rng):
    """Against plain indexing of the numbers, element by element."""
    flat = rng.standard_normal(60).astype("<f4")
    tensors, expected = {}, {}
    for number in range(40):
        dims = int(rng.integers(0, 4))
        size = tuple(int(n) for n in rng.integers(0, 4, dims))
        stride = tuple(int(n) for n in rng.integers(0, 7, dims))
        last = sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        offset = int(rng.integers(0, 60 - max(last, 0)))
        tensors[str(number)] = Tensor(numel=60, offset=offset, size=size, stride=stride)
        array = np.zeros(size, "<f4")
        for index in np.ndindex(size):
            array[index] = flat[offset + sum(i * s for i, s in zip(index, stride, strict=True))]
        expected[str(number)] = array
    result = read_checkpoint(write(layout, tensors, {"0": flat.tobytes()}))
    assert list(result) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(result[name], array, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nesting_parameters_and_foreign_objects(layout):
    parameter = Raw(b"ctorch._utils\n_rebuild_parameter\n" + emit((Tensor(), True, None)) + b"R")
    foreign = Raw(b"cchemprop.nn\nAgg\n)\x81}(X\x01\x00\x00\x00aK\x01ub")
    state = Raw(b"ccollections\nOrderedDict\n)R(" + emit("w") + emit(parameter) + b"u}b")
    value = {
        "state": state,
        "epoch": 3,
        "foreign": foreign,
        "set": Raw(b"c__builtin__\nset\n](K\x01K\x02e\x85R"),
        "size": Raw(b"ctorch\nSize\n" + emit(((2, 3),)) + b"R"),
        "dtype": Raw(b"ctorch\nfloat32\n"),
        "hyper": Raw(
            b"clightning.fabric.utilities.data\nAttributeDict\n)R(X\x01\x00\x00\x00dK\x03u"
        ),
        "old": Raw(b"ccopy_reg\n_reconstructor\n(ca\nB\nc__builtin__\nobject\nNtR"),
    }
    result = read_checkpoint(write(layout, value, {"0": SIX.tobytes()}))
    np.testing.assert_array_equal(result["state"].pop("w"), SIX.reshape(2, 3))
    assert result == {
        "state": {},
        "epoch": 3,
        "foreign": Opaque("chemprop.nn", "Agg"),
        "set": {1, 2},
        "size": (2, 3),
        "dtype": Opaque("torch", "float32"),
        "hyper": {"d": 3},
        "old": Opaque("a", "B"),
    }


def test_the_root_folder_may_have_any_name_and_byteorder_is_read():
    extra = {"byteorder": b"little", "version": b"3\n"}
    data = write_zip({"w": Tensor()}, {"0": SIX.tobytes()}, root="model_0", extra=extra)
    np.testing.assert_array_equal(read_checkpoint(data)["w"], SIX.reshape(2, 3))
    data = write_zip({"w": Tensor()}, {"0": SIX.tobytes()}, extra={"byteorder": b"big"})
    refused(data, "little-endian")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "change",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**63},
        {"offset": 0.0},
        {"stride": (-3, 1)},
        {"stride": (4, 1)},
        {"stride": (1,)},
        {"stride": (2**61, 2**61)},
        {"size": (2, 4)},
        {"size": (-2, -3)},
        {"size": (2**40, 3), "stride": (0, 1)},
        {"size": (2**62, 2**62), "stride": (0, 0)},
        {"size": (0, 2**62, 2**62), "stride": (1, 1, 1)},
        {"size": (1,) * 33, "stride": (1,) * 33},
        {"size": [2, 3]},
        {"size": 6, "stride": 1},
        {"size": None},
        {"numel": 5},
        {"numel": 7},
        {"numel": -6},
        {"numel": 2**62},
        {"numel": "6"},
        {"key": "1"},
        {"key": 0},
        {"key": "../data.pkl"},
        {"kind": "QUInt8Storage"},
        {"kind": "DoubleStorage"},
        {"extra": (("0", 0, 6),)},
        {"extra": (None, None)},
    ],
    ids=str,
)
def test_lies_about_tensors_are_refused(layout, change):
    tensor = dataclasses.replace(Tensor(), **change)
    tracemalloc.start()
    refused(write(layout, {"w": tensor}, {"0": SIX.tobytes()}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_repeated_numbers_are_refused(layout):
    """Each tensor alone is affordable: 4 MB out of one number."""
    tensors = {str(i): Tensor(size=(2**20,), stride=(0,)) for i in range(10)}
    data = write(layout, tensors, {"0": SIX.tobytes()})
    refused(data, "its tensors take more than")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "identifier",
    [
        "text",
        ("storage",),
        ("module", Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", 6),
        ("storage", "FloatStorage", "0", "cpu", 6),
        ("storage", Raw(b"cos\nsystem\n"), "0", "cpu", 6),
        ("storage", Raw(b"ctorch\nFloatStorage\n"), ("0",), "cpu", 6),
        ("storage", Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", True),
    ],
    ids=str,
)
def test_odd_persistent_ids_are_refused(layout, identifier):
    data = write(layout, {"w": Raw(emit(identifier) + b"Q")}, {"0": SIX.tobytes()})
    refused(data, "persistent id")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_storage_under_two_types_is_refused(layout):
    value = {"a": Tensor(), "b": Tensor(kind="IntStorage")}
    refused(write(layout, value, {"0": SIX.tobytes()}), "different types")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "call",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR",
        b"ctorch\nSize\nX\x03\x00\x00\x00abc\x85R",
        b"c__builtin__\nset\n(]]]lt\x85R",
        b"ccollections\nOrderedDict\n](K\x01e\x85R",
        b"ccollections\nOrderedDict\nK\x01\x85R",
        b"ccopy_reg\n_reconstructor\nK\x01\x85R",
    ],
)
def test_known_calls_with_odd_arguments_are_refused(layout, call):
    refused(write(layout, {"w": Raw(call)}, {}))


def test_zip_files_with_tricks_are_refused():
    storages = {"0": SIX.tobytes()}
    bomb = write_zip({"w": Tensor()}, {"0": bytes(2**24)}, compression=zipfile.ZIP_DEFLATED)
    refused(bomb, "compressed")
    good = write_zip({"w": Tensor()}, storages)
    refused(good.replace(b"archive/data.pkl", b"archive/data.pkx"), "0 entries data.pkl")
    # Two entries of the central directory that share the bytes of one.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        archive.writestr("archive/data/0", bytes(1000))
        info = archive.infolist()[1]
        for number in range(1, 10):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = info.header_offset, info.CRC
            copy.file_size = copy.compress_size = 1000
            archive.filelist.append(copy)
            archive._didModify = True
    refused(buffer.getvalue(), "zip entries claim")


def test_two_entries_of_one_name_are_refused():
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = write_zip({"w": Tensor()}, {"0": SIX.tobytes()}, extra={"data/0": bytes(24)})
    refused(data, "same name")


def test_legacy_files_with_tricks_are_refused():
    storages = {"0": SIX.tobytes()}
    value = {"w": Tensor()}
    refused(write_legacy(value, storages, protocol=1000), "protocol is 1000")
    refused(write_legacy(value, storages, machine={"little_endian": False}), "little-endian")
    refused(write_legacy(value, storages, machine=[]), "little-endian")
    refused(write_legacy(value, {}), "list of storages")
    refused(write_legacy(value, {**storages, "1": b""}), "list of storages")
    refused(write_legacy(value, storages, itemsizes=2), "has 12 elements, expected 6")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_truncation_is_refused(layout):
    data = write(layout, {"w": Tensor()}, {"0": SIX.tobytes()})
    for length in range(len(data)):
        refused(data[:length])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_holds_no_dict_is_refused(layout):
    refused(write(layout, Tensor(), {"0": SIX.tobytes()}), "holds a ndarray, expected a dict")


def walk(value) -> int:
    """Touches every number, as a consumer would; returns the bytes of all arrays."""
    if isinstance(value, np.ndarray):
        return value.copy().nbytes
    if isinstance(value, dict):
        return sum(map(walk, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(walk, value))
    assert isinstance(value, str | bytes | int | float | bool | None | Opaque)
    return 0


def fuzz(seed: int, rounds: int) -> tuple[int, int]:
    """Damages good files; returns how many were read and the largest allocation."""
    chance = random.Random(seed)
    value = {
        "a": Tensor(),
        "b": (1, 2.5, {"c": Tensor(offset=1, size=(2,), stride=(2,))}),
        "evil": Raw(b"cos\nsystem\nX\x04\x00\x00\x00true\x85R"),
        "deep": {"x": {"y": (1, 2.5, "text", None, True)}},
        "half": Tensor(key="1", kind="BFloat16Storage", numel=12, size=(12,), stride=(1,)),
    }
    storages = {"0": SIX.tobytes(), "1": SIX.tobytes()}
    good = [write_zip(value, storages), write_legacy_mixed(value, storages)]
    for data in good:
        assert walk(read_checkpoint(data)) > 0
    read = 0
    tracemalloc.start()
    for _ in range(rounds):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(data))
            data[where] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        try:
            assert walk(read_checkpoint(bytes(data))) <= 4 * len(data) + 16 * 2**20
            read += 1
        except CheckpointError:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return read, peak


def write_legacy_mixed(value, storages) -> bytes:
    """A legacy file whose second storage has two bytes an element."""
    data = write_legacy(value, storages)
    tail = struct.pack("<q", 6) + storages["1"]
    assert data.endswith(tail)
    return data[: -len(tail)] + struct.pack("<q", 12) + storages["1"]


def test_random_damage_is_an_error_or_harmless(rng, monkeypatch):
    calls = []
    monkeypatch.setattr("os.system", calls.append)
    read, peak = fuzz(int(rng.integers(2**32)), 600)
    assert read > 0
    assert peak < 100e6
    assert calls == []


@pytest.mark.slow
def test_much_random_damage_is_an_error_or_harmless(rng):
    _, peak = fuzz(int(rng.integers(2**32)), 50_000)
    assert peak < 200e6
