"""A whole sweep: finished points are kept by content, the table grows with every point."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from absl import logging

from jaxalign.alignment.resume import content_key
from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import from_primary, is_primary_process
from jaxalign.profiling.machine import machine
from jaxalign.scaling.measure import measure
from jaxalign.scaling.plan import Plan
from jaxalign.scaling.point import SIZES, Point

FOLDER = "scaling"


def run_sweep(
    plan: Plan, folder: Path, *, repeats: int, profile: Path | None = None
) -> pd.DataFrame:
    """Measures every point that no earlier call has finished on such a machine.

    Every process calls this; process 0 writes `points/*.json` as they finish.

    Args:
      plan: checked.
      folder: of the results.
      repeats: timed calls a point.
      profile: folder for traces, one below it a point; traced points are run once more.

    Returns:
      The table, see `scaling_table`; the same on every process.
    """
    facts = machine()
    series = plan.points()
    points = list(dict.fromkeys(point for found in series.values() for point in found))
    rows: dict[Point, dict[str, Any]] = {}
    for number, point in enumerate(points, 1):
        key = point_key(point, repeats=repeats, facts=facts)
        file = folder / "points" / f"{key}.json"
        found = from_primary(_read(file))
        if found is None:
            logging.info("%d of %d: %s", number, len(points), point.describe())
            traces = profile and profile / f"{point.part}-{key[:8]}"
            found = measure(point, repeats=repeats, profile=traces)
            found |= {name: facts[name] for name in ("processor", "versions")}
            with stop_together():
                if is_primary_process():
                    write_json(file, found)
        else:
            logging.info("%d of %d: %s: finished earlier", number, len(points), point.describe())
        rows[point] = found
    return scaling_table([{"series": s, **rows[p]} for s, found in series.items() for p in found])


def point_key(point: Point, *, repeats: int, facts: Mapping[str, Any]) -> str:
    """Content address of a measurement: the point, the machine and the versions."""
    names = ("processor", "cores", "platform", "device_kind", "processes", "versions")
    machine = {name: facts[name] for name in names}
    return content_key(kind="scaling", point=dataclasses.asdict(point), repeats=repeats, **machine)


def scaling_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a series and point, with speed-up and efficiency against the series' fewest devices.

    `speedup` is the ratio of throughputs; `efficiency` divides it by the ratio of devices.
    `ideal_efficiency` is where splitting costs nothing: 1 for separate devices, the inverse of the
    ratio for devices that share their cores.

    Args:
      rows: what `measure` returns, with `series`.
    """
    table = pd.DataFrame(rows).astype(dict.fromkeys(SIZES, "Int64"))
    table["versions"] = [
        " ".join(f"{k}={v}" for k, v in found.items()) for found in table["versions"]
    ]
    for column in ("speedup", "efficiency", "ideal_efficiency"):
        table[column] = np.nan
    scaled = table[table["series"].isin(["strong", "weak"])]
    for _, group in scaled.groupby(["series", "part"]):
        first = group.loc[group["devices"].idxmin()]
        speedup = group["throughput"] / first["throughput"]
        more = group["devices"] / first["devices"]
        table.loc[group.index, "speedup"] = speedup
        table.loc[group.index, "efficiency"] = speedup / more
        shared = group["platform"].eq("cpu") & (group["processes"] == first["processes"])
        table.loc[group.index, "ideal_efficiency"] = np.where(shared, 1 / more, 1.0)
    return table


def write_table(table: pd.DataFrame, folder: Path) -> None:
    """Writes `table.parquet`, `.csv` and `.json`; each file appears whole."""
    with atomic_write(folder / "table.parquet") as file:
        table.to_parquet(file, index=False)
    with atomic_write(folder / "table.csv", mode="w") as file:
        table.to_csv(file, index=False)
    write_json(folder / "table.json", json.loads(table.to_json(orient="records")))


def _read(file: Path) -> dict[str, Any] | None:
    if jax.process_index() or not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None  # not what was written: measured again
