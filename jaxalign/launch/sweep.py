r"""Measure how the engine scales: time against devices, structures, width, models, k, tile size.

    jaxalign sweep --config=configs/scaling.py --workdir=W
    jaxalign sweep --config=configs/scaling.py --workdir=W --config.parts="('search','grams')" \
        --config.strong="(1,2,4)" --config.base.n=16384
    jaxalign sweep --config=configs/scaling.py --workdir=W --profile=W/trace

Strong scaling holds n and changes the devices; weak scaling lets n grow with their root, so that
n² work for each device stays the same; then one size at a time is varied (or a grid of all, with
--config.mode=grid). Every point is warmed up first; the table states the median time, the
throughput in N×N problems · N² a second, the share of the floor measured beside it, and what was
compiled. Finished points are kept: the same command resumes.

On a pod the same command runs on every host, over the devices that there are; process 0 writes:

    jaxalign sweep --config=configs/scaling.py --workdir=W \
        --config.base.n=262144 --config.weak_n=32768 --config.vary.n="(65536,131072,262144)" \
        --config.base.models=60

On a CPU, virtual devices share its cores: they show what splitting costs, not a speed-up.
Results: W/scaling/table.parquet, .csv, .json, scaling.png|svg, sizes.png|svg, index.html.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import pandas as pd
from absl import flags
from ml_collections import config_flags

from jaxalign import api
from jaxalign.archives.atomic import require_writable
from jaxalign.launch import distributed, folders, runtime
from jaxalign.launch.process import run_verb
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.scaling.plan import plan_sweep
from jaxalign.scaling.sweep import FOLDER, run_sweep, write_table

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file with get_config(); see configs/scaling.py.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and finished points.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["config", "workdir"])


def main(words: Sequence[str]) -> None:
    """Measures, writes the table and draws it."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    config = _CONFIG.value
    _make_virtual_devices(config.virtual_devices)  # first: anything may start JAX
    api.require_sound_jax()
    # Needs an extra: imported where it is used, and now, not when all has been measured.
    from jaxalign.report.scaling.scaling_page import write_page

    if distributed.chosen_mesh() is not None:
        raise ValueError(
            "--mesh has no meaning for a sweep: --config.strong and --config.weak list the numbers "
            "of devices, --config.base.devices is for all other points"
        )
    folder = folders.folder(_WORKDIR.value) / FOLDER
    plan = plan_sweep(config.to_dict(), devices=len(jax.devices()), processes=jax.process_count())
    with stop_together():
        if is_primary_process():
            require_writable(folder)
    with runtime.session(profile=False):
        table = run_sweep(plan, folder, repeats=config.repeats, profile=runtime.profile_folder())
    if not is_primary_process():
        return
    write_table(table, folder)
    print(summary(table))
    print(f"table: {folder / 'table.parquet'}")
    print(f"page: {write_page(table, folder).resolve()}")


def summary(table: pd.DataFrame) -> str:
    """The table in columns that fit a terminal."""
    columns = ["series", "part", "n", "d", "models", "k", "tile_size", "devices", "seconds"]
    shown = table[[*columns, "throughput", "fraction_of_floor", "efficiency", "compilations"]]
    shown = shown.astype(object).where(shown.notna(), "–")
    return shown.to_string(index=False, float_format=lambda value: f"{value:.3g}")


def _make_virtual_devices(count: int) -> None:
    """CPU devices, before JAX is first used; other platforms do not look at the setting."""
    chosen = jax.config.jax_num_cpu_devices >= 0  # by --cpu_devices
    if not chosen and not distributed.several():
        jax.config.update("jax_num_cpu_devices", count)


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.sweep")
