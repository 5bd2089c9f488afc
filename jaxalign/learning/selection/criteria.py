"""What ranks candidates: every criterion, what it reads, and the direction that was fixed before.

The direction of a criterion (whether a large value promises a small error) is that of its
publication or of common sense, and is never turned by what the data show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxalign.learning.selection.probes import PROBES
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import metric_definition

PROBE, ALIGNMENT, LABEL_FREE = "probe", "alignment with the label", "label-free"
KINDS = (PROBE, ALIGNMENT, LABEL_FREE)
METRICS = (
    *("cka", "cka:rbf", "cka:biased", "dcor", "mutual_knn", "cknna", "information_imbalance"),
    *("id:twonn", "id:mle"),
)
"""Metrics that are criteria unless others are named."""

TO_OTHERS = ("cka", "dcor", "mutual_knn", "cknna")
"""Metrics whose mean with other candidates is a criterion too, where they are computed."""

EVIDENCE, EFFECTIVE_RANK, WIDTH = "probe:evidence", "own:effective_rank", "own:width"


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One way to rank candidates.

    Attributes:
      id: as tables call it.
      title: for people.
      kind: one of `KINDS`.
      sign: 1 where a large value promises a small error, −1 where a small one does.
      definition: one sentence.
    """

    id: str
    title: str
    kind: str
    sign: int
    definition: str


def list_criteria(metrics: Sequence[str] = METRICS) -> tuple[Criterion, ...]:
    """All criteria that a choice of metrics gives.

    Args:
      metrics: metric ids of `jaxalign.metrics.METRICS`.

    Returns:
      Criteria in the order of tables: probes, with the label, without labels.

    Raises:
      ValueError: an unknown metric, or one twice.
    """
    if len(set(metrics)) < len(metrics):
        raise ValueError(f"metrics must name each metric once: got {list(metrics)}")
    known = {name: metric_definition(name) for name in metrics}
    single = [name for name, metric in known.items() if isinstance(metric, ModelMetric)]
    paired = [name for name in metrics if name not in single]
    return (
        *map(_probe, PROBES),
        _evidence(),
        *(_with_label(name, known[name].title) for name in paired),
        *(_with_others(name, known[name].title) for name in paired if name in TO_OTHERS),
        *(_own(name, known[name].title) for name in single),
        *_shapes(),
    )


def _probe(name: str) -> Criterion:
    return Criterion(
        f"probe:{name}",
        f"{name} probe of the target set",
        PROBE,
        -1,
        "Cross-validated mean absolute error within the target set, over the mean absolute "
        "deviation of its labels from their mean.",
    )


def _with_label(name: str, title: str) -> Criterion:
    if name == "cka:biased":  # Cortes, Mohri, Rostamizadeh: J. Mach. Learn. Res. 13, 795 (2012)
        title = "centered kernel-target alignment"
    return Criterion(
        f"label:{name}",
        f"{title} with the label",
        ALIGNMENT,
        1,
        "Calibrated score of the embedding with the label as a model of one column; of directed "
        "metrics from the embedding to the label. 0 is what chance explains, 1 a perfect match.",
    )


def _evidence() -> Criterion:
    return Criterion(
        EVIDENCE,
        "log evidence",
        PROBE,
        1,
        "Greatest log evidence per structure of Bayesian linear regression (LogME).",
    )


def _with_others(name: str, title: str) -> Criterion:
    return Criterion(
        f"others:{name}",
        f"{title} with other families",
        LABEL_FREE,
        1,
        "Mean calibrated score with the candidates of other families.",
    )


def _own(name: str, title: str) -> Criterion:
    return Criterion(
        f"own:{name}", title, LABEL_FREE, -1, "Intrinsic dimension; a small one is preferred."
    )


def _shapes() -> tuple[Criterion, ...]:
    return (
        Criterion(
            EFFECTIVE_RANK,
            "effective rank",
            LABEL_FREE,
            1,
            "Exponential of the entropy of the normalized singular values.",
        ),
        Criterion(WIDTH, "width", LABEL_FREE, 1, "Columns of the embedding."),
    )
