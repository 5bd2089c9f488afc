"""SOAP power spectrum of a structure, averaged over its atoms, with pseudo-elements.

Every atom j around atom i, i itself included, is a Gaussian exp(−η |r − r_ij|²) with η = 1 / 2σ².
Three densities of such Gaussians stand for all elements: each atom enters with the weights w_k(Z)
of `pseudo_elements` (1, covalent radius, group of the periodic table). They are expanded in

    g_nl(r) Y_lm,   g_nl(r) = Σ_n' β_nn'l rˡ exp(−α_n'l r²)   (orthonormal; n ≤ 6, l ≤ 6),

    c_knlm = Σ_n' β_nn'l Σ_j w_k(Z_j) (π / (α + η))^(3/2) (η / (α + η))ˡ
                 exp(−α η r_ij² / (α + η)) r_ijˡ Y_lm(r_ij),       α = α_n'l

(the integral over all space, in closed form), and the descriptor is the mean over atoms i of

    p_kn,k'n',l = π √(8 / (2l + 1)) Σ_m c_knlm c_k'n'lm,

the upper triangle of every symmetric matrix p_l, its off-diagonal part times √2, so that inner
products of rows are those of whole matrices. The rˡ Y_lm are polynomials: nothing is singular at 0.

References:
  Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013); Himanen et al., "DScribe", Comput. Phys.
  Commun. 247, 106949 (2020), sec. 2.5 (this radial basis); Willatt, Musil, Ceriotti, Phys. Chem.
  Chem. Phys. 20, 29661 (2018) (pseudo-elements); Darby, Kermode, Csányi, npj Comput. Mater. 8, 166
  (2022) (element-agnostic compression); Cordero et al., Dalton Trans. 2832 (2008) (radii).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from jaxtyping import Float, Int
from scipy.special import gamma

from jaxalign.models.atomistic.atom_graph import check_atoms, neighbor_pairs
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

CUTOFF, SIGMA = 5.0, 0.5  # Å
RADIAL, DEGREE = 6, 6  # radial functions; largest l
HEAVIEST = 96  # elements with a known radius
CHANNELS = 3
_SIDE = CHANNELS * RADIAL
WIDTH = (DEGREE + 1) * _SIDE * (_SIDE + 1) // 2
_DECAY = 1e-3  # of the primitives at their own radii, and of a Gaussian at the cutoff of the pairs
# Gaussians of atoms beyond the cutoff still reach into it.
REACH = CUTOFF + SIGMA * math.sqrt(-2 * math.log(_DECAY))
_NOBLE_GASES = np.array([0, 2, 10, 18, 36, 54, 86, 118])


def soap(structure: Structure) -> Float[np.ndarray, " width"]:
    """Mean power spectrum of all atoms of a molecule or a crystal.

    Args:
      structure: one with positions; directions with pbc repeat.

    Returns:
      `[1197]` float64: degree l by pairs of (pseudo-element, radial function).

    Raises:
      UnsupportedStructureError: if there are no atoms, or elements beyond 96, NaN, coincident atoms
        or a periodic cell without volume.
    """
    _check_elements(structure)
    check_atoms(structure, known=range(1, HEAVIEST + 1), family="SOAP")
    coefficients = density_coefficients(*_neighborhoods(structure))
    return np.concatenate([_mean_spectrum(*found) for found in enumerate(coefficients)])


def pseudo_elements(numbers: Int[np.ndarray, " atoms"]) -> Float[np.ndarray, "atoms 3"]:
    """Weights of atoms in the three densities.

    Args:
      numbers: atomic numbers 1 to 96.

    Returns:
      `[atoms, 3]`: 1; covalent radius in Å; group of the periodic table / 9.
    """
    group = periodic_group(numbers) / 9
    return np.stack([np.ones(len(numbers)), covalent_radii[numbers], group], axis=1)


def periodic_group(numbers: Int[np.ndarray, " atoms"]) -> Int[np.ndarray, " atoms"]:
    """Group 1 to 18 of the periodic table; all lanthanides and actinides are in group 3."""
    period = np.searchsorted(_NOBLE_GASES, numbers)
    length = _NOBLE_GASES[period] - _NOBLE_GASES[period - 1]
    place = numbers - _NOBLE_GASES[period - 1]
    from_right = np.maximum(18 - length + place, 3)  # the f block has places 3 to 17
    return np.where(place <= np.minimum(2, length - 1), place, from_right)


def density_coefficients(
    vectors: Float[np.ndarray, "3 atoms slots"], weights: Float[np.ndarray, "channels atoms slots"]
) -> list[Float[np.ndarray, "functions atoms m"]]:
    """Expansion coefficients of the densities around every atom.

    Args:
      vectors: to all atoms whose Gaussians reach into the cutoff, itself among them, Å.
      weights: of these in each density; 0 where a slot is empty.

    Returns:
      For each l an array `[channels · 6, atoms, 2l + 1]`.
    """
    channels, atoms, slots = weights.shape
    basis = _basis(channels)
    harmonics = solid_harmonics(vectors, DEGREE)
    square = np.einsum("kas,kas->as", vectors, vectors)
    radial = np.exp(-basis.exponents[:, :, None, None] * square)
    found = []
    for degree in range(DEGREE + 1):
        terms = (weights[:, None] * radial[degree]).reshape(-1, atoms, slots)
        own = harmonics[degree**2 : (degree + 1) ** 2]
        sums = np.matmul(terms.transpose(1, 0, 2), own.transpose(1, 2, 0))
        found.append((basis.mixtures[degree] @ sums).transpose(1, 0, 2))
    return found


def solid_harmonics(
    vectors: Float[np.ndarray, "3 ..."], degree: int
) -> Float[np.ndarray, "all ..."]:
    """Real rˡ Y_lm, orthonormal on the unit sphere, as polynomials of x, y, z.

    With A + iB = (x + iy)ᵐ and q_mm = (2m − 1)!!, q_lm = ((2l − 1) z q_l−1,m − (l + m − 1) r²
    q_l−2,m) / (l − m), the pair ±m is √2 N_lm q_lm (A, B), and m = 0 is N_l0 q_l0.

    Args:
      vectors: any lengths, 0 included.
      degree: largest l.

    Returns:
      `[(degree + 1)², ...]`: l by l, in each m = −l … l.
    """
    x, y, z = vectors
    square = x * x + y * y + z * z
    values = np.empty(((degree + 1) ** 2, *x.shape))
    cosine, sine, first = np.ones_like(x), np.zeros_like(x), 1.0
    for m in range(degree + 1):
        before, now = 0.0, np.full_like(x, first)
        for n in range(m, degree + 1):
            scaled = _norm(n, m) * now
            middle = n * n + n
            np.multiply(scaled, cosine, out=values[middle + m])
            if m:
                np.multiply(scaled, sine, out=values[middle - m])
            if n < degree:
                factors = (2 * n + 1) / (n + 1 - m), (n + m) / (n + 1 - m)
                before, now = now, factors[0] * z * now - factors[1] * square * before
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
        first *= 2 * m + 1
    return values


class _Basis(NamedTuple):
    """Primitives exp(−b r²) that a Gaussian leaves of rˡ exp(−α r²), and their mixtures.

    Mixtures hold all prefactors, and act on each of several channels alike.
    """

    exponents: Float[np.ndarray, "degrees primitives"]
    mixtures: Float[np.ndarray, "degrees functions primitives"]


@functools.cache
def _basis(channels: int) -> _Basis:
    degrees = np.arange(DEGREE + 1)[:, None]
    radii = np.linspace(1.0, CUTOFF, RADIAL)
    alpha = -np.log(_DECAY / radii**degrees) / radii**2  # rˡ exp(−α r²) = 10⁻³ at the radius
    power = degrees[:, :, None] + 1.5
    overlaps = 0.5 * gamma(power) * (alpha[:, :, None] + alpha[:, None, :]) ** -power
    values, vectors = np.linalg.eigh(overlaps)
    mixtures = np.einsum("lia,la,lja->lij", vectors, values**-0.5, vectors)
    eta = 1 / (2 * SIGMA**2)
    amplitudes = (np.pi / (alpha + eta)) ** 1.5 * (eta / (alpha + eta)) ** degrees
    mixtures = np.kron(np.eye(channels), mixtures * amplitudes[:, None, :])
    return _Basis(alpha * eta / (alpha + eta), mixtures)


@functools.cache
def _norm(degree: int, order: int) -> float:
    ratio = math.factorial(degree - order) / math.factorial(degree + order)
    pair = 2 if order else 1
    return math.sqrt(pair * (2 * degree + 1) / (4 * math.pi) * ratio)


def _check_elements(structure: Structure) -> None:
    numbers = structure.atomic_numbers
    foreign = () if numbers is None else sorted({int(z) for z in numbers if not 1 <= z <= HEAVIEST})
    if foreign:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has atomic numbers {list(foreign)}; SOAP needs covalent "
            f"radii, which are known for 1 to {HEAVIEST}; leave it out (on_error='skip')"
        )


def _neighborhoods(
    structure: Structure,
) -> tuple[Float[np.ndarray, "3 atoms slots"], Float[np.ndarray, "channels atoms slots"]]:
    """Vectors from each atom to itself and its neighbors, and the weights of these."""
    weights = pseudo_elements(np.asarray(structure.atomic_numbers))
    pairs = neighbor_pairs(structure, cutoff=REACH)
    counts = np.bincount(pairs.centers, minlength=len(weights))
    first = np.cumsum(counts) - counts
    slot = 1 + np.arange(len(pairs.centers)) - first[pairs.centers]  # slot 0: the atom itself
    shape = (3, len(weights), 1 + int(counts.max()))
    vectors, near = np.zeros(shape), np.zeros(shape)
    vectors[:, pairs.centers, slot] = pairs.vectors.T
    near[:, :, 0] = weights.T
    near[:, pairs.centers, slot] = weights[pairs.neighbors].T
    return vectors, near


def _mean_spectrum(
    degree: int, coefficients: Float[np.ndarray, "functions atoms m"]
) -> Float[np.ndarray, " pairs"]:
    """Upper triangle of p_l, the mean over atoms; off the diagonal times √2."""
    functions, atoms, _ = coefficients.shape
    flat = coefficients.reshape(functions, -1)
    rows, columns, scale = _upper_triangle(functions)
    factor = math.pi * math.sqrt(8 / (2 * degree + 1)) / atoms
    return (flat @ flat.T)[rows, columns] * (factor * scale)


@functools.cache
def _upper_triangle(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.triu_indices(side)
    return rows, columns, np.where(rows == columns, 1, math.sqrt(2))
