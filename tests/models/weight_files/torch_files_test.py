"""Containers of torch files, and lies about them."""

import io
import zipfile

import numpy as np
import pytest

from jaxalign.models.weight_files.checkpoints import Opaque, read_checkpoint
from tests.models.weight_files.torch_writer import (
    LAYOUTS,
    SIX,
    Raw,
    Tensor,
    emit,
    refused,
    write,
    write_legacy,
    write_zip,
)


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_model_leaves_the_name_of_its_class(layout):
    """Old files carry the source text of the model's class as a persistent id."""
    model = Raw(emit(("module", Raw(b"cnet\nNet\n"), "net.py", "import os")) + b"Q)\x81}b")
    result = read_checkpoint(write(layout, {"model": model, "w": Tensor()}, {"0": SIX.tobytes()}))
    assert result["model"] == Opaque("net", "Net")
    np.testing.assert_array_equal(result["w"], SIX.reshape(2, 3))


def test_the_root_folder_may_have_any_name_and_byteorder_is_read():
    extra = {"byteorder": b"little", "version": b"3\n"}
    data = write_zip({"w": Tensor()}, {"0": SIX.tobytes()}, root="model_0", extra=extra)
    np.testing.assert_array_equal(read_checkpoint(data)["w"], SIX.reshape(2, 3))
    data = write_zip({"w": Tensor()}, {"0": SIX.tobytes()}, extra={"byteorder": b"big"})
    refused(data, "little-endian")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "identifier",
    [
        "text",
        ("storage",),
        ("other", Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", 6),
        ("module", "Net", "net.py", "source"),
        ("module", Raw(b"cnet\nNet\n")),
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
    refused(write_legacy(value, storages, protocol=1000), "protocol is not 1001")
    refused(write_legacy(value, storages, machine={"little_endian": False}), "little-endian")
    refused(write_legacy(value, storages, machine=[]), "little-endian")
    refused(write_legacy(value, {}), "list of storages")
    refused(write_legacy(value, {**storages, "1": b""}), "list of storages")
    refused(write_legacy(value, storages, itemsizes=2), "has 12 elements, expected 6")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_files_are_refused(layout, rng):
    data = write(layout, {"w": Tensor()}, {"0": SIX.tobytes()})
    for length in rng.choice(len(data), 100, replace=False):
        refused(data[:length])
    refused(data[:-1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_holds_no_dict_is_refused(layout):
    refused(write(layout, Tensor(), {"0": SIX.tobytes()}), "holds a ndarray, expected a dict")
