"""Embed, align and report from one config file.

    jaxalign run --config=configs/molecules.py --workdir=W
    jaxalign run --config=configs/molecules.py --workdir=W --config.dataset.n=5000 --config.k=25

The workdir holds embeddings/, alignment/ (table.parquet, table.csv, matrices.nc) and
report/index.html. The same command run again resumes and computes nothing that is finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags, logging
from ml_collections import config_flags

from jaxalign import api
from jaxalign.alignment.plan import plan_metrics
from jaxalign.analysis.rotation_table import check_count, rotation_table
from jaxalign.launch import distributed, explaining, folders, reading, runtime, workflow
from jaxalign.launch.energy_table import write_energies
from jaxalign.launch.process import run_verb
from jaxalign.parallel.multihost import is_primary_process

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file with get_config(); see configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for everything this run makes.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "raise", ["raise", "skip"], "Structures or models that fail: stop, or list them."
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["config", "workdir"])


def main(words: Sequence[str]) -> None:
    """Runs the whole way once."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    config, workdir = _CONFIG.value, folders.folder(_WORKDIR.value)
    api.require_sound_jax()
    structures = reading.read_dataset(config.dataset, on_error=_ON_ERROR.value)
    logging.info("%d structures of %s", len(structures), structures.name)
    # A misspelled metric or an impossible k fails before the first model runs.
    settings = {
        "metrics": tuple(config.metrics),
        "k": config.k,
        "normalize": config.normalize,
        "similarity": config.get("similarity"),
    }
    plan_metrics(**settings, n=len(structures))
    turned = check_count(config.get("rotation_test") or 0)
    wanted = explaining.check_settings(config.get("explain"))
    by = config.get("permute_within")
    strata = api.strata(structures, by) if by else None
    progress = _PROGRESS.value and is_primary_process()
    models = workflow.model_ids(config.models)
    with runtime.session():
        embedded = workflow.embed_models(
            models,
            structures,
            workdir,
            layer=config.layer,
            pooling=config.pooling,
            on_error=_ON_ERROR.value,
            progress=progress,
            mesh=distributed.chosen_mesh(),
        )
        if config.get("energies"):
            write_energies(
                models,
                structures,
                workdir,
                on_error=_ON_ERROR.value,
                progress=progress,
                mesh=distributed.chosen_mesh(),
            )
        common = {
            **settings,
            "groups": reading.groups(structures),
            "seed": config.dataset.seed,
            "mesh": distributed.chosen_mesh(),
            "tile_size": config.tile_size,
            "memory_budget": config.get("memory_budget"),
            "workdir": workdir,
            "progress": progress,
        }
        alignment = api.align(
            embedded.embeddings,
            **common,
            permutations=config.get("permutations") or 0,
            permute_within=strata and strata.by_id(),
            confidence=config.get("confidence"),
        )
        curves = None
        if config.get("score_curves"):
            curves = api.score_curves(embedded.embeddings, **common)
        explanations = explaining.explanations_of(
            embedded.embeddings,
            alignment,
            structures,
            wanted,
            **{name: value for name, value in common.items() if name != "metrics"},
        )
        drifts = rotation_table(
            list(embedded.embeddings),
            structures,
            count=turned,
            layer=config.layer,
            pooling=config.pooling,
            seed=config.dataset.seed,
            workdir=workdir,
        )
    alignment = alignment.with_facts(
        dataset={"name": structures.name, "content_hash": structures.content_hash},
        title=config.title,
        explanations=explanations,
        rotations=[drift.to_json() for drift in drifts],
        score_curves=curves and curves.summary(),
        exchangeable=strata and strata.assumption,
        command=workflow.command_line(),
        skipped=embedded.skipped,
        unseen_inputs=embedded.unseen,
        failed_models={**alignment.diagnostics["failed_models"], **embedded.failed},
        embedding=embedded.work,
        seconds={"embed": embedded.seconds, **alignment.diagnostics["seconds"]},
    )
    alignment.save(workdir)
    if not is_primary_process():
        return
    work = alignment.diagnostics["work"]
    logging.info("%s", workflow.describe_work(work, embedded.rows_computed))
    page = api.write_report(alignment, workdir / workflow.REPORT)
    print(f"report: {page.resolve()}")


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.run")
