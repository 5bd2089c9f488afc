"""Hostile pickles, written opcode by opcode: what an attacker would put into a weight file.

As a program it reads all of them, in every container, and prints what came of each as JSON:
python -m tests.models.weight_files.hostile_corpus
"""

import codecs
import io
import json
import resource
import struct
import sys
import time
import warnings
import zipfile

from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint
from tests.models.weight_files.torch_writer import SIX, Tensor, emit, write_legacy

REFUSED, INERT = "refused", "inert"


def text(content: str) -> bytes:
    """BINUNICODE."""
    data = content.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def held(value: bytes) -> bytes:
    """A dict with one key, so that what is inert can be read."""
    return b"}" + text("w") + value + b"s"


_SYSTEM, _ARGUMENT = b"cos\nsystem\n", text("touch hostile")
_CALL = _SYSTEM + _ARGUMENT + b"\x85R"
_STORAGE = emit(Tensor()).partition(b"_tensor_v2\n(")[2].partition(b"Q")[0] + b"Q"

# How a pickle reaches a function and calls it. All leave a name.
CODE = {
    "GLOBAL and REDUCE": _CALL,
    "STACK_GLOBAL": text("os") + text("system") + b"\x93" + _ARGUMENT + b"\x85R",
    "INST": b"(" + _ARGUMENT + b"ios\nsystem\n",
    "OBJ": b"(" + _SYSTEM + _ARGUMENT + b"o",
    "NEWOBJ": _SYSTEM + _ARGUMENT + b"\x85\x81",
    "NEWOBJ_EX": _SYSTEM + _ARGUMENT + b"\x85}\x92",
    "NEWOBJ_EX with keywords": b"csubprocess\nPopen\n)" + held(_ARGUMENT) + b"\x92",
    "eval": b"cbuiltins\neval\n" + text("__import__('os').mkdir('hostile')") + b"\x85R",
    "exec": b"cbuiltins\nexec\n" + text("import os") + b"\x85R",
    "__import__": b"c__builtin__\n__import__\n" + text("os") + b"\x85R",
    "getattr of a module": b"cbuiltins\ngetattr\n(cos\n\n" + text("system") + b"tR",
    "dotted name": text("os") + text("path.os.system") + b"\x93" + _ARGUMENT + b"\x85R",
    "a chain of calls": _CALL + _ARGUMENT + b"\x85R" + _ARGUMENT + b"\x85R",
    "runpy": b"crunpy\n_run_code\n(" + text("import os") + b"}tR",
    "torch.load inside": b"ctorch\nload\n" + text("/etc/passwd") + b"\x85R",
    "numpy object array": b"cnumpy\nload\n" + text("x.npy") + b"\x85R",
    "functools.partial": b"cfunctools\npartial\n(" + _SYSTEM + _ARGUMENT + b"tR)R",
    "operator.methodcaller": b"coperator\nmethodcaller\n" + text("system") + b"\x85R",
    "BUILD with __setstate__": _SYSTEM + b")R}" + text("__setstate__") + _CALL + b"sb",
    "BUILD with __class__": _SYSTEM + b")R}" + text("__class__") + b"cos\nPathLike\n" + b"sb",
    "BUILD with a slot state": _SYSTEM + b")RN}" + text("__dict__") + b"}s\x86b",
    "BUILD of a dict": b"ccollections\nOrderedDict\n)R}" + text("__reduce__") + _CALL + b"sb",
    "SETITEM on a global": _SYSTEM + text("k") + text("v") + b"s",
    "APPEND on a global": _SYSTEM + text("k") + b"a",
    "ADDITEMS on a global": _SYSTEM + b"(K\x01\x90",
    "copyreg": b"ccopyreg\n_reconstructor\n(" + _SYSTEM + b"cbuiltins\nobject\nNtR",
    "copyreg extension registry": b"ccopyreg\nadd_extension\n(" + _ARGUMENT * 2 + b"K\x01tR",
    "a parameter that is a call": b"ctorch._utils\n_rebuild_parameter\n(" + _CALL + b"\x88NtR",
    "default factory": b"ccollections\ndefaultdict\n" + _SYSTEM + b"\x85R",
}

