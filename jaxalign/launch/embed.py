"""Embed structures with registered encoders into WORKDIR/embeddings, one store a model.

    jaxalign embed --models=ani-1x-0,ecfp4 --dataset=qm9 --n=1000 --workdir=W
    jaxalign embed --models=rxnfp-bert-pretrained --structures=molecules.smi.gz --workdir=W
    jaxalign embed --models=soap --dataset=crystals --n=500 --perturb=rattle \
        --amplitudes=0,0.1,0.2 --workdir=W

An interrupted call resumes; a finished one computes nothing again. Score the stores with
`jaxalign align --embeddings=W/embeddings --workdir=W`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from absl import flags

from jaxalign import api
from jaxalign.launch import distributed, folders, reading, runtime, workflow
from jaxalign.launch.embedding_work import describe_embedding
from jaxalign.launch.energy_table import write_energies
from jaxalign.launch.process import run_verb
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.structures.perturb import KINDS

_MODELS = flags.DEFINE_list(
    "models",
    None,
    "Registry ids (`jaxalign models list`) or ARCHITECTURE:FILE for weights of your own, comma "
    "separated.",
)
_DATASET = flags.DEFINE_string("dataset", None, "Named data set; `jaxalign datasets list`.")
_STRUCTURES = flags.DEFINE_string(
    "structures",
    None,
    "File: SMILES, SDF, xyz, CIF, POSCAR, ASE db, FASTA, PDB, mmCIF; or a folder of PDB and mmCIF.",
)
_N = flags.DEFINE_integer(
    "n", None, "Size of a seeded random subset of the data set.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the subset.")
_ELEMENTS = flags.DEFINE_list("elements", None, "Only structures made of these elements.")
_PERTURB = flags.DEFINE_enum(
    "perturb", None, list(KINDS), "Embed perturbed copies of the structures instead."
)
_AMPLITUDES = flags.DEFINE_list(
    "amplitudes", None, "Strengths of --perturb; default: the usual ones of its kind."
)
_COPIES = flags.DEFINE_integer("copies", 1, "Copies at every amplitude above 0.", lower_bound=1)
_PERTURB_SEED = flags.DEFINE_integer("perturb_seed", 0, "Seed of the perturbations.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the embeddings.")
_LAYER = flags.DEFINE_string("layer", None, "Hidden layer by name; default: the model card's.")
_POOLING = flags.DEFINE_string("pooling", None, "mean, sum, max, cls, last or cumulants.")
_ENERGIES = flags.DEFINE_bool(
    "energies", False, "Also write energies.parquet: energies that the potentials predict, eV."
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "raise", ["raise", "skip"], "Structures or models that fail: stop, or list them."
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["models", "workdir"])


def main(words: Sequence[str]) -> None:
    """Embeds and prints one line a model."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    api.require_sound_jax()
    settings = {
        "name": _DATASET.value,
        "path": _STRUCTURES.value,
        "n": _N.value,
        "seed": _SEED.value,
        "elements": _ELEMENTS.value,
        "perturb": _perturbation(),
    }
    workdir = folders.folder(_WORKDIR.value, remote=not _ENERGIES.value)
    structures = reading.read_dataset(settings, on_error=_ON_ERROR.value)
    models = workflow.model_ids(_MODELS.value)
    with runtime.session():
        done = workflow.embed_models(
            models,
            structures,
            workdir,
            layer=_LAYER.value,
            pooling=_POOLING.value,
            on_error=_ON_ERROR.value,
            progress=_PROGRESS.value,
            mesh=distributed.chosen_mesh(),
        )
        table = None
        if _ENERGIES.value:
            table = write_energies(
                models,
                structures,
                workdir,
                on_error=_ON_ERROR.value,
                progress=_PROGRESS.value,
                mesh=distributed.chosen_mesh(),
            )
    if not is_primary_process():
        return
    for model, embeddings in done.embeddings.items():
        n, d = embeddings.raw.shape
        fresh = embeddings.info.get("rows_computed", n)
        cost = describe_embedding(embeddings.info)
        print(f"{model}: {n} rows x {d}, {fresh} computed now{f' ({cost})' if cost else ''}")
    for model, unseen in done.unseen.items():
        print(f"{model} does not see {unseen}")
    for row in done.skipped:
        print("skipped:", ", ".join(f"{key} {value}" for key, value in row.items()))
    if _ENERGIES.value:
        print(f"energies: {table}" if table else "energies: none of these models predicts any")
    if done.rows_computed == 0:
        print("nothing was computed again: all embeddings were complete")


def _perturbation() -> dict[str, Any]:
    words = _AMPLITUDES.value
    if words and _PERTURB.value is None:
        raise ValueError("--amplitudes are of a perturbation: say which with --perturb")
    try:
        amplitudes = None if words is None else [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"--amplitudes must be numbers: got {','.join(words)}") from error
    return {
        "kind": _PERTURB.value,
        "amplitudes": amplitudes,
        "copies": _COPIES.value,
        "seed": _PERTURB_SEED.value,
    }


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.embed")
