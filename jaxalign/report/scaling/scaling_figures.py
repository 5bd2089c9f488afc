"""Figures of a scaling sweep: what each shows, from the measured table; `panels` draws them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from jaxalign.archives.atomic import atomic_write
from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.panels import Line, Panel, draw_panels

_TITLES = {
    "search": "neighbor search",
    "grams": "Gram sweep",
    "ranks": "exact ranks",
    "pairs": "pairs of graphs",
    "align": "whole alignment",
}
_LOOKS = {
    "search": ("o", "#1f6fa8"),
    "grams": ("s", "#a03020"),
    "ranks": ("^", "#5b7d1f"),
    "pairs": ("D", "#7a4fa0"),
    "align": ("v", "#b8860b"),
}
_SIZES = {
    "n": "structures N",
    "d": "width D",
    "models": "models M",
    "k": "neighbors k",
    "tile_size": "tile size (rows)",
}
_DEVICES, _SECONDS = "devices", "seconds a call (median)"
_THROUGHPUT = "pairs of models · N² per second"
_EFFICIENCY = "throughput a device / that of the fewest"


def write_figures(table: pd.DataFrame, folder: str | os.PathLike[str]) -> list[Path]:
    """Draws `scaling.png|svg` (devices and N) and `sizes.png|svg` (every other size) of a sweep.

    Args:
      table: see `jaxalign.scaling.sweep.scaling_table`.
      folder: where the files go.

    Returns:
      Paths of the files; a figure without any series is not drawn.
    """
    written = []
    with canvas.style():
        for name, draw in (("scaling", draw_scaling), ("sizes", draw_sizes)):
            figure = draw(table)
            for kind, content in canvas.encode(figure).items() if figure else ():
                path = Path(folder) / f"{name}.{kind}"
                with atomic_write(path) as file:
                    file.write(content)
                written.append(path)
    return written


def draw_scaling(table: pd.DataFrame) -> Figure | None:
    """Time and efficiency against devices, and throughput against N with its floors."""
    panels = []
    for series, words in (
        ("strong", "Strong scaling: N stays"),
        ("weak", "Weak scaling: N grows as √devices"),
    ):
        rows = table[table["series"] == series]
        if len(rows):
            panels += [_times(rows, words), _efficiencies(rows, words)]
    panels += [*_throughputs(table, "n"), *_floors(table)]
    return _figure(table, panels, "How the stages scale")


def draw_sizes(table: pd.DataFrame) -> Figure | None:
    """Throughput against every varied size but N."""
    panels = [p for size in _SIZES if size != "n" for p in _throughputs(table, size)]
    return _figure(table, panels, "Throughput against the other sizes")


def describe_machine(table: pd.DataFrame) -> str:
    """Where the figures come from, and how to read them."""
    row, devices = table.iloc[0], table["devices"]
    counts = f"{devices.min()} to {devices.max()}" if devices.nunique() > 1 else f"{devices.min()}"
    virtual = row["platform"] == "cpu" and devices.max() > row["processes"]
    kind = "virtual CPU" if virtual else row["device_kind"]
    where = f"{counts} {kind} devices of {_count(int(row['processes']), 'process')}"
    words = [f"{where}; {_sizes(table)}; float32 embeddings; {row['versions']}."]
    if virtual:
        words.append(
            f"Virtual CPU devices share {row['cores']} cores: no speed-up is to be expected; on "
            "the dashed line, splitting the work costs nothing."
        )
    words.append(
        "Seconds are the median of calls after a warm-up that compiles. Throughput counts a search "
        "as one pair, a sweep as M(M + 1)/2, ranks as M², graphs and alignment as M(M − 1)/2. The "
        "floor of a search is the product X Xᵀ in tiles; of sweep, ranks and alignment their flops "
        "at the best product rate of the run; of graphs, reading both once."
    )
    return " ".join(words)


def _times(rows: pd.DataFrame, title: str) -> Panel:
    lines = [_line(part, found, "devices", found["seconds"]) for part, found in _parts(rows)]
    return Panel(title, _DEVICES, _SECONDS, tuple(lines))


def _efficiencies(rows: pd.DataFrame, title: str) -> Panel:
    lines = [_line(part, found, "devices", found["efficiency"]) for part, found in _parts(rows)]
    ideal = rows.drop_duplicates("devices").sort_values("devices")
    bound = Line("", _floats(ideal["devices"]), _floats(ideal["ideal_efficiency"]))
    return Panel(title, _DEVICES, _EFFICIENCY, (*lines, bound))


def _throughputs(table: pd.DataFrame, size: str) -> list[Panel]:
    rows = table[table["series"] == size]
    if not len(rows):
        return []
    lines = [_line(part, found, size, found["throughput"]) for part, found in _parts(rows)]
    title = f"Throughput against {_SIZES[size]}"
    if size == "n":
        title += "; dotted: floors"
        for part, found in _parts(rows):
            floor = found["pairs"] * found["n"] ** 2 / found["floor_seconds"]
            color = _LOOKS[part][1]
            lines.append(Line("", _floats(found["n"]), _floats(floor), color=color))
    return [Panel(title, _SIZES[size], _THROUGHPUT, tuple(lines))]


def _floors(table: pd.DataFrame) -> list[Panel]:
    rows = table[table["series"] == "n"]
    lines = [_line(part, found, "n", found["fraction_of_floor"]) for part, found in _parts(rows)]
    title = "Nearness to the floor against structures N"
    return [Panel(title, _SIZES["n"], "floor seconds / seconds", tuple(lines))] if lines else []


def _parts(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows of every part that has some, smallest first."""
    sizes = ["devices", *_SIZES]
    rows = rows.drop_duplicates(["part", *sizes]).sort_values(sizes)
    return [(part, found) for part in _LOOKS if len(found := rows[rows["part"] == part])]


def _line(part: str, rows: pd.DataFrame, x: str, y: pd.Series) -> Line:
    mark, color = _LOOKS[part]
    return Line(_TITLES[part], _floats(rows[x]), _floats(y), color=color, mark=mark)


def _floats(values: pd.Series) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _figure(table: pd.DataFrame, panels: Sequence[Panel], title: str) -> Figure | None:
    return draw_panels(panels, title=title, note=describe_machine(table)) if panels else None


def _sizes(table: pd.DataFrame) -> str:
    """Sizes of strong scaling, which the other series share but for what they vary."""
    rows = table[table["series"] == "strong"]
    rows = rows if len(rows) else table
    numbers = {_TITLES[part]: int(found["n"].iloc[0]) for part, found in _parts(rows)}
    if len(set(numbers.values())) == 1:
        of = [f"N = {next(iter(numbers.values())):,}"]
    else:
        of = [f"N = {n:,} ({title})" for title, n in numbers.items()]
    named = {"d": "D", "models": "M", "k": "k"}
    rest = [
        f"{letter} = {int(rows[name].max())}" for name, letter in named.items() if rows[name].any()
    ]
    return ", ".join(of + rest)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("es" if number != 1 else "")