# What no weight file needs, lies and bombs. All are refused.
LIES = {
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "BINPERSID of a number": b"K\x01Q",
    "BINPERSID of a call": _CALL + b"Q",
    "BINPERSID of an array": emit(Tensor()) + b"Q",
    "BINPERSID of arrays in a tuple": emit(Tensor()) + b"\x85" + b"0(" + emit(Tensor()) * 5 + b"tQ",
    "BINPERSID with an endless key": emit(
        ("storage", None, "0" * 5000, "cpu", 6),
    ).replace(b"N", b"ctorch\nFloatStorage\n", 1)
    + b"Q",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"N\x98",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1) + b"a",
    "BYTEARRAY8 of 4 EB": b"\x96" + struct.pack("<Q", 2**62) + b"a",
    "LONG4 of 2 GB": b"\x8b\xff\xff\xff\x7f\x01",
    "LONG4 of a negative length": b"\x8b\xff\xff\xff\xff\x01",
    "LONG of 100,000 digits": b"L" + b"9" * 100_000 + b"L\n",
    "INT that is none": b"I1e9\n",
    "BINBYTES8 of 4 EB": b"\x8e" + struct.pack("<Q", 2**62) + b"abc",
    "BINUNICODE8 of 4 EB": b"\x8d" + struct.pack("<Q", 2**62) + b"abc",
    "BINUNICODE of 4 GB": b"X\xff\xff\xff\xffabc",
    "BINSTRING of a negative length": b"T\xff\xff\xff\xffabc",
    "text that is no text": b"X\x02\x00\x00\x00\xff\xfe",
    "STRING without quotes": b"Sabc\n",
    "STRING with an odd escape": b"S'\\xg'\n",
    "unknown opcode": b"\xff",
    "a global of endless name": b"c" + b"a" * 100_000 + b"\nb\n",
    "a global of no text": b"K\x01K\x02\x93",
    "a call of a number": b"K\x01)R",
    "arguments that are no tuple": _SYSTEM + b"K\x01R",
    "arguments that are an array": b"ctorch\nSize\n" + emit(Tensor()) + b"R",
    "keywords that are an array": _SYSTEM + b")" + emit(Tensor()) + b"\x92" + b"K\x01R",
    "POP of nothing": b"0" * 9,
    "TUPLE without a mark": b"t",
    "APPENDS without a mark": b"]e",
    "memo entry that is not there": b"h\x05",
    "memo of a huge number": b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff",
    "a list as a key": b"}]Ns",
    "an array as a key": b"}" + emit(Tensor()) + b"Ns",
    "an endless tuple as a key": b"}(" + b"N" * 99 + b"tNs",
    "an endless text as a key": b"}" + text("k" * 5000) + b"Ns",
    "an array in a set": b"\x8f(" + emit(Tensor()) + b"\x90",
    "a list that holds itself": b"]q\x01h\x01a",
    "a dict that holds itself": b"}q\x01" + text("a") + b"h\x01s",
    "a tuple that holds itself": b"](h\x00tq\x00a",
    "a recursive tuple in a list": b"]q\x01h\x01\x85a",
    "nesting of tuples": b"N" + b"\x85" * 100_000,
    "nesting of lists": b"]" * 20_000 + b"a" * 19_999,
    "nesting of marks": b"(" * 50_000 + b"t" * 50_000,
    "doubling tuples": b"N" + b"2\x86" * 60,
    "doubling lists": b"K\x00" + b"q\x010]h\x01ah\x01a" * 60,
    "a storage that is missing": emit(Tensor(key="7")),
    "a shape of 2^62": emit(Tensor(size=(2**62, 2**62), stride=(0, 0))),
    "a stride beyond the storage": emit(Tensor(stride=(2**61, 1))),
    "an array of arrays": emit(Tensor()).replace(_STORAGE, emit(Tensor()), 1),
    "a set of a text": b"cbuiltins\nset\n" + text("a" * 9) + b"\x85R",
    "a size of itself": b"ctorch\nSize\n]q\x01h\x01ah\x01\x85R",
}

