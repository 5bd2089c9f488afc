"""Coupling of angular momenta in the real basis of `spherical_harmonics`.

Three irreducible representations l₁, l₂, l₃ of the rotations have one invariant tensor C, up to its
length and sign: `(x ⊗ y)_c = Σ_ab C_abc x_a y_b` turns as degree l₃ if x turns as l₁ and y as l₂.
Here the length is 1 (the 3-j symbol), and the sign that of the product of

    i^(l₁ + l₂ − l₃) Σ U¹_am U²_bn conj(U³_cp) ⟨l₁ m l₂ n | l₃ p⟩

with U the change from complex to real harmonics: the same as e3nn's since its version 0.5. Files of
weights that were trained with an older one may hold tables of the opposite sign.

References:
  Racah, "Theory of complex spectra II", Phys. Rev. 62, 438 (1942), eq. 16; Geiger, Smidt, "e3nn",
  arXiv:2207.09453 (2022), sec. 2.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

_NEGLIGIBLE = 1e-12  # rounding of elements that are 0


class Path(NamedTuple):
    """One coupling of a tensor product: degrees of the two factors and of the product."""

    left: int
    right: int
    product: int


def coupling_paths(left: int, right: int, product: int) -> tuple[Path, ...]:
    """All couplings up to some degrees, in the order left, right, product.

    Args:
      left: largest degree of the first factor.
      right: of the second.
      product: of the product; larger ones are dropped.

    Returns:
      The paths.
    """
    return tuple(
        Path(a, b, c)
        for a in range(left + 1)
        for b in range(right + 1)
        for c in range(abs(a - b), min(a + b, product) + 1)
    )


@functools.cache
def coupling_tensor(path: Path) -> Float[np.ndarray, "a b c"]:
    """The invariant tensor of three degrees.

    Args:
      path: degrees that obey the triangle rule.

    Returns:
      `[2l₁ + 1, 2l₂ + 1, 2l₃ + 1]` float64 of Euclidean length 1; read-only.
    """
    left, right, product = path
    changes = (_real_basis(left), _real_basis(right), _real_basis(product).conj())
    table = np.einsum("am,bn,cp,mnp->abc", *changes, _clebsch_gordan(path))
    table = (1j ** (left + right - product) * table).real
    table[np.abs(table) < _NEGLIGIBLE] = 0.0
    table /= np.linalg.norm(table)
    table.flags.writeable = False  # shared by all callers
    return table


@functools.cache
def coupling_terms(path: Path) -> tuple[tuple[tuple[int, int, float], ...], ...]:
    """The nonzero elements of √(2l₃ + 1) C, which keeps the size of components.

    Args:
      path: degrees that obey the triangle rule.

    Returns:
      For each component c of the product: its (a, b, √(2l₃ + 1) C_abc).
    """
    table = math.sqrt(2 * path.product + 1) * coupling_tensor(path)
    return tuple(
        tuple((int(a), int(b), float(part[a, b])) for a, b in np.argwhere(part))
        for part in np.moveaxis(table, -1, 0)
    )


def _real_basis(degree: int) -> Complex[np.ndarray, "m m"]:
    """Real harmonics (rows) in terms of the complex ones with Condon-Shortley phase."""
    change = np.zeros((2 * degree + 1, 2 * degree + 1), complex)
    change[degree, degree] = 1
    for m in range(1, degree + 1):
        plus, minus, sign = degree + m, degree - m, (-1) ** m
        change[plus, [plus, minus]] = np.array([sign, 1]) / math.sqrt(2)
        change[minus, [plus, minus]] = np.array([-sign * 1j, 1j]) / math.sqrt(2)
    return change


def _clebsch_gordan(path: Path) -> Float[np.ndarray, "m n p"]:
    """⟨l₁ m l₂ n | l₃ p⟩ for all m, n and p."""
    left, right, product = path
    table = np.zeros((2 * left + 1, 2 * right + 1, 2 * product + 1))
    for m in range(-left, left + 1):
        for n in range(max(-right, -product - m), min(right, product - m) + 1):
            table[left + m, right + n, product + m + n] = _racah(path, m, n)
    return table


def _racah(path: Path, m: int, n: int) -> float:
    left, right, product = path
    fact, p = math.factorial, m + n
    triangle = (product + left - right, product - left + right, left + right - product)
    states = (product + p, product - p, left - m, left + m, right - n, right + n)
    square = (2 * product + 1) * math.prod(map(fact, triangle + states))
    total = 0.0
    for k in range(triangle[2] + 1):
        below = (k, triangle[2] - k, left - m - k, right + n - k)
        below += (product - right + m + k, product - left - n + k)
        if min(below) >= 0:
            total += (-1) ** k / math.prod(map(fact, below))
    return total * math.sqrt(square / fact(left + right + product + 1))
