import tracemalloc

import numpy as np
import pytest

from jaxalign.models.weight_files import onnx_tensors
from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint
from jaxalign.models.weight_files.user_file import read_user_file

CODES = {"<f4": 1, "|u1": 2, "|i1": 3, "<u2": 4, "<i2": 5, "<i4": 6, "<i8": 7, "|b1": 9, "<f2": 10}
CODES |= {"<f8": 11, "<u4": 12, "<u8": 13}


def varint(number):
    number %= 2**64
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number, value):
    """A varint for an integer, length and content for bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, array=None, *, dims=None, dtype=None, raw=None, extra=b""):
    dims = array.shape if dims is None else dims
    raw = array.tobytes() if raw is None else raw
    code = CODES[array.dtype.str] if dtype is None else dtype
    lengths = b"".join(field(1, int(n)) for n in dims)
    return lengths + field(2, code) + field(8, name.encode()) + field(9, raw) + extra


def model(*tensors, nodes=b""):
    graph = nodes + b"".join(field(5, one) for one in tensors)
    return field(1, 8) + field(2, b"pytorch") + field(7, graph) + field(8, field(2, 17))


def read(data):
    return read_checkpoint(data, format="onnx")


@pytest.mark.parametrize("dtype", CODES)
def test_every_type_comes_back(dtype, rng):
    values = rng.integers(0, 2 if dtype == "|b1" else 100, (4, 3)).astype(dtype)
    result = read(model(tensor("w", values)))["w"]
    np.testing.assert_array_equal(result, values, strict=True)
    assert not result.flags.writeable


def test_lists_of_values_and_packed_dimensions(rng):
    singles, doubles = rng.standard_normal(6).astype("<f4"), rng.standard_normal(2)
    packed = field(1, varint(2) + varint(3)) + field(2, 1) + field(8, b"a")
    packed += field(4, singles.tobytes())
    wide = field(1, 2) + field(2, 11) + field(8, b"b") + field(10, doubles.tobytes())
    result = read(model(packed, wide))
    np.testing.assert_array_equal(result["a"], singles.reshape(2, 3), strict=True)
    np.testing.assert_array_equal(result["b"], doubles, strict=True)


def test_bfloat16_scalars_and_empty_arrays():
    bits = np.array([0x3FC0], "<u2")
    half = tensor("h", bits, dtype=16)
    scalar, empty = np.array(2.5, "<f4"), np.zeros((3, 0), "<f4")
    result = read(model(half, tensor("s", scalar), tensor("e", empty)))
    np.testing.assert_array_equal(result["h"], np.array([1.5], np.float32), strict=True)
    np.testing.assert_array_equal(result["s"], scalar, strict=True)
    np.testing.assert_array_equal(result["e"], empty, strict=True)
    assert read(model()) == {}


def test_the_suffix_of_a_path_tells_the_format(tmp_path, rng):
    values = rng.standard_normal((2, 2)).astype(np.float32)
    path = tmp_path / "net.ONNX"
    path.write_bytes(model(tensor("w", values)))
    np.testing.assert_array_equal(read_checkpoint(path)["w"], values)
    np.testing.assert_array_equal(read_user_file(path).arrays["w"], values)
    with pytest.raises(CheckpointError, match="none of"):
        read_checkpoint(path.read_bytes())


ONES = np.ones((2, 3), np.float32)
HOSTILE = {
    "no graph": (field(1, 8), "0 graphs"),
    "two graphs": (model() * 2, "2 graphs"),
    "a graph that is a number": (field(7, 1), "number where a graph"),
    "a tensor that is a number": (field(7, field(5, 1)), "number where a tensor"),
    "more values than the shape": (model(tensor("w", ONES, dims=(2, 2))), "24 bytes"),
    "fewer values than the shape": (model(tensor("w", ONES, dims=(2**40, 2**40))), "24 bytes"),
    "a product beyond 64 bits": (model(tensor("w", ONES, dims=(2**62,) * 9)), "24 bytes"),
    "a negative dimension": (model(tensor("w", ONES, dims=(-2, -3))), "negative dimension -2"),
    "many dimensions": (model(tensor("w", ONES, dims=(1,) * 33)), "more than 32 dimensions"),
    "many packed dimensions": (
        model(field(1, b"\1" * 1000) + tensor("w", ONES)),
        "more than 32 dimensions",
    ),
    "external location": (model(tensor("w", ONES, extra=field(14, 1))), "in another file"),
    "external data": (
        model(tensor("w", ONES, extra=field(13, field(1, b"location") + field(2, b"/etc/passwd")))),
        "in another file",
    ),
    "a segment": (model(tensor("w", ONES, extra=field(3, field(1, 1)))), "in another file"),
    "strings": (model(tensor("w", ONES, dtype=8)), "element type 8"),
    "no type": (model(tensor("w", ONES, dtype=0)), "element type 0"),
    "a list of integers": (model(tensor("w", ONES, extra=field(7, b"\1"))), "int64_data"),
    "values twice": (model(tensor("w", ONES, extra=field(9, ONES.tobytes()))), "occurs twice"),
    "two kinds of values": (model(tensor("w", ONES, extra=field(4, b"1234"))), "several types"),
    "doubles for floats": (model(tensor("w", ONES, extra=field(10, b"12345678"))), "several"),
    "one name twice": (model(tensor("w", ONES), tensor("w", ONES)), "are called 'w'"),
    "a long name": (model(tensor("w" * 5000, ONES)), "name of a tensor has 5,000 bytes"),
    "a name that is no text": (
        model(tensor("w", ONES).replace(field(8, b"w"), field(8, b"\xff"))),
        "damaged",
    ),
    "a sparse tensor": (field(7, field(15, b"")), "sparse"),
    "a length beyond the file": (varint(7 << 3 | 2) + varint(2**60), "claims"),
    "a varint that never ends": (field(1, 8) + varint(7 << 3) + b"\xff" * 100, "64 bits"),
    "a varint of 70 bits": (varint(1 << 3) + b"\xff" * 9 + b"\x7f", "64 bits"),
    "a varint cut off": (varint(1 << 3) + b"\xff", "inside a number"),
    "a group": (bytes([7 << 3 | 3]) + b"\0" * 8, "wire type 3"),
    "field 0": (b"\2\0", "number 0"),
    "fixed numbers cut off": (bytes([9 << 3 | 1]) + b"\0" * 7, "claims 8 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case):
    data, message = HOSTILE[case]
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_deep_nesting_is_stepped_over():
    node = b""
    for _ in range(200):
        node = field(1, node)
    result = read(model(tensor("w", ONES), nodes=node))
    np.testing.assert_array_equal(result["w"], ONES)


def test_numbers_of_fields_and_tensors_are_bounded(monkeypatch):
    monkeypatch.setattr(onnx_tensors, "MAX_FIELDS", 100)
    with pytest.raises(CheckpointError, match="100 fields"):
        read(model(nodes=field(30, 1) * 101))
    monkeypatch.setattr(onnx_tensors, "MAX_TENSORS", 3)
    with pytest.raises(CheckpointError, match="3 tensors"):
        read(model(*(tensor(str(number), ONES) for number in range(4))))


def test_cut_anywhere_gives_one_clear_error():
    data = model(tensor("first", ONES), tensor("second", ONES))[: -len(field(8, field(2, 17)))]
    whole = len(field(1, 8) + field(2, b"pytorch"))
    for stop in range(len(data)):
        with pytest.raises(CheckpointError):
            read(data[:stop])
        assert stop < whole or data[:stop] != data


def test_flipped_bits_and_noise_give_arrays_or_one_clear_error(rng):
    data = bytearray(model(tensor("first", ONES), tensor("second", ONES), nodes=field(1, b"abc")))
    for _ in range(3000):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] ^= 1 << int(rng.integers(8))
        try:
            result = read(bytes(damaged))
        except CheckpointError:
            continue
        assert sum(array.nbytes for array in result.values()) <= 2 * len(data)