# Little to write and much to do: without limits these take minutes to years.
_BIG = b"(" + b"N" * 100_000
FLOODS = {
    "a memo flood": b"N" + b"\x94" * 600_000,
    "a flood of sets": b"\x8f" * 600_000,
    "a flood of marks": b"(" * 600_000,
    "copies of one list": _BIG + b"lq\x010" + b"ctorch\nSize\nh\x01\x85R0" * 20_000 + b"N",
    "calls with endless arguments": _BIG
    + b"tq\x010ctorch._utils\n_rebuild_parameter\nq\x020"
    + b"h\x02h\x01R0" * 20_000
    + b"N",
    "keys that are endless tuples": _BIG + b"tq\x010" + b"}h\x01Ns0" * 20_000 + b"N",
    "comparisons of endless keys": text("k" * 10**6)
    + b"q\x010"
    + text("k" * 10**6)
    + b"q\x020}h\x01Ns"
    + b"h\x02Ns" * 20_000,
    "numbers that collide": b"}("
    + b"".join(b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(9999))
    + b"u",
    "tuples that collide": b"}("
    + b"".join(b"K\x01G" + struct.pack(">d", 2.0**i) + b"\x86N" for i in range(500))
    + b"u",
    "arrays compared with a dict": emit(
        Tensor(size=(2**22,), stride=(0,)),
    )
    + b"q\x010"
    + (_SYSTEM + b")h\x01\x92") * 200,
    "sixteen megabytes of zeros, again and again": emit(
        Tensor(size=(2**22,), stride=(0,)),
    )
    * 20,
}


def run(case: bytes, container: str) -> dict:
    """Reads one pickle in one container; what came of it, and how long it took."""
    pickle = b"\x80\x04" + case + b"."
    # A legacy file must not list storages that it does not use.
    storages = {"0": SIX.tobytes()} if b"Storage" in case else {}
    data = _contain(pickle, container, storages)
    begin = time.process_time()
    try:
        read_checkpoint(data, format=container)
        outcome, message = INERT, ""
    except CheckpointError as error:
        outcome, message = REFUSED, str(error)
    seconds = time.process_time() - begin
    return {"outcome": outcome, "message": message, "seconds": seconds}


def _contain(pickle: bytes, container: str, storages: dict[str, bytes]) -> bytes:
    if container == "torch-legacy":
        whole = write_legacy({}, storages)
        return whole.replace(b"\x80\x02" + emit({}) + b".", pickle, 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


CONTAINERS = ("torch-zip", "torch-legacy", "torch-module")
_FORBIDDEN = ("pickle.", "os.", "subprocess.", "exec", "import", "open", "socket.", "shutil.")


def main() -> None:
    """Reads the whole corpus and prints the outcomes by container and name."""
    for name in ("raw-unicode-escape", "cp437"):
        codecs.lookup(name)  # parts of the standard library that are imported on first use
    warnings.simplefilter("ignore")
    events: list[str] = []
    watching = [False]

    def watch(event: str, arguments: tuple) -> None:
        if watching[0] and event.startswith(_FORBIDDEN):
            events.append(f"{event} {arguments}")

    sys.addaudithook(watch)
    cases = {name: held(code) for name, code in CODE.items()} | LIES
    read_checkpoint(_contain(b"\x80\x02}.", "torch-zip", {}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watching[0] = True
    results = {kind: {name: run(code, kind) for name, code in cases.items()} for kind in CONTAINERS}
    # What takes seconds takes as long in every container.
    results["torch-zip"] |= {name: run(code, "torch-zip") for name, code in FLOODS.items()}
    watching[0] = False
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"results": results, "events": events, "grown_kilobytes": grown}))


if __name__ == "__main__":
    main()
