"""A map of models: points in the plane whose distances come near those between models.

Classical scaling: with J = I − 1/m and B = −½ J D² J (D² entry by entry), the coordinates are the
eigenvectors of the largest eigenvalues λ of B times √λ. How much a map of d axes shows:

    explained = Σ_{t ≤ d} λ_t / Σ_{λ > 0} λ,      stress = √(Σ (δ_ij − d_ij)² / Σ d_ij²),

with δ_ij the distances on the map (Kruskal's stress-1). Distances that are none of a Euclidean
space make negative eigenvalues; their share says how much no map can show.

References:
  Torgerson: Psychometrika 17, 401 (1952); Kruskal: Psychometrika 29, 1 (1964).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import xarray as xr
from jaxtyping import Float64
from scipy.spatial.distance import pdist, squareform

from jaxalign.analysis.relations.labeled_scores import both_directions, complete_models, read_scores

_NOTHING = 1e-10  # an eigenvalue below this share of the largest is zero


@dataclasses.dataclass(frozen=True, eq=False)
class ModelMap:
    """Models as points.

    Attributes:
      points: `[model, axis]`, centered, in units of the distances, main axis first; of every axis
        the model farthest from the middle lies on the positive side.
      eigenvalues: all of them, largest first.
      explained: share of the positive eigenvalues that the axes have; NaN if there are none.
      negative: Σ of the absolute negative eigenvalues over that of all absolute ones.
      stress: Kruskal's stress-1; NaN if all distances are zero.
      left_out: models with missing distances.
    """

    points: xr.DataArray
    eigenvalues: Float64[np.ndarray, " m"]
    explained: float
    negative: float
    stress: float
    left_out: tuple[str, ...] = ()


def score_distances(scores: xr.DataArray, *, best: float = 1.0) -> xr.DataArray:
    """Distances from similarities, best − s, both directions averaged, 0 on the diagonal.

    Args:
      scores: `[model_a, model_b]` similarities, such as calibrated scores.
      best: the score of a perfect match; a larger score is at distance 0.

    Returns:
      Distances with the same labels; NaN where a score is.
    """
    names, values = read_scores(scores)
    apart = np.maximum(best - both_directions(values), 0.0)
    np.fill_diagonal(apart, 0.0)
    coords = {"model_a": list(names), "model_b": list(names)}
    return xr.DataArray(apart, coords=coords, dims=("model_a", "model_b"), name="distance")


def classical_map(distances: xr.DataArray, *, axes: int = 2) -> ModelMap:
    """Classical scaling of distances between models.

    Args:
      distances: `[model_a, model_b]` symmetric, not negative; models with missing ones are left
        out.
      axes: of the map; those beyond the positive eigenvalues are 0.

    Returns:
      The map.

    Raises:
      ValueError: distances that are negative or not symmetric, no model, or no axis.
    """
    labels, values = read_scores(distances)
    kept = complete_models(values)
    names, d = [labels[i] for i in kept], values[np.ix_(kept, kept)]
    np.fill_diagonal(d, 0.0)
    if axes < 1 or not names or (d < 0).any() or not np.allclose(d, d.T, rtol=1e-9, atol=1e-12):
        raise ValueError(
            "a map needs symmetric distances that are not negative, of at least one model, and an "
            f"axis: got {len(names)} models and {axes} axes; score_distances makes them of scores"
        )
    # In alphabetical order, so that the map does not depend on that of the models.
    order = sorted(range(len(names)), key=lambda i: names[i])
    points, eigenvalues = _scaled(d[np.ix_(order, order)], axes)
    points = points[np.argsort(order)]
    positive = eigenvalues[eigenvalues > 0].sum()
    total = np.abs(eigenvalues).sum()
    coords = {"model": names, "axis": list(range(1, axes + 1))}
    return ModelMap(
        points=xr.DataArray(points, coords=coords, dims=("model", "axis"), name="map"),
        eigenvalues=eigenvalues,
        explained=float(eigenvalues[:axes].clip(0).sum() / positive) if positive else math.nan,
        negative=float(np.abs(eigenvalues.clip(None, 0)).sum() / total) if total else 0.0,
        stress=stress(points, d),
        left_out=tuple(name for name in labels if name not in names),
    )


def stress(points: Float64[np.ndarray, "m axes"], distances: Float64[np.ndarray, "m m"]) -> float:
    """Kruskal's stress-1 of points: 0 if they have the distances; NaN if all of these are zero."""
    wanted = squareform(distances, checks=False)
    size = float(np.sum(wanted**2))
    if not size:
        return math.nan
    return math.sqrt(float(np.sum((pdist(points) - wanted) ** 2)) / size)


def _scaled(
    d: Float64[np.ndarray, "m m"], axes: int
) -> tuple[Float64[np.ndarray, "m axes"], Float64[np.ndarray, " m"]]:
    """Coordinates and all eigenvalues, largest first."""
    squares = d**2
    rows = squares.mean(axis=1)
    centered = -0.5 * (squares - rows[:, None] - rows[None, :] + rows.mean())
    eigenvalues, vectors = np.linalg.eigh(centered)
    eigenvalues, vectors = eigenvalues[::-1].copy(), vectors[:, ::-1]
    largest = np.abs(eigenvalues).max()
    eigenvalues[np.abs(eigenvalues) <= _NOTHING * largest] = 0.0
    points = np.zeros((len(d), axes))
    used = min(axes, len(d))
    points[:, :used] = vectors[:, :used] * np.sqrt(eigenvalues[:used].clip(0))
    # Rounded: of two models equally far out, the first decides.
    far = np.argmax(np.abs(points).round(9), axis=0)
    return points * np.where(points[far, np.arange(axes)] < 0, -1.0, 1.0), eigenvalues
