"""Views of the analyses that a report shows beside the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxalign.report.charts.blocks import blocks_view
from jaxalign.report.charts.dimensions import dimension_view
from jaxalign.report.charts.disagreement import disagreement_view
from jaxalign.report.charts.distillation import distillation_view
from jaxalign.report.charts.imbalance import imbalance_view
from jaxalign.report.charts.layers import layers_view
from jaxalign.report.charts.model_map import map_view
from jaxalign.report.charts.model_tree import tree_view
from jaxalign.report.charts.performance import performance_view
from jaxalign.report.charts.reading import Report, plural, read_report
from jaxalign.report.charts.regimes import regimes_view
from jaxalign.report.charts.training import training_view
from jaxalign.report.tabs.nearest import nearest_view
from jaxalign.report.vocabulary.labels import joined
from jaxalign.report.vocabulary.source import AlignmentLike
from jaxalign.report.vocabulary.views import View

_VIEWS = (
    training_view,
    distillation_view,
    nearest_view,
    tree_view,
    map_view,
    blocks_view,
    regimes_view,
    imbalance_view,
    dimension_view,
    performance_view,
    layers_view,
    disagreement_view,
)
_FURTHER = "What this report does not show, and what would make it do so."


def analysis_views(alignments: Mapping[str, AlignmentLike]) -> list[View]:
    """Views of every analysis that the alignments allow, in the order of the page.

    Args:
      alignments: name of the data set → alignment.

    Returns:
      Views with something to show; the last one, `"further"`, says what is missing, if anything is.
    """
    if not alignments:
        return []
    report = read_report(alignments)
    views, missing = [], []
    for make in _VIEWS:
        view, lacking = make(report)
        views += [view] if view else []
        missing += lacking
    if missing:
        views.append(View("further", "Not shown", _FURTHER, notes=_joined(missing, report)))
    return views


def _joined(missing: Sequence[str], report: Report) -> tuple[str, ...]:
    """Sentences that several data sets share, once."""
    found: dict[str, list[str]] = {}
    for sentence in plural(missing):
        whose = next(
            (s for s in report.sources if s.prefix and sentence.startswith(s.prefix)), None
        )
        words = sentence if whose is None else sentence.removeprefix(whose.prefix)
        found.setdefault(words, []).extend([] if whose is None else [whose.name])
    every = len(report.sources)
    return tuple(
        words[:1].upper() + words[1:] if len(names) in (0, every) else f"{joined(names)}: {words}"
        for words, names in found.items()
    )
