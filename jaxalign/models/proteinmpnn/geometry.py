"""What an edge of the residue graph sees of the geometry: distances, and relative orientations.

A distance d becomes 16 Gaussians exp(−((d − μ)/σ)²) with centers μ from 2 to 22 Å and σ = 1.25 Å.

Networks that see CA atoms alone get orientations too. With unit vectors u₋ from the CA before and
u₊ to the CA after a residue, zero where the step is not that of a chain (3.6 to 4.0 Å),

    o = û(u₋ − u₊),   n = û(u₋ × u₊),   O = rows (o, n, o × n)

is the frame of the residue, û meaning "divided by its length". The edge i → j has û(Oᵢ(xⱼ − xᵢ))
and the quaternion of OᵢᵀOⱼ. A residue without a frame has O = 0. This rotation is seen from the
coordinates' own axes, as in the original; from those of the residue it would be OᵢOⱼᵀ. So the
imaginary part of the quaternion turns with the structure, and these networks are not invariant.

References:
  Dauparas et al., Science 378, 49 (2022), doi:10.1126/science.add2187, supplement;
  Ingraham et al., Generative models for graph-based protein design, NeurIPS 2019, equation 2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

CENTERS = 16
_FIRST, _LAST = 2.0, 22.0
_LARGEST_STEP, _SMALLEST_STEP = 4.0, 3.6
_SMOOTHING = 1e-6  # Å², under the root of every distance
_SMALLEST = 1e-12  # a length below this divides no more
# Cβ of an ideal residue: CA + a (b × c) + b' b + c' c with b = CA − N and c = C − CA.
_BETA_CROSS, _BETA_NITROGEN, _BETA_CARBON = -0.58273431, 0.56802827, -0.54067466


def with_beta(backbone: Float[Array, "residues 4 3"]) -> Float[Array, "residues 5 3"]:
    """Adds the atom Cβ of an ideal residue to N, CA, C and O.

    Args:
      backbone: coordinates in Å.

    Returns:
      N, CA, C, O, Cβ.
    """
    nitrogen, alpha, carbon = (backbone[:, i] for i in range(3))
    first, second = alpha - nitrogen, carbon - alpha
    beta = _BETA_CROSS * jnp.cross(first, second) + _BETA_NITROGEN * first + _BETA_CARBON * second
    return jnp.concatenate([backbone, (beta + alpha)[:, None]], axis=1)


def distance_features(
    own: Float[Array, "residues atoms 3"], others: Float[Array, "residues neighbors atoms 3"]
) -> Float[Array, "residues neighbors features"]:
    """Gaussians of all distances between the atoms of a residue and those of its neighbors.

    Args:
      own: atoms of each residue, m of them.
      others: atoms of its neighbors.

    Returns:
      m · m · 16 features: own atom by own atom, in it atom by atom of the neighbor, in it the
      centers.
    """
    difference = own[:, None, :, None] - others[:, :, None]
    distance = jnp.sqrt(jnp.sum(difference**2, axis=-1) + _SMOOTHING)
    # Otherwise each of the 16 Gaussians would compute its distance anew.
    distance = jax.lax.optimization_barrier(distance)
    centers = jnp.linspace(_FIRST, _LAST, CENTERS, dtype=distance.dtype)
    width = (_LAST - _FIRST) / CENTERS
    gaussians = jnp.exp(-(((distance[..., None] - centers[None, None, None, None]) / width) ** 2))
    return gaussians.reshape(*others.shape[:2], -1)


def residue_frames(
    windows: Float[Array, "residues 3 3"], framed: Bool[Array, " residues"]
) -> Float[Array, "residues 3 3"]:
    """Local frame of each residue of a CA trace.

    Args:
      windows: CA of the residue before, of this, and of the one after.
      framed: False where the frame is to be 0.

    Returns:
      Rows o, n and o × n.
    """
    steps = jnp.diff(windows, axis=1)
    length = _length(steps)
    steps = jnp.where((length > _SMALLEST_STEP) & (length < _LARGEST_STEP), steps, 0)
    before, after = _unit(steps[:, 0]), _unit(steps[:, 1])
    inner, normal = _unit(before - after), _unit(jnp.cross(before, after))
    frame = jnp.stack([inner, normal, jnp.cross(inner, normal)], axis=1)
    return jnp.where(framed[:, None, None], frame, 0)


def orientation_features(
    own: tuple[Float[Array, "residues 3"], Float[Array, "residues 3 3"]],
    others: tuple[Float[Array, "residues neighbors 3"], Float[Array, "residues neighbors 3 3"]],
) -> Float[Array, "residues neighbors 7"]:
    """Direction to each neighbor in the frame of a residue, and the quaternion between frames.

    Args:
      own: CA and frame of each residue.
      others: CA and frame of its neighbors.

    Returns:
      3 components of the direction, then x, y, z, w of the quaternion.
    """
    alpha, frame = own[0][:, None], own[1][:, None]
    difference = others[0] - alpha
    direction = _unit(jnp.sum(frame * difference[:, :, None], axis=-1))
    # Sums, not products of matrices: Rᵀ of a pair is R of the reversed pair to the last bit, and
    # the signs below stay 0 for a residue and itself.
    rotation = jnp.sum(frame[..., :, None] * others[1][..., None, :], axis=-3)
    return jnp.concatenate([direction, _quaternions(rotation)], axis=-1)


def _quaternions(
    rotation: Float[Array, "residues neighbors 3 3"],
) -> Float[Array, "residues neighbors 4"]:
    xx, yy, zz = (rotation[..., i, i] for i in range(3))
    squares = jnp.stack([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], axis=-1)
    pairs = ((2, 1), (0, 2), (1, 0))
    signs = jnp.sign(
        jnp.stack([rotation[..., i, j] - rotation[..., j, i] for i, j in pairs], axis=-1)
    )
    real = jnp.sqrt(jax.nn.relu(1 + xx + yy + zz))[..., None] / 2
    imaginary = signs * jnp.sqrt(jnp.abs(squares)) / 2
    return _unit(jnp.concatenate([imaginary, real], axis=-1))


def _length(vectors: Float[Array, "*shape d"]) -> Float[Array, "*shape 1"]:
    return jnp.sqrt(jnp.sum(vectors**2, axis=-1, keepdims=True))


def _unit(vectors: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
    return vectors / jnp.maximum(_length(vectors), _SMALLEST)
