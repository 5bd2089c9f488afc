import dataclasses
import tracemalloc

import numpy as np
import pytest

from jaxalign.models.weight_files.checkpoints import Opaque, read_checkpoint
from tests.models.weight_files.torch_writer import (
    KINDS,
    LAYOUTS,
    SIX,
    Raw,
    Tensor,
    refused,
    typed,
    write,
)


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
def test_types_without_a_storage_class(layout, rng):
    values = rng.integers(0, 2**16, 6).astype("<u2")
    storage = Tensor(kind="UntypedStorage", numel=12)
    contents = {"0": values.tobytes()}
    value = {"w": typed(b"uint16", storage), "eight": typed(b"float8_e4m3fn", storage)}
    result = read_checkpoint(write(layout, value, contents, itemsize=1))
    np.testing.assert_array_equal(result["w"], values.reshape(2, 3), strict=True)
    assert result["eight"] == Opaque("torch", "float8_e4m3fn")
    refused(write(layout, {"w": typed(b"uint64", storage)}, contents, itemsize=1))
    far = dataclasses.replace(storage, offset=1)
    refused(write(layout, {"w": typed(b"uint16", far)}, contents, itemsize=1), "reaches element 6")


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
