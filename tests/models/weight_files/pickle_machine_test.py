"""Hostile and harmless pickles, written opcode by opcode or by the standard library."""

import builtins
import codecs
import collections
import copy
import io
import os
import pickle
import pickletools
import random
import struct
import sys
import tracemalloc

import pytest

from jaxalign.models.weight_files import pickle_machine
from jaxalign.models.weight_files.pickle_machine import run_pickle
from jaxalign.models.weight_files.plain_values import CheckpointError, Opaque

_EXECUTES = ("pickle.", "os.", "subprocess.", "exec", "open", "shutil.", "socket.", "import")
_events: list[str] = []
_reading = False


def _watch(event, _):
    # The interpreter itself reports every import, process, file and socket.
    if _reading and event.startswith(_EXECUTES):
        _events.append(event)


sys.addaudithook(_watch)
codecs.lookup("raw-unicode-escape")  # imported on first use, by the text of protocol 0


def read(data: bytes, constructors=None):
    """Runs a pickle and fails if anything is executed meanwhile."""
    global _reading
    _events.clear()
    _reading = True
    try:
        return run_pickle(
            io.BytesIO(data),
            constructors={} if constructors is None else constructors,
            load_persistent=lambda identifier: identifier,
        )
    finally:
        _reading = False
        assert _events == []


def test_the_watch_sees_what_a_hostile_pickle_does():
    """The check of the checks: the standard library's reader is caught in the act."""
    global _reading
    _events.clear()
    _reading = True
    try:
        pickle.loads(b"cos\nsystem\n(S'true'\ntR.")
    finally:
        _reading = False
    assert {"pickle.find_class", "os.system"} <= set(_events)


class Evil:
    def __init__(self, *reduction):
        self.reduction = reduction

    def __reduce__(self):
        return self.reduction


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back_in_every_protocol(protocol):
    shared = [1, 2]
    value = {
        "int": [0, 1, 255, 256, -1, 65536, 2**31, -(2**31), 2**63, -(10**30)],
        "float": (0.5, -1e300, float("inf")),
        "text": ["", "a", "Å" * 300, "\ud800", "line\nbreak"],
        "none": None,
        "bool": (True, False),
        "nested": {1: {(1, "a"): [[], {}, ()]}, None: 2.5},
        "shared": [shared, shared],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    }
    if protocol >= 3:
        value["bytes"] = [b"", b"a", b"\xff" * 300]
    if protocol >= 4:
        value["sets"] = [{1, 2}, frozenset({"a"}), set()]
    result = read(pickle.dumps(value, protocol))
    assert result == value
    assert result["shared"][0] is result["shared"][1]


def test_the_reader_stops_behind_its_pickle():
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps([2]) + b"rest")
    options = {"constructors": {}, "load_persistent": lambda identifier: identifier}
    assert [run_pickle(file, **options), run_pickle(file, **options)] == [1, [2]]
    assert file.read() == b"rest"


def test_a_constructor_of_the_table_is_called_and_no_other():
    data = pickle.dumps([collections.Counter("aab"), complex(1, 2)], 2)
    assert read(data, {("collections", "Counter"): lambda counts: ("counter", counts)}) == [
        ("counter", {"a": 2, "b": 1}),
        Opaque("__builtin__", "complex"),
    ]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, ("true",)),
        Evil(eval, ("__import__('os').system('true')",)),
        Evil(exec, ("import os",)),
        Evil(getattr, ("", "join")),
        Evil(builtins.__import__, ("os",)),
        Evil(open, ("/nonexistent", "w")),
        Evil(copy.copy, ([],), {"a": 1}, iter([1, 2]), iter([("k", "v")])),
        Evil(map, (os.system, ["true"])),
        Evil(type, ("C", (), {})),
    ],
)
def test_hostile_calls_leave_a_name(evil, protocol):
    result = read(pickle.dumps({"w": evil, "ok": 1}, protocol))
    assert isinstance(result["w"], Opaque)
    assert result["ok"] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85\x81.",  # NEWOBJ
        b"\x80\x04cos\nsystem\n\x8c\x04true\x85}\x92.",  # NEWOBJ_EX
        b"\x80\x04cos\nsystem\n\x8c\x04true\x85}\x8c\x01a\x8c\x01bs\x92.",  # with keywords
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R\x8c\x04true\x85R.",  # a chain
        b"cos\nsystem\n}X\x09\x00\x00\x00__class__X\x01\x00\x00\x00xsb.",  # BUILD
        b"cos\nsystem\nX\x01\x00\x00\x00ka.",  # APPEND
        b"cos\nsystem\nX\x01\x00\x00\x00kX\x01\x00\x00\x00vs.",  # SETITEM
        b"\x80\x04cos\nsystem\n(K\x01\x90.",  # ADDITEMS
    ],
)
def test_every_way_to_call_leaves_a_name(data):
    assert read(data) == Opaque("os", "system")


