"""`select`: candidates and tasks in, a ranking with its record on held-out labels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxalign.alignment.resume import ValueCache
from jaxalign.archives.atomic import require_writable
from jaxalign.guard import require_sound_jax
from jaxalign.learning.selection.alignment_criteria import NORMALIZE, SIMILARITY
from jaxalign.learning.selection.arguments import (
    check_labels,
    check_settings,
    criterion_of,
    make_pools,
)
from jaxalign.learning.selection.assembly import Values, assemble
from jaxalign.learning.selection.criteria import METRICS, list_criteria
from jaxalign.learning.selection.draws import Draw, repeated_draws
from jaxalign.learning.selection.evaluation import Evaluation, evaluate, units
from jaxalign.learning.selection.extra import require_sklearn
from jaxalign.learning.selection.pool import Pool
from jaxalign.learning.selection.selection import Selection
from jaxalign.learning.selection.task import Task
from jaxalign.progress import Progress

FOLDER = "values"
_ERRORS = (
    *("dataset", "task", "candidate", "probe", "draw", "train", "test"),
    *("error", "mae", "rmse", "r2", "deviation", "n"),
)


def select(
    candidates: Mapping[str, Any],
    tasks: Sequence[Task],
    *,
    target: int | None = 200,
    test: int = 400,
    draws: int = 5,
    metrics: Sequence[str] = METRICS,
    k: Any = None,
    rank_by: str = "probe:ridge",
    permutations: int = 9999,
    confidence: float = 0.95,
    seed: int = 0,
    workdir: str | Path | None = None,
    progress: bool = False,
) -> Selection:
    """Ranks encoders for tasks from few labels, and judges the rankings by many.

    Criteria see the labels of a small target set. Held-out errors are those of ridge and kNN probes
    that are trained on all structures but a test set, which the target set never meets; both are
    drawn anew `draws` times. With `target=None` and `test=0` all labels are the target set, and
    the ranking is not judged.

    Args:
      candidates: label → embeddings of one data set, or data set → label → embeddings.
      tasks: labels, see `labeled_task`; `Task.dataset` names the data set where there are several.
      target: structures of a target set; None for all.
      test: held-out structures of a draw; 0 for none.
      draws: target sets and splits.
      metrics: criteria that are alignments or intrinsic dimensions, by their metric ids.
      k: neighbors, as in `align`; None for each metric's default.
      rank_by: criterion of `ranking`; `jaxalign.learning.selection.criteria` lists them.
      permutations: of candidates, for p-values.
      confidence: of intervals.
      seed: of draws, folds and permutations.
      workdir: folder for finished values: the same call computes nothing again. `Selection.save`
        writes the tables.
      progress: print progress lines to standard error.

    Returns:
      The selection.

    Raises:
      ValueError: fewer than two candidates, labels that do not vary or are not finite, sizes that
        do not fit, an unknown metric or criterion, k too large for the target set.
      MissingExtraError: scikit-learn is not installed.
    """
    require_sound_jax()
    require_sklearn()
    criteria = list_criteria(metrics)
    chosen = criterion_of(criteria, rank_by)
    pools = make_pools(candidates, tasks)
    sizes = {"target": target, "test": test, "draws": draws}
    asked = {"metrics": list(metrics), "k": k, "rank_by": rank_by}
    asked |= {"permutations": permutations, "confidence": confidence}
    drawn = []
    for pool in pools:
        check_settings(len(pool.ids), **sizes, **asked)
        drawn.append(repeated_draws(pool.groups, **sizes, seed=seed))
        check_labels(pool, drawn[-1])
    manner = {"seed": seed, "normalize": NORMALIZE, "similarity": SIMILARITY}
    found = _evaluate_all(pools, drawn, metrics, k, seed, workdir, progress=progress)
    return assemble(found, pools, drawn, criteria, chosen, sizes | asked | manner)


def _evaluate_all(
    pools: Sequence[Pool],
    drawn: Sequence[Sequence[Draw]],
    metrics: Sequence[str],
    k: Any,
    seed: int,
    workdir: str | Path | None,
    *,
    progress: bool,
) -> Values:
    folder = None if workdir is None else Path(workdir) / FOLDER
    if folder is not None:
        require_writable(folder)
    cache, work = ValueCache(folder), {"computed": 0, "reused": 0}
    scores: list[dict] = []
    errors: list[dict] = []
    absolute: dict[tuple[str, str, str], Any] = {}
    total = sum(units(pool, draws) for pool, draws in zip(pools, drawn, strict=True))
    with Progress("select", total=total, unit="values", enabled=progress) as bar:
        for pool, draws in zip(pools, drawn, strict=True):
            evaluation = Evaluation(pool, cache, seed, bar, work)
            found = evaluate(evaluation, draws, metrics=metrics, k=k)
            scores += found[0]
            errors += found[1]
            absolute |= found[2]
    frame = pd.DataFrame(errors).reindex(columns=list(_ERRORS))
    return Values(pd.DataFrame(scores), frame, absolute, work)
