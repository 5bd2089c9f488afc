"""Inputs of So3krates: pairs of atoms within the cutoff, and functions of their distance vectors.

Every pair stands once, as i → j with the vector r_ij = r_i − r_j: all that a pair computes but the
attention is the same in both directions, and the harmonics of degree l change by (−1)ˡ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.atomistic.atom_graph import check_atoms, neighbor_pairs
from jaxalign.models.encoder import Example
from jaxalign.models.graph_packing import Field
from jaxalign.structures.structure import Structure

SPECIES = {1: 0, 6: 1, 7: 2, 8: 3, 9: 4, 15: 5, 16: 6, 17: 7}  # atomic number → row of tables
CUTOFF = 4.5  # Å
DEGREES = (1, 2, 3, 4)
COMPONENTS = tuple(2 * degree + 1 for degree in DEGREES)
HARMONICS = sum(COMPONENTS)
RADIAL = 32
# Signs of the harmonics of −r: odd degrees change theirs.
PARITY = np.repeat([(-1.0) ** degree for degree in DEGREES], COMPONENTS)
# [harmonic, degree]: 1 where the harmonic is of the degree.
DEGREE_OF = np.repeat(np.eye(len(DEGREES)), COMPONENTS, axis=0)
_CLOSEST_X = 1e-6  # of the original: keeps the logarithms finite

LAYOUT: Mapping[str, Field] = {
    "species": Field("atoms", dtype=np.int32),
    "centers": Field("pairs", points_to="atoms", dtype=np.int32),
    "neighbors": Field("pairs", points_to="atoms", dtype=np.int32),
    # Padding lies beyond the cutoff: its messages are 0, and nothing is divided by 0.
    "vectors": Field("pairs", fill=(CUTOFF, CUTOFF, CUTOFF)),
}


def check_structure(structure: Structure) -> None:
    """Refuses what the network cannot represent, as `check_atoms` says."""
    check_atoms(structure, known=SPECIES, family="SO3LR")


def featurize_pairs(structure: Structure) -> Example:
    """Inputs of one structure.

    Args:
      structure: atoms of H, C, N, O, F, P, S, Cl, as a molecule or periodic.

    Returns:
      `species` `[atoms]`, `centers` and `neighbors` `[pairs]`, `vectors` `[pairs, 3]` (center minus
      neighbor, Å): every pair within the cutoff once, images of an atom itself included.

    Raises:
      UnsupportedStructureError: as `check_structure`.
    """
    check_structure(structure)
    pairs = neighbor_pairs(structure, cutoff=CUTOFF, half=True)
    return {
        "species": np.array([SPECIES[int(z)] for z in structure.atomic_numbers], np.int32),
        "centers": pairs.centers,
        "neighbors": pairs.neighbors,
        "vectors": -pairs.vectors,
    }


def cutoff_weights(distances: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
    """1 − 10u³ + 15u⁴ − 6u⁵ of u = r / cutoff, and 0 from u = 1 on."""
    u = distances / CUTOFF
    return jnp.where(u < 1, 1 - u**3 * (10 - 15 * u + 6 * u * u), 0)


def radial_functions(
    distances: Float[Array, " pairs"],
    *,
    log_binomials: Float[Array, " radial"],
    decay: Float[Array, ""],
) -> Float[Array, "pairs radial"]:
    """Bernstein polynomials C(n, k) xᵏ (1 − x)ⁿ⁻ᵏ of x = exp(−decay · r), k = 0 … n.

    Args:
      distances: r, Å.
      log_binomials: log C(n, k).
      decay: 1/Å.

    Returns:
      One row a pair.
    """
    x = jnp.clip(jnp.exp(-decay * distances), _CLOSEST_X, 1 - _CLOSEST_X)[:, None]
    k = jnp.arange(len(log_binomials), dtype=distances.dtype)[None, :]
    return jnp.exp(log_binomials[None, :] + k * jnp.log(x) + k[:, ::-1] * jnp.log1p(-x))


def harmonics(vectors: Float[Array, "pairs 3"]) -> Float[Array, "pairs harmonics"]:
    """Real spherical harmonics of degrees 1 to 4, orthonormal on the sphere.

    The polar axis is z, m runs from −l to l in every degree, and no sign (−1)ᵐ is put in:
    degree 1 is √(3/4π) (y, z, x).

    Args:
      vectors: of unit length.

    Returns:
      3 + 5 + 7 + 9 columns.
    """
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    # (x + iy)ᵐ = cosines[m] + i sines[m]
    cosines, sines = [jnp.ones_like(x)], [jnp.zeros_like(x)]
    for _ in range(max(DEGREES)):
        c, s = cosines[-1], sines[-1]
        cosines.append(c * x - s * y)
        sines.append(s * x + c * y)
    columns = []
    for degree in DEGREES:
        for m in range(-degree, degree + 1):
            azimuthal = sines[-m] if m < 0 else cosines[m]
            columns.append(_polynomial(degree, abs(m), z) * azimuthal)
    return jnp.stack(columns, axis=1)


def _polynomial(degree: int, m: int, z: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
    """Normalized m-th derivative of the Legendre polynomial, by Horner's rule in z."""
    legendre = np.polynomial.Legendre.basis(degree).deriv(m)
    coefficients = legendre.convert(kind=np.polynomial.Polynomial).coef
    ratio = math.factorial(degree - m) / math.factorial(degree + m) * (2 if m else 1)
    norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio)
    value = jnp.full_like(z, norm * coefficients[-1])
    for coefficient in coefficients[-2::-1].tolist():
        value = value * z + norm * coefficient
    return value