def test_dotted_names_are_names():
    data = b"\x80\x04\x8c\x08builtins\x8c\x13str.__class__.__bases__\x93."
    data = data.replace(b"\x8c\x13", bytes([0x8C, len("str.__class__.__bases__")]))
    assert read(data) == Opaque("builtins", "str.__class__.__bases__")


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x01.",  # EXT1
        b"\x83\x01\x00.",  # EXT2
        b"\x84\x01\x00\x00\x00.",  # EXT4
        b"Pname\n.",  # textual persistent id
        b"\x97.",  # NEXT_BUFFER
        b"N\x98.",  # READONLY_BUFFER
        b"\x80\x05\x96" + struct.pack("<Q", 1) + b"a.",  # BYTEARRAY8
    ],
)
def test_opcodes_that_weight_files_do_not_need_are_refused(data):
    with pytest.raises(CheckpointError, match="is refused"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b".",
        b"0.",
        b"1.",
        b"t.",
        b"2.",
        b"a.",
        b"]a.",
        b"K\x01K\x02a.",
        b"(K\x01K\x02K\x03d.",  # key without a value
        b"}(K\x01u.",
        b"NK\x01K\x02s.",
        b"h\x05.",
        b"R.",
        b"K\x01)R.",  # calls a number
        b"cos\nsystem\nK\x01R.",  # with something that is no tuple
        b"(o.",
        b"(K\x01o.",
        b"K\x01b.",
        b"Nq\x000.",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x04](K\x01\x90.",
        b"}]K\x01s.",  # list as a key
        b"}(]tK\x01s.",  # list inside a key
        b"\x80\x04(]\x91.",
    ],
)
def test_programs_that_make_no_sense_are_refused(data):
    with pytest.raises(CheckpointError):
        read(data)


def peak_bytes(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",  # BINBYTES8 of 4 EB
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.",  # BINUNICODE8
        b"B\xff\xff\xff\x7fabc.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8b\xff\xff\xff\x7f\x01.",  # LONG4
        b"\x8b\xff\xff\xff\xff\x01.",  # negative length
        b"I" + b"9" * 10_000 + b"\n.",
        b"L" + b"9" * 10_000 + b"L\n.",
    ],
)
def test_lengths_beyond_the_file_allocate_nothing(data):
    def run():
        with pytest.raises((CheckpointError, ValueError)):
            read(data)

    assert peak_bytes(run) < 10e6


def test_a_huge_memo_index_allocates_nothing():
    assert peak_bytes(lambda: read(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff.")) < 1e6


def test_cycles_are_refused():
    in_list: list = []
    in_list.append((in_list,))
    in_dict: dict = {}
    in_dict["self"] = [in_dict]
    for cycle in (in_list, in_dict):
        with pytest.raises(CheckpointError, match="nested more than"):
            read(pickle.dumps(cycle))


@pytest.mark.parametrize(
    "data",
    [
        b"N" + b"\x85" * 30_000,  # tuples
        b"]" * 5000 + b"a" * 4999,  # lists
        b"}" + b"N}" * 5000 + b"s" * 5000,  # dicts
        b"(" * 5000 + b"l" * 5000,  # marks
    ],
)
def test_deep_nesting_is_refused(data):
    with pytest.raises(CheckpointError, match="64 deep"):
        read(data + b".")


def test_64_levels_are_read_and_65_are_not():
    def nested(depth):
        value = None
        for _ in range(depth):
            value = [value]
        return pickle.dumps(value)

    assert read(nested(64)) is not None
    with pytest.raises(CheckpointError, match="64 deep"):
        read(nested(65))


def test_doubling_by_reference_is_refused():
    """Sixty lists, each holding the one before twice: 2^60 values when walked."""
    value = [0]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(CheckpointError, match="unfolds into more"):
        read(pickle.dumps(value))


def test_long_programs_and_repeated_copies_are_refused(monkeypatch):
    monkeypatch.setattr(pickle_machine, "MAX_OPERATIONS", 10_000)
    read(b"N0" * 4000 + b"N.")
    with pytest.raises(CheckpointError, match="operations"):
        read(b"N0" * 6000 + b"N.")
    # One list of 1,000 values, copied a hundred times by a call that is carried out.
    body = b"(" + b"N" * 1000 + b"lq\x000" + b"c__builtin__\nlist\nh\x00\x85R0" * 100 + b"N."
    with pytest.raises(CheckpointError, match="operations"):
        read(body, {("__builtin__", "list"): list})


def test_colliding_keys_are_refused():
    colliding = {i * (2**61 - 1): None for i in range(1, 100)}
    with pytest.raises(CheckpointError, match="bits inside a key"):
        read(pickle.dumps(colliding))


def fuzz(seed: int, rounds: int) -> int:
    """Random programs and random damage; returns how many were read."""
    chance = random.Random(seed)
    value = {
        "a": [1, 2.5, "text", (1, 2, 3)],
        "b": {"c": None, "d": [True]},
        "e": Evil(eval, ("1",)),
    }
    good = [pickle.dumps(value, protocol) for protocol in range(6)]
    opcodes = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
    read_well = 0
    for _ in range(rounds):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 6)):
            where = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[where] = chance.randrange(256)
            elif kind == 1:
                data[where:where] = chance.choice(opcodes)
            elif kind == 2:
                del data[where : where + chance.randint(1, 4)]
            else:
                data[where : where + 1] = chance.choice(opcodes)
            data = data or bytearray(b".")
        try:
            read(bytes(data))
            read_well += 1
        except (CheckpointError, ValueError, IndexError, KeyError, TypeError, struct.error):
            pass  # CheckpointError, or what the standard library's opcode reader raises
    return read_well


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of odd escapes in damaged text
def test_random_damage(rng):
    assert fuzz(int(rng.integers(2**32)), 1000) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of odd escapes in damaged text
def test_much_random_damage(rng):
    assert fuzz(int(rng.integers(2**32)), 20_000) > 0
