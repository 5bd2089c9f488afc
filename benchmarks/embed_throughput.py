"""Structures per second of our encoders and of the original packages, in one run.

    python benchmarks/embed_throughput.py --models=chgnet-0.3.0 --dataset=crystals --n=1000
    python benchmarks/embed_throughput.py --models=uma-random --n=48 --cpu_devices=2

Needs the original package in the environment (BUILD.md says how each is installed). Both sides get
the same structures and the same cores, make their own graphs, and return mean-pooled rows of the
same layer, which are compared. They run by turns: the ratio is the median over the repeats of
(time of the original / time of ours) of neighboring runs. A warm-up run of each, which also
compiles, is not counted. With `--cpu_devices=2` ours divides its batches among so many virtual
devices of the processor, as `jaxalign run --cpu_devices=2` does; the cores stay the same. Results
are merged into benchmarks/results/embed_throughput.json.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/embed_throughput.py --clock=cpu --models=…

counts the processor's time instead of the clock on the wall: on one core it does not depend on what
else the machine does. These results go to benchmarks/results/embed_throughput_one_core.json.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from pathlib import Path

import jax
import numpy as np
from absl import app, flags
from jax.sharding import Mesh

import jaxalign as ja
from jaxalign.archives.atomic import write_json
from jaxalign.embeddings.extract import embed_structures
from jaxalign.models.registry import load_model
from jaxalign.parallel.mesh import make_mesh
from jaxalign.profiling.machine import machine

_MODELS = flags.DEFINE_list("models", None, "Registry ids.", required=True)
_DATASET = flags.DEFINE_string("dataset", "crystals", "Named data set.")
_ELEMENTS = flags.DEFINE_list("elements", None, "Only structures made of these elements.")
_N = flags.DEFINE_integer("n", 1000, "Structures.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Counted runs of each side.", lower_bound=1)
_CPU_DEVICES = flags.DEFINE_integer(
    "cpu_devices", 1, "Virtual devices of the processor on our side.", lower_bound=1
)
_CLOCK = flags.DEFINE_enum(
    "clock", "wall", ["wall", "cpu"], "What is measured; cpu asks for a single core."
)
_RESULTS = Path(__file__).parent / "results"
_FILES = {"wall": "embed_throughput.json", "cpu": "embed_throughput_one_core.json"}
_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

_PACKAGES = ("jaxalign", "jax", "jaxlib", "numpy", "vesin", "torch")
# First part of a model's id → module of benchmarks/originals.
_ORIGINALS = {
    "all": "minilm",
    "sceptr": "sceptr",
    "ani": "ani",
    "admet": "dmpnn",
    "minimol": "minimol",
    "chython": "chython",
    "chgnet": "chgnet",
    "sevennet": "sevennet",
    "so3lr": "so3lr",
    "mace": "mace",
    "unirep": "unirep",
    "near": "near",
    "antiberty": "antiberty",
    "proteinmpnn": "proteinmpnn",
    "ligandmpnn": "proteinmpnn",
    "membranempnn": "proteinmpnn",
    "esen": "esen",
    "uma": "esen",
    "orb": "orb",
    "soap": "soap",
    "coulomb": "soap",
    "sine": "soap",
    "hf": "huggingface",
}


def _atoms(structure: ja.Structure) -> int:
    return 0 if structure.atomic_numbers is None else len(structure.atomic_numbers)


def _timed(function, structures) -> tuple[float, np.ndarray]:
    clock = _CLOCKS[_CLOCK.value]
    begin = clock()
    rows = function(structures)
    return clock() - begin, np.asarray(rows)


def measure(
    model: str, structures: ja.StructureSet, repeats: int, *, mesh: Mesh | None = None
) -> dict:
    """Throughput of one model on both sides.

    Args:
      model: registry id.
      structures: what to embed.
      repeats: counted runs of each side.
      mesh: devices of our side; None for what `embed_structures` chooses.

    Returns:
      Medians and the median ratio, with the difference between the two results.
    """
    encoder = load_model(model)
    facts = {}

    def ours(structures):
        found = embed_structures(encoder, structures, progress=False, mesh=mesh)
        facts.update(found.info)
        return found.values

    module = importlib.import_module(f"originals.{_ORIGINALS[re.split('[-:]', model)[0]]}")
    original = module.load(model)
    (compiled, mine), (_, theirs) = (_timed(side, structures) for side in (ours, original))
    compilations = facts["compilations"]
    times = np.array([[_timed(s, structures)[0] for s in (ours, original)] for _ in range(repeats)])
    difference = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
    n, atoms = len(structures), sum(_atoms(s) for s in structures)
    residues = sum(len(s.sequence or "") for s in structures)
    own, other = np.median(times, axis=0).tolist()
    return {
        "model": model,
        "structures": n,
        "atoms": atoms,
        "structures_per_second": n / own,
        "atoms_per_second": atoms / own,
        "residues": residues,
        "residues_per_second": residues / own,
        "original_structures_per_second": n / other,
        "ratio": float(np.median(times[:, 1] / times[:, 0])),
        "first_run_seconds": compiled,
        "compilations": compilations,
        "padding_waste": facts["padding_waste"],
        "input_seconds": facts["input_seconds"],
        "input_wait_share": facts["input_wait_share"],
        # Of a random network each side draws its own.
        "largest_relative_difference": None if model.endswith("-random") else difference,
    }


def main(words) -> None:
    """Measures and merges the results into the file."""
    if words[1:]:
        raise app.UsageError(f"unexpected arguments {words[1:]}")
    structures = ja.load_dataset(
        _DATASET.value, n=_N.value, seed=_SEED.value, elements=_ELEMENTS.value or None
    )
    if _CLOCK.value == "cpu" and len(os.sched_getaffinity(0)) > 1:
        raise app.UsageError("--clock=cpu asks for a single core: start with taskset -c 0")
    out, mesh = _RESULTS / _FILES[_CLOCK.value], None
    if _CPU_DEVICES.value > 1:
        jax.config.update("jax_num_cpu_devices", _CPU_DEVICES.value)
        mesh = make_mesh()
    for model in _MODELS.value:
        row = measure(model, structures, _REPEATS.value, mesh=mesh)
        row |= {
            "dataset": _DATASET.value,
            "repeats": _REPEATS.value,
            "cpu_devices": _CPU_DEVICES.value,
            # Processes that wanted a core, in the last minute: ours and the original's are some.
            "load": os.getloadavg()[0],
            "machine": machine(_PACKAGES),
        }
        print(json.dumps(row, indent=1))
        known = json.loads(out.read_text()) if out.exists() else []
        rows = [old for old in known if old["model"] != model] + [row]
        write_json(out, sorted(rows, key=lambda row: row["model"]))


if __name__ == "__main__":
    app.run(main)
