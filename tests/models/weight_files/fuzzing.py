"""Feeds damaged files to the weight reader and checks what every one of them may do.

As a program it prints one JSON object: python -m tests.models.weight_files.fuzzing SEED ROUNDS
"""

import codecs
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from jaxalign.archives.entries import list_entries, read_entry
from jaxalign.archives.fetch import ArchiveError
from jaxalign.models.weight_files.checkpoints import CheckpointError, Opaque, read_checkpoint
from tests.models.weight_files.mutations import damage, good_files

MAX_SECONDS = 5.0
MAX_MESSAGE = 2000
_SPARE_BYTES = 160 * 2**20  # half a million empty sets, the most a pickle can make
_ARRAY_BYTES = 16 * 2**20
_FORBIDDEN = ("pickle.", "os.", "subprocess.", "exec", "socket.", "shutil.", "ctypes.")


def walk(value) -> int:
    """Touches every number, as a consumer would; returns the bytes of all arrays."""
    if isinstance(value, np.ndarray):
        return value.copy().nbytes
    if isinstance(value, dict):
        return sum(map(walk, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(walk, value))
    if not isinstance(value, str | bytes | int | float | bool | None | Opaque):
        raise AssertionError(f"a {type(value)} came out of a file")
    return 0


class Fuzzer:
    """Runs one input after the other; counts what came of them.

    Args:
      folder: where archives are written, the one format that is read from disk.
    """

    def __init__(self, folder: Path):
        self._archive = folder / "fuzzed.whl"
        self._watching = False
        self.good = good_files()
        self.slowest, self.largest = 0.0, 0
        self.counts = {kind: {"read": 0, "refused": 0} for kind in self.good}
        for name in ("raw-unicode-escape", "cp437"):
            codecs.lookup(name)  # parts of the standard library that are imported on first use
        sys.addaudithook(self._forbid)

    def _forbid(self, event: str, arguments: tuple) -> None:
        if self._watching and event.startswith(_FORBIDDEN):
            sys.exit(f"a damaged file caused {event} {arguments}")

    def run(self, kind: str, data: bytes) -> None:
        """Reads one damaged file.

        Args:
          kind: a key of `good_files`.
          data: the file.

        Raises:
          AssertionError: if reading took long or much memory, or returned more than it may; every
            error but those for users passes through.
        """
        read = self._read_archive if kind == "wheel" else self._read_weights
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
        before, begin = tracemalloc.get_traced_memory()[0], time.process_time()
        self._watching = True
        try:
            read(kind, data)
            self.counts[kind]["read"] += 1
        except (CheckpointError, ArchiveError) as error:
            _check_message(str(error))
            self.counts[kind]["refused"] += 1
        finally:
            self._watching = False
        seconds = time.process_time() - begin
        peak = tracemalloc.get_traced_memory()[1] - before
        self.slowest, self.largest = max(self.slowest, seconds), max(self.largest, peak)
        if seconds > MAX_SECONDS or peak > 20 * len(data) + _SPARE_BYTES:
            raise AssertionError(f"{seconds:.1f} s and {peak:,} bytes for {len(data):,} bytes")

    def _read_weights(self, kind: str, data: bytes) -> None:
        kind = kind.removesuffix("-deflated")
        allowed = {"npz": 16, "safetensors": 2}.get(kind, 4) * len(data) + _ARRAY_BYTES
        if (size := walk(read_checkpoint(data, format=kind))) > allowed:
            raise AssertionError(f"arrays of {size:,} bytes came out of {len(data):,}")

    def _read_archive(self, kind: str, data: bytes) -> None:
        self._archive.write_bytes(data)
        for name in list_entries(self._archive):
            if name.startswith("/") or ".." in name.split("/"):
                raise AssertionError(f"the name {name!r} leads out of the folder")
            if len(read_entry(self._archive, name, max_bytes=10**6)) > 10**6:
                raise AssertionError("more than max_bytes came out")


def _check_message(text: str) -> None:
    if len(text) > MAX_MESSAGE or not text.isprintable():
        raise AssertionError(f"an error of {len(text)} characters: {text[:300]!r}")


def fuzz(seed: int, rounds: int, *, trace: bool = True) -> dict:
    """Damages good files at random.

    Args:
      seed: of all choices.
      rounds: number of inputs.
      trace: measure memory too, which takes most of the time.

    Returns:
      `counts` by format and outcome, the `slowest` input in seconds, the `largest` in bytes.

    Raises:
      Exception: whatever an input provoked; the input is left in the temporary folder.
    """
    chance = random.Random(seed)
    warnings.simplefilter("ignore")  # of odd escapes and doubled names in damaged files
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        others = list(fuzzer.good.values())
        if trace:
            tracemalloc.start()
        for _ in range(rounds):
            kind = chance.choice(list(fuzzer.good))
            data = damage(fuzzer.good[kind], chance, others)
            with _keeping(data, kind):
                fuzzer.run(kind, data)
        tracemalloc.stop()
    return {"counts": fuzzer.counts, "slowest": fuzzer.slowest, "largest": fuzzer.largest}


@contextlib.contextmanager
def _keeping(data: bytes, kind: str):
    """Leaves the input that provoked an error, so that it can be looked at."""
    try:
        yield
    except BaseException:
        path = Path(tempfile.gettempdir()) / f"fuzzed-{kind}.bin"
        path.write_bytes(data)
        print(f"the input is {path}", file=sys.stderr)
        raise


def fuzz_apart(seed: int, rounds: int) -> dict:
    """Runs `fuzz` as users do: without the annotations being checked, which is 25 times faster."""
    command = [sys.executable, "-m", "tests.models.weight_files.fuzzing", str(seed), str(rounds)]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=3600, check=False
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), int(sys.argv[2]))))
