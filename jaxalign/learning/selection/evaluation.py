"""Criteria and held-out errors of all candidates of one pool; finished ones are not computed again.

Values are addressed by what decides them: rows, labels, ids, the draw, settings and versions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxalign.alignment.resume import ValueCache, content_key
from jaxalign.learning.selection.alignment_criteria import alignment_criteria
from jaxalign.learning.selection.criteria import EFFECTIVE_RANK, EVIDENCE, WIDTH
from jaxalign.learning.selection.draws import Draw
from jaxalign.learning.selection.evidence import effective_rank, log_evidence
from jaxalign.learning.selection.extra import single_thread
from jaxalign.learning.selection.held_out import HELD_OUT_PROBES, held_out_errors
from jaxalign.learning.selection.pool import Pool, TaskValues
from jaxalign.learning.selection.probes import ALPHAS, NEIGHBORS, PROBES
from jaxalign.learning.selection.target_probes import FOLDS, CrossValidated, cross_validated
from jaxalign.progress import Progress

_PACKAGES = ("jaxalign", "jax", "numpy", "scikit-learn")
_KINDS = ("alignment", "closed forms", "target probes", "held out")
_GRIDS = {"alphas": ALPHAS, "neighbors": NEIGHBORS, "folds": FOLDS}


@dataclasses.dataclass
class Evaluation:
    """What computes values of one pool, or finds them.

    Attributes:
      pool: candidates and tasks.
      cache: of finished values.
      seed: of folds and alignments.
      progress: counts finished units: one alignment a draw, one probe otherwise.
      work: numbers of units computed and reused.
    """

    pool: Pool
    cache: ValueCache
    seed: int
    progress: Progress
    work: dict[str, int]

    def alignments(self, draw: Draw, metrics: Sequence[str], k: Any) -> list[dict[str, Any]]:
        """Records of `alignment_criteria` on the target set of a draw."""
        pool, target = self.pool, draw.target
        key = self._key(
            "alignment",
            candidates=dict(pool.digests),
            families=pool.families(),
            tasks={task.name: task.digest for task in pool.tasks},
            target=draw.digest,
            metrics=list(metrics),
            k=k,
        )

        def compute() -> list[dict[str, Any]]:
            return alignment_criteria(
                {name: np.asarray(rows.take(target)) for name, rows in pool.rows.items()},
                {t.name: t.beyond_composition(target)[0][target] for t in pool.tasks},
                pool.families(),
                pool.groups[target],
                metrics=metrics,
                k=k,
                seed=self.seed,
            )

        return self._found("alignment", key, compute)

    def closed_forms(
        self, candidate: str, x: Float64[np.ndarray, "n d"], task: TaskValues, draw: Draw
    ) -> dict[str, float]:
        """Criteria in closed form: evidence, effective rank, width."""
        target = draw.target
        rows = {"candidate": self.pool.digests[candidate], "task": task.digest}
        key = self._key("closed forms", target=draw.digest, **rows)

        def compute() -> dict[str, float]:
            labels = task.beyond_composition(target)[0][target]
            return {
                EVIDENCE: log_evidence(x[target], labels),
                EFFECTIVE_RANK: effective_rank(x[target]),
                WIDTH: float(x.shape[1]),
            }

        return self._found("closed forms", key, compute)

    def target_probe(
        self, probe: str, candidate: str, x: np.ndarray, task: TaskValues, draw: Draw
    ) -> CrossValidated:
        """Cross-validated errors of a probe in the target set of a draw."""
        rows = {"candidate": self.pool.digests[candidate], "task": task.digest}
        key = self._key("target probe", probe=probe, target=draw.digest, grids=_GRIDS, **rows)

        def compute() -> dict[str, Any]:
            found = cross_validated(probe, x, task, self.pool.groups, draw.target, seed=self.seed)
            return {**dataclasses.asdict(found), "absolute": found.absolute.tolist()}

        found = self._found("target probes", key, compute)
        return CrossValidated(**{**found, "absolute": np.array(found["absolute"], np.float64)})

    def held_out(
        self, probe: str, candidate: str, x: np.ndarray, task: TaskValues, draw: Draw
    ) -> dict[str, float]:
        """Held-out errors of a probe in a draw."""
        rows = {"candidate": self.pool.digests[candidate], "task": task.digest}
        key = self._key("held out", probe=probe, draw=draw.digest, grids=_GRIDS, **rows)

        def compute() -> dict[str, float]:
            found = held_out_errors(probe, x, task, self.pool.groups, draw)
            return dataclasses.asdict(found)

        return self._found("held out", key, compute)

    def finish(self) -> None:
        """Writes what is not on disk yet."""
        for kind in _KINDS:
            self.cache.update(kind, {})

    def _key(self, kind: str, **parts: Any) -> str:
        facts = {"ids": self.pool.order_hash, "groups": self.pool.groups.tobytes().hex()}
        versions = [version(name) for name in _PACKAGES]
        return content_key(kind=kind, seed=self.seed, versions=versions, **facts, **parts)

    def _found(self, kind: str, key: str, compute: Any) -> Any:
        value = self.cache.get(kind, key)
        if value is None:
            value = compute()
            self.cache.update(kind, {key: value}, last=False)
            self.work["computed"] += 1
            self.progress.advance()
        else:
            self.work["reused"] += 1
            self.progress.skip(1)
        return value


def units(pool: Pool, draws: Sequence[Draw]) -> int:
    """Units of work of a pool, for a progress line."""
    held_out = len(HELD_OUT_PROBES) if len(draws[0].test) else 0
    return len(draws) * (1 + len(pool.tasks) * len(pool.rows) * (1 + len(PROBES) + held_out))


def evaluate(
    evaluation: Evaluation, draws: Sequence[Draw], *, metrics: Sequence[str], k: Any
) -> tuple[list[dict], list[dict], Mapping[tuple[str, str, str], np.ndarray]]:
    """All values of one pool.

    Args:
      evaluation: what computes or finds them.
      draws: target sets and splits.
      metrics: metric ids.
      k: neighbors, as in `jaxalign.align`.

    Returns:
      Records of criteria (`task`, `candidate`, `criterion`, `draw`, `value`, `raw`, `p`, `n`,
      `reason`), records of held-out errors, and absolute errors of the first target set by task,
      probe and candidate.
    """
    pool = evaluation.pool
    scores: list[dict] = []
    errors: list[dict] = []
    absolute: dict[tuple[str, str, str], np.ndarray] = {}
    for draw in draws:
        facts = {"dataset": pool.dataset, "draw": draw.number, "n": len(draw.target)}
        scores += [facts | row for row in evaluation.alignments(draw, metrics, k)]
    with single_thread():
        for candidate in pool.rows:
            x = pool.embedding(candidate)
            for task, draw in itertools.product(pool.tasks, draws):
                own = {"dataset": pool.dataset, "task": task.name, "candidate": candidate}
                scores += _target_records(evaluation, candidate, x, task, draw, absolute, own)
                errors += _held_out_records(evaluation, candidate, x, task, draw, own)
    evaluation.finish()
    return scores, errors, absolute


def _target_records(evaluation, candidate, x, task, draw, absolute, own) -> list[dict]:
    facts = {**own, "draw": draw.number, "n": len(draw.target), "p": float("nan")}
    records = []
    for probe in PROBES:
        found = evaluation.target_probe(probe, candidate, x, task, draw)
        row = {"criterion": f"probe:{probe}", "value": found.error, "raw": found.error}
        records.append({**facts, **row, "reason": found.reason})
        if draw.number == 0:
            absolute[task.name, f"probe:{probe}", candidate] = found.absolute
    for criterion, value in evaluation.closed_forms(candidate, x, task, draw).items():
        records.append(
            {**facts, "criterion": criterion, "value": value, "raw": value, "reason": ""}
        )
    return records


def _held_out_records(evaluation, candidate, x, task, draw, own) -> list[dict]:
    if not len(draw.test):
        return []
    sizes = {"draw": draw.number, "train": len(draw.train), "test": len(draw.test)}
    return [
        {**own, **sizes, "probe": probe, **evaluation.held_out(probe, candidate, x, task, draw)}
        for probe in HELD_OUT_PROBES
    ]
