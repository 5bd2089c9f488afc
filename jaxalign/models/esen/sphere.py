"""Closed forms on the sphere, on the host: real harmonics, grids, and the exchange of two axes.

Convention of e3nn, as in `spherical_harmonics`: the polar axis is y, the azimuth runs from z to x,
m = −l … l. Here the harmonics have unit norm, ∫ Y² = 1:

    Y_{l,m} = N_lm P_l^|m|(y) · (√2 sin |m|φ | 1 | √2 cos mφ)   for m < 0 | m = 0 | m > 0.

References:
  Kostelec, Rockmore, "FFTs on the rotation group", J. Fourier Anal. Appl. 14, 145 (2008), eq. 25
  (weights of the grid).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float
from scipy.special import lpmv


def real_harmonics(
    heights: Float[np.ndarray, " n"], azimuths: Float[np.ndarray, " n"], degree: int
) -> Float[np.ndarray, "n coefficients"]:
    """All harmonics up to a degree.

    Args:
      heights: y of points of the sphere.
      azimuths: their angle from z to x.
      degree: largest l.

    Returns:
      `[n, (degree + 1)²]`, degree by degree, m ascending.
    """
    columns = []
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            k = abs(m)
            norm = (2 * n + 1) / (4 * math.pi) * math.factorial(n - k) / math.factorial(n + k)
            # scipy's functions carry (−1)^m, these harmonics do not.
            polar = (-1) ** k * math.sqrt(norm) * lpmv(k, n, heights)
            wave = np.cos(k * azimuths) if m >= 0 else np.sin(k * azimuths)
            columns.append(polar * wave * (math.sqrt(2) if m else 1))
    return np.stack(columns, axis=-1)


@functools.cache
def exchange_matrix(degree: int) -> Float[np.ndarray, "m m"]:
    """J: the reflection (x, y, z) → (−y, −x, z), among harmonics of a degree.

    With it every rotation follows from those about y: a turn about x by β is J X(β) J.

    Args:
      degree: l.

    Returns:
      `[2 l + 1, 2 l + 1]`, symmetric and orthogonal.
    """
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    azimuths = 2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1)
    y, phi = (a.reshape(-1) for a in np.meshgrid(nodes, azimuths, indexing="ij"))
    area = np.repeat(weights * 2 * np.pi / len(azimuths), len(azimuths))
    radius = np.sqrt(1 - y**2)
    x, z = radius * np.sin(phi), radius * np.cos(phi)
    own = slice(degree**2, (degree + 1) ** 2)
    before = real_harmonics(y, phi, degree)[:, own]
    after = real_harmonics(-x, np.arctan2(-y, z), degree)[:, own]
    return after.T @ (before * area[:, None])


@functools.cache
def grid_matrices(
    degree: int, order: int, resolution: int | None
) -> tuple[Float[np.ndarray, "points kept"], Float[np.ndarray, "points kept"]]:
    """Values on a grid of the sphere from coefficients, and back.

    Args:
      degree: largest l.
      order: largest |m|; coefficients beyond it are left out, and those of higher degrees scaled
        up in exchange, by √((2 l + 1) / (2 order + 1)).
      resolution: points along both angles; None for 2 (l + 1) heights and just enough azimuths.

    Returns:
      `to` and `back`, `[points, kept]` each: f(p) = Σ_i to[p, i] c_i, c_i = Σ_p back[p, i] f(p).
    """
    heights = resolution or 2 * (degree + 1)
    around = resolution or 2 * order + (3 if degree == order else 1)
    angles = (np.arange(heights) + 0.5) / heights * np.pi
    azimuths = np.arange(around) / around * 2 * np.pi
    theta, phi = (a.reshape(-1) for a in np.meshgrid(angles, azimuths, indexing="ij"))
    values = real_harmonics(np.cos(theta), phi, degree)
    degrees, m = coefficient_numbers(degree)
    scale = np.where(degrees > order, np.sqrt((2 * degrees + 1) / (2 * order + 1)), 1.0)
    values = (values * scale)[:, np.abs(m) <= order]
    area = np.repeat(_latitude_weights(heights) * 4 * np.pi / around, around)
    return values, values * area[:, None]


def coefficient_numbers(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Degree l and order m of all coefficients up to a degree."""
    pairs = [(n, m) for n in range(degree + 1) for m in range(-n, n + 1)]
    degrees, m = np.array(pairs).T
    return degrees, m


def _latitude_weights(count: int) -> Float[np.ndarray, " count"]:
    """Shares of the sphere that belong to the heights; they sum to about 1."""
    half = count // 2
    j, k = np.arange(2 * half), np.arange(half)
    inner = np.sin(np.outer(2 * j + 1, 2 * k + 1) * np.pi / (4 * half)) / (2 * k + 1)
    return np.sin(np.pi * (2 * j + 1) / (4 * half)) * inner.sum(axis=1) / half
