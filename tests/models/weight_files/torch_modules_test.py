"""Whole pickled models, right and hostile; the pickles are written opcode by opcode."""

import numpy as np
import pytest

from jaxalign.models.weight_files import torch_modules
from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint
from jaxalign.models.weight_files.plain_values import Instance, Opaque
from tests.models.weight_files.torch_writer import SIX, Raw, Tensor, emit, write_zip

STORAGES = {"0": SIX.tobytes()}


def ordered(items):
    return Raw(b"ccollections\nOrderedDict\n)R(" + b"".join(map(emit, items)) + b"u")


def module(*, name=b"net\nNet", parameters=(), buffers=(), modules=(), **attributes):
    state = {
        "_parameters": ordered(parameters),
        "_buffers": ordered(buffers),
        "_modules": ordered(modules),
        **attributes,
    }
    return Raw(b"c" + name + b"\n)\x81" + emit(state) + b"b")


def read(value):
    return read_checkpoint(write_zip(value, STORAGES), format="torch-module")


def test_arrays_have_dotted_names_and_settings_are_plain():
    parameter = Raw(b"ctorch._utils\n_rebuild_parameter\n" + emit((Tensor(), True, None)) + b"R")
    inner = module(parameters=("weight", parameter, "bias", None), buffers=("scale", Tensor()))
    device = Raw(b"ctorch\ndevice\n" + emit(("cpu",)) + b"R")
    outer = module(modules=("net", module(modules=("0", inner))), cutoff=4.5, act=device, l=[1, 2])
    result = read(outer)
    assert result["state_dict"].keys() == {"net.0.weight", "net.0.scale"}
    for array in result["state_dict"].values():
        np.testing.assert_array_equal(array, SIX.reshape(2, 3))
    assert result["settings"] == {"cutoff": 4.5, "l": [1, 2]}
    assert result["modules"][""] == {"cutoff": 4.5, "l": [1, 2], "class": "Net"}
    assert result["modules"].keys() == {"", "net", "net.0"}


def test_other_readers_still_leave_the_name_alone():
    data = write_zip({"net": module(cutoff=1.0)}, STORAGES)
    assert read_checkpoint(data) == {"net": Opaque("net", "Net")}


@pytest.mark.parametrize(
    "name", [b"os\nsystem", b"builtins\neval", b"builtins\n__import__", b"subprocess\nPopen"]
)
def test_hostile_names_are_instances_without_behavior(name):
    """`system("...")` and then state with `__class__` and `__setstate__`: nothing but keys."""
    call = b"c" + name + b"\n" + emit(("exit 1",)) + b"R" + emit({"__class__": "x"}) + b"b"
    state = {"__setstate__": Raw(call), "__dict__": {}, "__reduce__": 1}
    result = read(module(name=name, **state))
    assert result["state_dict"] == {}
    assert result["settings"] == {"__reduce__": 1}


def test_a_file_without_a_model_is_refused():
    for value in ({"w": Tensor()}, Tensor(), 3, Raw(b"cnet\nNet\n"), Raw(b"cnet\nNet\n)\x81")):
        with pytest.raises(CheckpointError, match="model was expected"):
            read(value)


@pytest.mark.parametrize("kind", ["_parameters", "_buffers", "_modules"])
@pytest.mark.parametrize("wrong", [3, [1], "text", Tensor(), {1: 2}, Raw(b"cnet\nNet\n)\x81")])
def test_odd_tables_of_a_module_are_refused(kind, wrong):
    state = {"_parameters": {}, "_buffers": {}, "_modules": {}, kind: wrong}
    with pytest.raises(CheckpointError, match=kind):
        read(Raw(b"cnet\nNet\n)\x81" + emit(state) + b"b"))


def test_cycles_and_doubling_trees_are_refused():
    """A module inside itself, and one that holds its child twice, 40 times over: 2⁴⁰ paths."""
    child = emit("_modules") + b"}" + emit("a") + b"h\x01s"
    with pytest.raises(CheckpointError, match="nested"):
        read(Raw(b"cnet\nNet\n)\x81q\x01}(" + child + b"ub"))
    code = emit(module())
    for level in range(2, 42):
        memo = bytes([level])
        table = b"}(" + emit("a") + b"h" + memo + emit("b") + b"h" + memo + b"u"
        code += b"q" + memo + b"0cnet\nNet\n)\x81}" + emit("_modules") + table + b"sb"
    with pytest.raises(CheckpointError, match=r"nested|unfolds"):
        read(Raw(code))


def test_dotted_names_do_not_grow_without_end():
    """Twenty-five modules inside each other under names of a hundred letters."""
    inner = module()
    for _ in range(25):
        inner = module(modules=("m" * 100, inner))
    with pytest.raises(CheckpointError, match="names of more than"):
        read(inner)


def test_repeated_state_counts_as_work():
    """One large dict that is written to an instance over and over."""
    large = b"}(" + b"".join(emit(str(n)) + b"N" for n in range(5000)) + b"uq\x01"
    code = large + b"0cnet\nNet\n)\x81" + b"h\x01b" * 200
    with pytest.raises(CheckpointError, match="operations"):
        read(Raw(code))


def test_state_that_is_no_dict_is_not_kept():
    instance = Raw(b"cnet\nNet\n)\x81" + emit((None, {"a": 1})) + b"b")
    result = read(module(other=instance, modules=("a", instance)))
    assert result["state_dict"] == result["settings"] == {}
    assert result["modules"]["a"] == {"class": "Net"}


def test_a_dict_is_never_taken_for_an_instance():
    """Items cannot be written into an instance, nor an instance used as a key."""
    with pytest.raises(CheckpointError, match="fills a Instance"):
        read(Raw(b"cnet\nNet\n)\x81(" + emit("_modules") + b"}u"))
    with pytest.raises(CheckpointError, match="key"):
        read(Raw(b"}(" + emit(module()) + b"K\x01u"))
    assert issubclass(Instance, dict)
    assert torch_modules.read_torch_module(write_zip(module(), STORAGES))["settings"] == {}


def record(**attributes):
    return Raw(b"cnet\nRecord\n)\x81" + emit(attributes) + b"b")


def test_a_record_of_a_model_gives_its_averaged_arrays_and_plain_attributes():
    states = {"model_state_dict": {"w": 0}, "ema_state_dict": {"module.w": Tensor(), "n": 3}}
    result = read(record(**states, model_config={"backbone": {"cutoff": 6.0}}, tasks_config=[]))
    assert result["state_dict"].keys() == {"module.w"}
    assert result["modules"][""]["model_config"] == {"backbone": {"cutoff": 6.0}}
    assert result["modules"][""]["class"] == "Record"


@pytest.mark.parametrize("name", [b"os\nsystem", b"builtins\neval"])
def test_a_hostile_record_is_inert(name):
    call = Raw(b"c" + name + b"\n" + emit(("exit 1",)) + b"R")
    result = read(record(ema_state_dict={"w": Tensor(), "x": call}, model_config=call))
    assert result["state_dict"].keys() == {"w"}
    with pytest.raises(CheckpointError, match="ema_state_dict"):
        read(record(ema_state_dict={1: Tensor()}))
