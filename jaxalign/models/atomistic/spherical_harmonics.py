"""Real spherical harmonics of edge vectors as homogeneous polynomials, for equivariant networks.

Convention of e3nn: the polar axis is y, components of degree l run over m = −l … l, and
"component" normalization makes the squares of the 2l + 1 components sum to 2l + 1 on the unit
sphere. With r² = x² + y² + z²:

    l = 0:  1
    l = 1:  √3 (x, y, z)
    l = 2:  √15 xz,  √15 xy,  √5/2 (3y² − r²),  √15 yz,  √15/2 (z² − x²)
    l = 3:  √(35/8) x (3z² − x²),  √105 xyz,  √(21/8) x (5y² − r²),  √7/2 y (5y² − 3r²),
            √(21/8) z (5y² − r²),  √105/2 y (z² − x²),  √(35/8) z (z² − 3x²)

The polynomials are not divided by rˡ: pass unit vectors for the usual functions; some networks want
them to grow with the length.

References:
  Geiger, Smidt, "e3nn: Euclidean neural networks", arXiv:2207.09453 (2022), sec. 3.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

MAX_DEGREE = 3


def spherical_harmonics(
    vectors: Float[Array, "*batch 3"], degree: int
) -> tuple[Float[Array, "*batch m"], ...]:
    """All harmonics up to a degree, one array a degree.

    Args:
      vectors: x, y, z. Of unit length for harmonics on the sphere.
      degree: largest l, at most 3. Static.

    Returns:
      Arrays `[..., 2l + 1]` for l = 0 … degree, of the dtype of the vectors.

    Raises:
      ValueError: if the degree is not one of 0 … 3.
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(
            f"spherical harmonics are there for degrees 0 to {MAX_DEGREE}, got {degree}"
        )
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    components = [[jnp.ones_like(x)]]
    if degree >= 1:
        components.append([math.sqrt(3.0) * v for v in (x, y, z)])
    if degree >= 2:
        components.append(_second(x, y, z))
    if degree >= 3:
        components.append(_third(x, y, z))
    return tuple(jnp.stack(values, axis=-1) for values in components)


def _second(
    x: Float[Array, "*batch"], y: Float[Array, "*batch"], z: Float[Array, "*batch"]
) -> list[Float[Array, "*batch"]]:
    a, b = math.sqrt(15.0), math.sqrt(5.0) / 2
    # 3y² − r² with the y² taken out of r².
    return [
        a * x * z,
        a * x * y,
        b * (2 * y * y - x * x - z * z),
        a * y * z,
        a / 2 * (z - x) * (z + x),
    ]


def _third(
    x: Float[Array, "*batch"], y: Float[Array, "*batch"], z: Float[Array, "*batch"]
) -> list[Float[Array, "*batch"]]:
    a, b, c, d = (math.sqrt(35 / 8), math.sqrt(105.0), math.sqrt(21 / 8), math.sqrt(7.0) / 2)
    x2, y2, z2 = x * x, y * y, z * z
    return [
        a * x * (3 * z2 - x2),
        b * x * y * z,
        c * x * (4 * y2 - x2 - z2),
        d * y * (2 * y2 - 3 * x2 - 3 * z2),
        c * z * (4 * y2 - x2 - z2),
        b / 2 * y * (z2 - x2),
        a * z * (z2 - 3 * x2),
    ]
