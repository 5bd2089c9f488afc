"""Figures of a sweep: nothing is cut, every series is there, and the reader is not misled."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.panels import short_number
from jaxalign.report.scaling.scaling_figures import (
    describe_machine,
    draw_scaling,
    draw_sizes,
    write_figures,
)
from jaxalign.report.scaling.scaling_page import write_page

PARTS = ("search", "grams", "ranks", "pairs", "align")


def rows_of(series, part, platform="cpu", **sizes):
    base = {"n": 8192, "d": 128, "models": 4, "k": 25, "devices": 1, "tile_size": np.nan} | sizes
    seconds = 1e-9 * base["n"] ** 2 * (1 + PARTS.index(part))
    return {
        **{"series": series, "part": part, **base, "processes": 1, "platform": platform},
        **{"device_kind": platform, "cores": 2, "versions": "jax=0.10.1", "seconds": seconds},
        **{"pairs": 6, "throughput": 6 * base["n"] ** 2 / seconds, "floor_seconds": seconds / 3},
        **{"fraction_of_floor": 1 / 3, "efficiency": 1 / base["devices"]},
        "ideal_efficiency": 1 / base["devices"] if platform == "cpu" else 1.0,
    }


@pytest.fixture
def table():
    rows = [
        rows_of(series, part, devices=p, n=round(4096 * p**0.5) if series == "weak" else 8192)
        for series, part, p in itertools.product(("strong", "weak"), PARTS, (1, 2, 4, 8))
    ]
    rows += [rows_of("n", part, n=n) for part in PARTS for n in (2048, 4096, 8192, 16384)]
    rows += [rows_of("d", part, d=d) for part in PARTS for d in (64, 256)]
    return pd.DataFrame(rows)


def words_of(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_every_axis_says_what_it_shows(table):
    with canvas.style():
        figure = draw_scaling(table)
    titles = [axes.get_title(loc="left") for axes in figure.axes[1:]]
    assert len(titles) == 6
    assert sum("Strong" in title for title in titles) == 2
    labels = {(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes[1:]}
    assert ("devices", "seconds a call (median)") in labels
    assert ("structures N", "pairs of models · N² per second") in labels
    assert {"neighbor search", "Gram sweep", "exact ranks"} <= set(words_of(figure))


def test_curves_are_the_numbers_of_the_table(table):
    with canvas.style():
        seconds = draw_scaling(table).axes[1]
    wanted = table[(table["series"] == "strong") & (table["part"] == "ranks")]
    drawn = [line for line in seconds.lines if line.get_marker() == "^"]
    np.testing.assert_allclose(drawn[0].get_ydata(), wanted["seconds"])
    np.testing.assert_allclose(drawn[0].get_xdata(), wanted["devices"])


def test_shared_cores_are_said_and_separate_chips_are_not_accused(table):
    assert "Virtual CPU devices share 2 cores: no speed-up" in describe_machine(table)
    chips = table.assign(platform="tpu", device_kind="TPU v5e")
    assert "share" not in describe_machine(chips)
    assert "1 to 8 TPU v5e devices of 1 process" in describe_machine(chips)


def drawn_texts(figure):
    """All words but ticks beyond the ends of their axis, which matplotlib makes and never draws."""
    unseen = set()
    for axes in figure.axes[1:]:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = zip(axis.get_majorticklabels(), axis.get_majorticklocs(), strict=True)
            unseen |= {id(text) for text, place in ticks if not low <= place <= high}
    words = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    return [t for t in words if id(t) not in unseen]


@pytest.mark.parametrize("draw", [draw_scaling, draw_sizes])
def test_nothing_is_cut_and_no_words_touch(table, draw):
    with canvas.style():
        figure = draw(table)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in drawn_texts(figure)]
    width, height = figure.canvas.get_width_height()
    assert not [t for t, b in boxes if min(b.x0, b.y0) < 0 or b.x1 > width or b.y1 > height]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


def test_files_are_written_and_equal_tables_give_equal_bytes(table, tmp_path):
    names = [path.name for path in write_figures(table, tmp_path / "a")]
    assert names == ["scaling.png", "scaling.svg", "sizes.png", "sizes.svg"]
    write_figures(table, tmp_path / "b")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    grid = table[table["series"] == "n"].assign(series="grid")
    assert write_figures(grid, tmp_path / "c") == []


def test_numbers_of_any_size_are_short():
    values = (0.00021, 0.5, 20.0, 1500.0, 2e6, 3.2e9, 1e12)
    assert [short_number(v) for v in values] == ["0.00021", "0.5", "20", "1.5k", "2M", "3.2G", "1T"]


def test_the_page_shows_figures_and_every_row(table, tmp_path):
    page = write_page(table.assign(detail="a < b"), tmp_path).read_text()
    assert page.count("<tr") == len(table) + 1
    for name in ("scaling.svg", "sizes.svg"):
        assert f'src="{name}"' in page
        assert (tmp_path / name).exists()
    assert "share 2 cores" in page
    assert "a &lt; b" in page
    assert "nan" not in page.lower()
