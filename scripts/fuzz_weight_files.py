"""Feeds damaged files of all formats to the weight reader and records what came of them.

Run from the root of the repository:

    python scripts/fuzz_weight_files.py --out=benchmarks/results/fuzz_weight_files.json

An input may be read or refused with the one error that users see; it may not run code, take more
than five seconds, take more memory than twenty times its size and what half a million values need,
or return arrays larger than the file allows. Anything else ends the run and leaves the input in the
temporary folder. The same seed gives the same inputs; the file is written anew after each portion.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.models.weight_files.fuzzing import fuzz  # the tests hold files and damage

_PORTION = 2000
_TRACED = 4  # memory is measured in every fourth portion, and limited in all
_MEMORY_BYTES = 4 * 2**30


def portion(number: int, seed: int) -> dict:
    """The outcomes of one portion of the inputs."""
    return fuzz(seed * 10_000 + number, _PORTION, trace=number % _TRACED == 0)


def limit_memory() -> None:
    """What the memory of Python's own objects does not show, the parser in Rust for one."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def merge(total: dict, result: dict) -> None:
    """Adds the outcomes of a portion to those before."""
    for kind, outcomes in result["counts"].items():
        counts = total["by_format"].setdefault(kind, dict.fromkeys(outcomes, 0))
        for outcome, count in outcomes.items():
            counts[outcome] += count
    total["inputs"] += _PORTION
    total["slowest_input_seconds"] = max(total["slowest_input_seconds"], result["slowest"])
    total["largest_input_bytes"] = max(total["largest_input_bytes"], result["largest"])


def main() -> None:
    """Runs the fuzzer and writes its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    total = {
        "command": f"python scripts/fuzz_weight_files.py --rounds={arguments.rounds} "
        f"--seed={arguments.seed}",
        "python": platform.python_version(),
        "seed": arguments.seed,
        "inputs": 0,
        "failures": 0,  # the first one ends the run
        "by_format": {},
        "slowest_input_seconds": 0.0,
        "largest_input_bytes": 0,
    }
    numbers = range(-(-arguments.rounds // _PORTION))
    tasks = [(number, arguments.seed) for number in numbers]
    with multiprocessing.Pool(arguments.processes, limit_memory, maxtasksperchild=5) as pool:
        for result in pool.imap_unordered(_run, tasks):
            merge(total, result)
            total["seconds"] = round(time.perf_counter() - begin)
            if arguments.out:
                arguments.out.write_text(json.dumps(total, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(total, indent=1))


def _run(task: tuple[int, int]) -> dict:
    return portion(*task)


if __name__ == "__main__":
    main()
