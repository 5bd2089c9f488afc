"""The pictures themselves: sizes, overlaps and marks, measured by the renderer."""

import itertools
import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from jaxalign.report.drawing import canvas, colorbar
from jaxalign.report.drawing.heatmap import PRINT_VALUES, clustering, color_scale, draw_heatmap
from jaxalign.report.drawing.strips import draw_strips
from jaxalign.report.vocabulary.colors import scale
from jaxalign.report.vocabulary.source import view


def texts(figure):
    return {t.get_gid(): t for t in figure.findobj(Text) if t.get_text() and t.get_visible()}


def check_legible(figure):
    """No text below 6 points, none outside the figure, no two that touch."""
    renderer = figure.canvas.get_renderer()
    boxes = {gid: t.get_window_extent(renderer) for gid, t in texts(figure).items()}
    for gid, text in texts(figure).items():
        assert text.get_fontsize() >= 6.0, gid
        box = boxes[gid]
        assert box.x0 >= 0, gid
        assert box.y0 >= 0, gid
        assert box.x1 <= figure.bbox.x1, gid
        assert box.y1 <= figure.bbox.y1, gid
    for (one, a), (two, b) in itertools.combinations(boxes.items(), 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) <= 0.5, f"{one} and {two} overlap"


@pytest.mark.parametrize("count", [2, 3, 12, 17, 60])
@pytest.mark.parametrize("prefix", ["", "a-model-with-a-very-long-name-and-$signs$_{x}-"])
def test_texts_are_legible_at_any_number_of_models(fake_alignment, count, prefix):
    alignment = fake_alignment(count, metrics=("mutual_knn",), prefix=prefix)
    with canvas.style():
        shown = view(alignment, "mutual_knn")
        figure = draw_heatmap(shown, n=1000)
        check_legible(figure)
        check_legible(draw_strips(shown))
    drawn = texts(figure)
    assert sum(gid.startswith("row-label-") for gid in drawn) == count
    assert sum(gid.startswith("column-label-") for gid in drawn) == count
    values = sum(gid.startswith("value-") for gid in drawn)
    assert values == (count * (count - 1) if count <= PRINT_VALUES else 0)


def test_labels_stand_beside_their_rows_and_values(fake_alignment):
    shown = view(fake_alignment(12), "mutual_knn")
    order = clustering(shown).order
    with canvas.style():
        drawn = texts(draw_heatmap(shown, n=1000))
    for i, j in ((0, 5), (7, 2)):
        assert drawn[f"row-label-{i}"].get_text() == shown.ids[order[i]]
        assert drawn[f"column-label-{j}"].get_text() == shown.ids[order[j]]
        assert float(drawn[f"value-{i}-{j}"].get_text()) == pytest.approx(
            shown.values[order[i], order[j]], abs=0.00501
        )
        heights = [drawn[gid].get_position()[1] for gid in (f"row-label-{i}", f"value-{i}-{j}")]
        assert heights[0] == pytest.approx(heights[1])


def test_the_color_bar_marks_zero_the_noise_floor_and_chance(fake_alignment):
    shown = view(fake_alignment(12), "mutual_knn")
    with canvas.style():
        drawn = texts(draw_heatmap(shown, n=1000))
    assert drawn["colorbar-zero"].get_text() == "0"
    noise = [p.value for p in shown.pairs if "noise" in shown.ids[p.a] + shown.ids[p.b]]
    assert f"{np.mean(noise):.4f}" in drawn["colorbar-floor"].get_text()
    assert drawn["colorbar-null"].get_text() == "chance 0.0100"


@pytest.mark.parametrize("span", [(0.0, 0.83), (-0.04, 0.3), (-2.0, 7.0), (0.0, 1e-4)])
def test_ticks_tell_values_apart_and_include_zero(span):
    colors = scale(*span)
    ticks = colorbar.ticks(colors)
    words = [text for _, text in ticks]
    assert "0" in words
    assert len(set(words)) == len(words) >= 2
    for value, text in ticks:
        assert float(text.replace("−", "-")) == pytest.approx(value, abs=1e-12)


def test_contrast_is_not_spent_on_the_diagonal(fake_alignment):
    alignment = fake_alignment(12)
    alignment.scores["mutual_knn"][:] *= 0.1
    np.fill_diagonal(alignment.scores["mutual_knn"], 1.0)
    assert color_scale(view(alignment, "mutual_knn")).high < 0.1


def test_negative_scores_directed_metrics_and_missing_values(fake_alignment):
    alignment = fake_alignment(12, metrics=("cknna", "information_imbalance"))
    scores = alignment.scores["cknna"]
    scores -= 0.3
    scores[3, :] = scores[:, 3] = np.nan
    scores[5, 7] = scores[7, 5] = np.nan
    with canvas.style():
        figure = draw_heatmap(view(alignment, "cknna"), n=1000)
        check_legible(figure)
        assert "value-0-1" in texts(figure)
        assert any(t.get_text() == "not computed" for t in texts(figure).values())
        directed = draw_heatmap(view(alignment, "information_imbalance"), n=1000)
        check_legible(directed)
        assert any("row → column" in t.get_text() for t in texts(directed).values())
        check_legible(draw_strips(view(alignment, "information_imbalance")))


def test_all_scores_missing_is_a_drawing_not_an_error(fake_alignment):
    alignment = fake_alignment(3)
    alignment.scores["mutual_knn"][:] = np.nan
    with canvas.style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        check_legible(draw_heatmap(view(alignment, "mutual_knn"), n=1000))


def test_equal_input_gives_equal_bytes_and_text_stays_text(fake_alignment):
    shown = view(fake_alignment(4), "mutual_knn")
    with canvas.style():
        first, second = (canvas.encode(draw_heatmap(shown, n=9)) for _ in range(2))
    assert first == second
    assert b">rxnfp-0<" in first["svg"]


def test_the_users_matplotlib_settings_come_back():
    import matplotlib as mpl

    before = mpl.rcParams["svg.fonttype"]
    with canvas.style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert mpl.rcParams["svg.fonttype"] == before
