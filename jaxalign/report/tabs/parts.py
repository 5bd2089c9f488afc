"""One part of a report: an alignment on one data set, read once for all views."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxalign.report.drawing.estimates import EstimateView, estimate_views
from jaxalign.report.drawing.heatmap import clustering
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.source import AlignmentLike, MetricView, first_view, metric_views
from jaxalign.report.vocabulary.tables import Table


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """An alignment as the views need it.

    Attributes:
      name: of the data set; "" where it is unknown and the only one.
      tag: distinct part of names, "" for a report on one data set.
      alignment: where everything comes from.
      metrics: metrics of pairs, for every k.
      estimates: metrics of single models.
      ids: models in the order of the first matrix: related ones stand together in tables, too.
    """

    name: str
    tag: str
    alignment: AlignmentLike
    metrics: tuple[MetricView, ...]
    estimates: tuple[EstimateView, ...]
    ids: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of structures."""
        return int(self.alignment.diagnostics.get("n") or 0)

    @property
    def first(self) -> MetricView | None:
        """The metric that a reader sees first."""
        return first_view(self.metrics) if self.metrics else None

    def named(self, stem: str) -> str:
        """Name of a chart or table of this part, distinct among the parts."""
        return f"{stem}-{self.tag}" if self.tag else stem

    def titled(self, title: str) -> str:
        """Title of a chart or table of this part."""
        return f"{title} – {self.name}" if self.tag else title

    def metric_names(self, stem: str) -> list[str]:
        """Names of charts, one a metric; numbered where two metric ids would give the same."""
        plain = [shown.slug for shown in self.metrics]
        slugs = [
            slug if plain.count(slug) == 1 else f"{slug}-{number}"
            for number, slug in enumerate(plain)
        ]
        return [self.named(f"{stem}-{slug}") for slug in slugs]


def read_parts(alignments: Mapping[str, AlignmentLike]) -> list[Part]:
    """Reads alignments for the report.

    Args:
      alignments: name of the data set → alignment.

    Returns:
      One part an alignment.

    Raises:
      ValueError: no alignment, or one that holds no metric or no model.
    """
    if not alignments:
        raise ValueError("a report needs at least one alignment: got none")
    several = len(alignments) > 1
    slugs = [labels.slug(name) for name in alignments]
    parts = []
    for number, (name, alignment) in enumerate(alignments.items()):
        distinct = slugs.count(slugs[number]) == 1
        tag = slugs[number] if distinct else f"{slugs[number]}-{number + 1}"
        parts.append(_part(name, tag if several else "", alignment))
    return parts


def _part(name: str, tag: str, alignment: AlignmentLike) -> Part:
    metrics = metric_views(alignment) if alignment.cards else []
    estimates = estimate_views(alignment) if alignment.cards else []
    if not (metrics or estimates):
        where = f" of {name}" if tag else ""
        raise ValueError(
            f"a report needs at least one metric and one model{where}: got "
            f"metrics={alignment.metrics}, models={list(alignment.cards)}; run align with both"
        )
    ids = tuple(alignment.cards)
    if metrics:
        first = first_view(metrics)
        ids = tuple(first.ids[i] for i in clustering(first).order)
    return Part(name, tag, alignment, tuple(metrics), tuple(estimates), ids)


def renamed(table: Table, part: Part) -> Table:
    """The table with a name and a caption of its own among those of all parts."""
    return Table(part.named(table.name), part.titled(table.caption), table.columns, table.rows)
