"""Noise floors: what the width and the spectrum of an encoder score without any content.

Spectrum-matched noise has the mean and the covariance C = Σ_j λ_j v_j v_jᵀ of an encoder's rows,
and nothing else of them:

    x̃_i = x̄ + Σ_j √λ_j g_ij v_j,      g_ij standard normal, independent.

Two independent draws share no structure; their score is the floor of this spectrum at this number
of structures. Chance alone is k/(n − 1) for shared neighbors, whatever the spectrum; biased kernel
scores rise with width over n, and neighbors crowd around the mean in wide, flat spectra. C is that
of the sample: of wide encoders it is steeper than that of all structures. The other floor is the
network itself with random weights, if the run has it: what architecture and input alone agree on.

References:
  Gröger et al., arXiv:2602.14486 (2026) (width and n inflate scores); Murphy, Zylberberg, Fyshe,
  arXiv:2405.01012 (2024) (bias of CKA).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Float64

from jaxalign.alignment.align import align
from jaxalign.alignment.inputs import ModelInput, collect_inputs
from jaxalign.alignment.results import Alignment
from jaxalign.analysis.confounding.score_matrices import score_matrices
from jaxalign.embeddings.sources import ArrayRows, Readable
from jaxalign.models.card import ModelCard
from jaxalign.parallel.blocks import fixed_blocks

COLUMNS = (
    *("model", "metric", "k", "n", "median", "floor", "floor_calibrated", "chance"),
    *("twin", "twin_score", "twin_median", "reason"),
)

_HELD = 2**30  # bytes of noise in memory at once


class Spectrum(NamedTuple):
    """Mean and covariance of rows, as noise of the same needs them.

    Attributes:
      mean: x̄.
      factor: `[r, d]` with factorᵀ factor = C (division by n).
    """

    mean: Float64[np.ndarray, " d"]
    factor: Float64[np.ndarray, "r d"]


def spectrum(rows: Readable | Float[np.ndarray, "n d"]) -> Spectrum:
    """Mean and covariance of an encoder's rows.

    Args:
      rows: `[n, d]`, finite.

    Returns:
      A factor of min(n, d) rows: of the covariance matrix, or of more columns than rows, the
      centered rows themselves divided by √n.
    """
    rows = ArrayRows(rows) if isinstance(rows, np.ndarray) else rows
    n, d = rows.shape
    mean = sum(block.sum(axis=0) for block in _blocks(rows)) / n
    if d >= n:
        return Spectrum(mean, np.concatenate([b - mean for b in _blocks(rows)]) / np.sqrt(n))
    covariance = np.zeros((d, d))
    for block in _blocks(rows):
        covariance += (block - mean).T @ (block - mean)
    values, vectors = np.linalg.eigh(covariance / n)
    return Spectrum(mean, np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def spectrum_noise(
    of: Spectrum, n: int, *, seed: int | Sequence[int]
) -> Float32[np.ndarray, "n d"]:
    """Gaussian rows with this mean and covariance.

    Args:
      of: mean and covariance.
      n: rows.
      seed: another seed gives independent rows.

    Returns:
      `[n, d]` rows.
    """
    out = np.empty((n, len(of.mean)), np.float32)
    for number, (start, stop) in enumerate(fixed_blocks(n)):
        random = np.random.default_rng([*np.atleast_1d(seed).tolist(), number])
        normal = random.standard_normal((stop - start, len(of.factor)))
        out[start:stop] = of.mean + normal @ of.factor
    return out


def noise_floors(
    models: Mapping[Any, Any],
    result: Alignment,
    *,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    **settings: Any,
) -> pd.DataFrame:
    """Floors of every encoder and metric beside its real scores.

    Args:
      models: the rows that `result` compares.
      result: their alignment.
      metrics: some of its metrics, of pairs; None for all.
      seed: of the noise.
      **settings: of `align`, equal to those of `result`: `k`, `normalize`, `similarity`, `mesh`, …

    Returns:
      One row an encoder that is no control, metric and k: `median` score with the other encoders;
      `floor`, the score of two draws of its spectrum-matched noise, `floor_calibrated` and `chance`
      (the null's mean) of these; `twin`, the same network with random weights, `twin_score` of the
      encoder with it, `twin_median` of it with the other encoders; `reason` where a floor is NaN.
    """
    single = [m for m in result.metrics if result.metadata(m)["of_single_models"]]
    metrics = [m for m in (metrics or result.metrics) if m not in single]
    inputs = collect_inputs(models, ids=None, groups=None, on_nonfinite="error")
    encoders = [m for m in inputs.models if m.card.modality != "control"]
    tables = []
    for batch in _batches(encoders):
        draws = {}
        for number, model in batch:
            of = spectrum(model.rows)
            for draw in range(2):
                rows = spectrum_noise(of, len(inputs.ids), seed=[seed, number, draw])
                draws[_label(model, draw)] = rows
        table = align(draws, metrics=tuple(metrics), seed=seed, **settings).table
        for _, model in batch:
            first, second = (_label(model, draw) for draw in range(2))
            own = table["model_a"].eq(first) & table["model_b"].eq(second)
            tables.append(_floors(table[own], model.name, result))
    table = pd.concat(tables) if tables else pd.DataFrame()
    return table.reindex(columns=list(COLUMNS)).reset_index(drop=True).astype({"k": "Int64"})


def _label(model: ModelInput, draw: int) -> str:
    return f"{model.name} noise {draw}"


def _batches(encoders: Sequence[ModelInput]) -> Iterator[list[tuple[int, ModelInput]]]:
    """Numbered encoders, of which the noise of some fits into memory at once."""
    batch, held = [], 0
    for number, model in enumerate(encoders):
        size = 8 * model.rows.shape[0] * model.rows.shape[1]
        if batch and held + size > _HELD:
            yield batch
            batch, held = [], 0
        batch.append((number, model))
        held += size
    if batch:
        yield batch


def random_twin(name: str, cards: Mapping[str, ModelCard]) -> str | None:
    """Label of the same network with random weights, if it is among the models.

    Args:
      name: label of a pretrained model.
      cards: cards by label.

    Returns:
      The model of the same family, modality, layers and width that is not pretrained; None if there
      is none, or the model itself is not pretrained.
    """
    card = cards[name]
    if not card.pretrained or not card.family:
        return None

    def facts(c: ModelCard) -> tuple:
        return c.family, c.modality, c.layers, c.width

    found = [
        other
        for other, twin in cards.items()
        if not twin.pretrained and twin.modality != "control" and facts(twin) == facts(card)
    ]
    # Of several the one with as many parameters.
    found.sort(key=lambda other: cards[other].parameters != card.parameters)
    return found[0] if found else None


def _floors(noise: pd.DataFrame, name: str, result: Alignment) -> pd.DataFrame:
    """Rows of one encoder: the scores of its noise, beside scores of the run."""
    twin = random_twin(name, result.cards)
    rows = []
    for row in noise.itertuples():
        k = None if pd.isna(row.k) else int(row.k)
        _, place, columns = score_matrices(result, row.metric, k=k, columns=("value",))
        values = columns["value"]
        others = [place[o] for o, card in result.cards.items() if card.pretrained and o != name]
        found = {"median": _median(values, place[name], others), "twin": twin or ""}
        if twin is not None:
            found["twin_score"] = values[place[name], place[twin]]
            found["twin_median"] = _median(values, place[twin], others)
        floor = {"floor": row.value, "floor_calibrated": row.calibrated, "chance": row.null_mean}
        keys = {"model": name, "metric": row.metric, "k": k, "n": row.n, "reason": row.reason}
        rows.append({**keys, **floor, **found})
    return pd.DataFrame(rows)


def _median(values: Float64[np.ndarray, "m m"], of: int, others: list[int]) -> float:
    """Of the scores with others, in both directions; NaN if there are none."""
    scores = np.concatenate([values[of, others], values[others, of]])
    scores = scores[np.isfinite(scores)]
    return float(np.median(scores)) if len(scores) else np.nan


def _blocks(rows: Readable) -> Iterator[Float64[np.ndarray, "rows d"]]:
    for start, stop in fixed_blocks(rows.shape[0]):
        yield np.asarray(rows.read(start, stop), np.float64)
