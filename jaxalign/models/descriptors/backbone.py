"""Controls on protein backbones: size, density, distances, torsions. No residue type is seen.

All are continuous in the coordinates, so that a rotation, which rounds them, moves no count from
one bin to another: a value between the centers of two bins is shared by both, in proportion.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from jaxalign.models.descriptors.controls import control_entry
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.entry import ModelEntry
from jaxalign.structures.structure import Structure

DISTANCES = np.arange(4.0, 41.0, 1.5)
"""Centers of the bins of `backbone-distances` in Å; the outer ones also hold what is outside."""

TORSION_BINS = 12
CONTACT, SMOOTH = 8.0, 1.0  # Å: contacts end between 7 and 9
_APART = 3  # residues: nearer ones along the chain are always close
_ROWS = 512  # rows of distances at once


def distance_histogram(structure: Structure) -> Float[np.ndarray, " bins"]:
    """Histogram of the CA-CA distances of residues at least three apart along the chain.

    Args:
      structure: one with a backbone; residues without CA do not count.

    Returns:
      `[25]` shares that sum to 1.

    Raises:
      UnsupportedStructureError: if there is no such pair of residues.
    """
    total = np.zeros(len(DISTANCES))
    for distances in _distances(structure):
        place = np.interp(distances, DISTANCES, np.arange(len(DISTANCES)))
        total += _shared(place, len(DISTANCES))
    return total / total.sum()


def contact_density(structure: Structure) -> Float[np.ndarray, " two"]:
    """Contacts of CA atoms (8 Å, at least three residues apart) per residue, and a constant 1.

    A pair counts 1 up to 7 Å, 0 from 9 Å, and linearly in between.

    Raises:
      UnsupportedStructureError: if there are no residues so far apart.
    """
    nearer = (CONTACT + SMOOTH - distances for distances in _distances(structure))
    contacts = sum(np.clip(near / (2 * SMOOTH), 0, 1).sum() for near in nearer)
    return np.array([contacts / len(_alpha_carbons(structure)), 1.0])


def radius_of_gyration(structure: Structure) -> Float[np.ndarray, " two"]:
    """RMS distance of the CA atoms to their mean in Å, and a constant 1.

    Raises:
      UnsupportedStructureError: if there are not four residues in a row, or no CA atoms.
    """
    alpha = _alpha_carbons(structure)
    return np.array([np.sqrt(np.sum((alpha - alpha.mean(axis=0)) ** 2) / len(alpha)), 1.0])


def torsion_histogram(structure: Structure) -> Float[np.ndarray, " bins"]:
    """Histogram of (φ, ψ) over the residues that have both: a Ramachandran plot of one chain.

    Args:
      structure: one with a backbone; at breaks and missing atoms there are no angles.

    Returns:
      `[144]` shares that sum to 1, bins of 30° around -180°, -150°, …, φ by φ.

    Raises:
      UnsupportedStructureError: if no residue has both angles.
    """
    n, ca, c, _ = _backbone(structure).transpose(1, 0, 2)
    angles = np.stack([_torsion(c[:-2], n[1:-1], ca[1:-1], c[1:-1]),
                       _torsion(n[1:-1], ca[1:-1], c[1:-1], n[2:])])  # fmt: skip
    bonded = _bonded(structure)
    angles = angles[:, bonded[:-1] & bonded[1:] & np.isfinite(angles).all(axis=0)]
    if not angles.size:
        raise UnsupportedStructureError(
            f"no residue of structure {structure.id!r} has both torsion angles, which need three "
            "residues in a row with N, CA and C; leave it out (on_error='skip')"
        )
    place = (angles + np.pi) / (2 * np.pi) * TORSION_BINS
    phi, psi = (_weights(row, TORSION_BINS + 1) for row in place)
    joint = phi.T @ psi
    joint[0] += joint[-1]  # -180° and 180° are one
    joint[:, 0] += joint[:, -1]
    return joint[:-1, :-1].ravel() / angles.shape[1]


def _torsion(
    a: Float[np.ndarray, "n 3"],
    b: Float[np.ndarray, "n 3"],
    c: Float[np.ndarray, "n 3"],
    d: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, " n"]:
    """Torsion angles around b-c in radians, IUPAC sign."""
    axis = c - b
    before, after = np.cross(b - a, axis), np.cross(axis, d - c)
    sine = np.sum(np.cross(before, after) * axis, axis=1)
    return np.arctan2(sine, np.linalg.norm(axis, axis=1) * np.sum(before * after, axis=1))


def _weights(place: Float[np.ndarray, " n"], bins: int) -> Float[np.ndarray, "n bins"]:
    """One row a value: its shares in the two bins around it."""
    return np.clip(1 - np.abs(place[:, None] - np.arange(bins)), 0, None)


def _shared(place: Float[np.ndarray, " n"], bins: int) -> Float[np.ndarray, " bins"]:
    """Sum of `_weights` over values, without holding them."""
    left = np.minimum(place.astype(np.int64), bins - 2)
    share = place - left
    lower = np.bincount(left, 1 - share, minlength=bins)
    return lower + np.bincount(left + 1, share, minlength=bins)


def _distances(structure: Structure) -> Iterator[Float[np.ndarray, " pairs"]]:
    """CA-CA distances of residues at least three apart, piece by piece."""
    alpha = _alpha_carbons(structure)
    place = np.flatnonzero(np.isfinite(_backbone(structure)[:, 1]).all(axis=1))
    for start in range(0, len(alpha), _ROWS):
        rows = slice(start, start + _ROWS)
        separation = place[None, :] - place[rows, None]
        kept = separation >= _APART
        yield np.linalg.norm(alpha[None] - alpha[rows, None], axis=-1)[kept]


def _alpha_carbons(structure: Structure) -> Float[np.ndarray, "residues 3"]:
    alpha = _backbone(structure)[:, 1]
    place = np.flatnonzero(np.isfinite(alpha).all(axis=1))
    if not len(place) or place[-1] - place[0] < _APART:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has no two CA atoms that are {_APART} residues apart; "
            "leave it out (on_error='skip')"
        )
    return alpha[place]


def _backbone(structure: Structure) -> Float[np.ndarray, "residues 4 3"]:
    if structure.backbone is None:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has no backbone, which this control needs; read the data "
            "from PDB or mmCIF files"
        )
    return structure.backbone


def _bonded(structure: Structure) -> Bool[np.ndarray, " bonds"]:
    """Whether residue i + 1 follows residue i without a break."""
    if structure.residue_numbers is None:
        return np.ones(max(len(structure.backbone) - 1, 0), bool)
    return np.diff(structure.residue_numbers) == 1


ENTRIES: tuple[ModelEntry, ...] = (
    control_entry(
        distance_histogram,
        id="backbone-distances",
        name="Histogram of CA-CA distances",
        family="backbone geometry",
        width=len(DISTANCES),
        notes="Shares of the CA-CA distances of residues at least three apart along the chain, in "
        "bins of 1.5 Å from 4 to 40 Å: size and shape, no residue types, no handedness.",
    ),
    control_entry(
        torsion_histogram,
        id="backbone-torsions",
        name="Histogram of backbone torsions",
        family="backbone geometry",
        width=TORSION_BINS**2,
        notes="Shares of the residues in 12 × 12 bins of (φ, ψ): the content of secondary "
        "structure; neither residue types nor the fold are seen.",
    ),
    control_entry(
        contact_density,
        id="contact-density",
        name="Contacts per residue",
        family="backbone geometry",
        width=2,
        notes="(contacts of CA within 8 Å, at least three residues apart, per residue, 1).",
    ),
    control_entry(
        radius_of_gyration,
        id="radius-of-gyration",
        name="Radius of gyration",
        family="backbone geometry",
        width=2,
        notes="(radius of gyration of the CA atoms in Å, 1).",
    ),
)
