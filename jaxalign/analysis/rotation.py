"""Does an embedding keep still when a structure is turned or its atoms are renumbered?

For structures x_i (i = 1 … S), their embeddings h(x_i) with mean h̄, and random rotations R,

    δ_i = max_R |h(R x_i) − h(x_i)| / s,      s = √(1/S Σ_i |h(x_i) − h̄|²),

is the drift of structure i: how far a rotation, which means nothing, moves its embedding, in units
of what the embedding tells apart. The same with random orders of the atoms. A card that says
"invariant" is held to max_i δ_i ≤ 10⁻⁴, which float32 meets and a broken symmetry does not; claims
of other kinds are not held to it for rotations. The order of atoms must never matter.

Drifts are of the rows that are aligned: of the layer and pooling that were asked for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxalign.analysis.copies import renumbered, rotated, stretched
from jaxalign.embeddings.extract import embed_structures
from jaxalign.embeddings.request import make_request
from jaxalign.models.encoder import Encoder, HostEncoder, UnsupportedStructureError
from jaxalign.structures.structure import Structure, StructureSet

TOLERANCE = 1e-4
ROTATIONS, PERMUTATIONS = 4, 2
NO_COORDINATES = "no coordinates"
_WITHOUT_SPACE = ("string", "graph", "text", "protein-sequence")
_ORDERED = ("protein-structure",)  # residues have an order that means something


@dataclasses.dataclass(frozen=True)
class RotationDrift:
    """Drift of one model's embeddings, in units of their spread; NaN where not measured.

    Attributes:
      model: id of the model.
      layer: layer of the rows.
      pooling: pooling of the rows.
      claim: what the card says: `"invariant"`, `"equivariant"` or `"none"`.
      structures: how many were measured.
      rotations: random rotations of each.
      permutations: random orders of the atoms of each.
      spread: RMS distance of the embeddings to their mean.
      rotation_median: median over structures of the drift under rotations.
      rotation_max: its maximum.
      permutation_median: median over structures of the drift under orders of atoms.
      permutation_max: its maximum.
      tolerance: largest drift of an invariant embedding.
      worst: id of the structure with the largest drift under rotations.
      reason: why nothing was measured; empty if it was.
    """

    model: str
    layer: str | None
    pooling: str
    claim: str
    structures: int = 0
    rotations: int = 0
    permutations: int = 0
    spread: float = math.nan
    rotation_median: float = math.nan
    rotation_max: float = math.nan
    permutation_median: float = math.nan
    permutation_max: float = math.nan
    tolerance: float = TOLERANCE
    worst: str = ""
    reason: str = ""

    @property
    def holds_under_rotations(self) -> bool | None:
        """Whether the claim "invariant" is true; None if it is not made or was not measured."""
        if self.claim != "invariant" or math.isnan(self.rotation_max):
            return None
        return self.rotation_max <= self.tolerance

    @property
    def holds_under_permutations(self) -> bool | None:
        """Whether the order of atoms does not matter; None if it was not measured."""
        if math.isnan(self.permutation_max):
            return None
        return self.permutation_max <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of all fields; NaN is None."""
        facts = dataclasses.asdict(self)
        return {name: None if value != value else value for name, value in facts.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RotationDrift:
        """Inverse of `to_json`; unknown fields of newer versions are ignored."""
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        known = {name: value for name, value in data.items() if name in defaults}
        for name, value in known.items():
            if value is None and isinstance(defaults[name], float):
                known[name] = math.nan
        return cls(**known)


def rotation_drift(
    encoder: Encoder | HostEncoder,
    structures: Sequence[Structure],
    *,
    layer: str | None = None,
    pooling: str | None = None,
    rotations: int = ROTATIONS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> RotationDrift:
    """Measures how rotations and renumbered atoms move embeddings.

    All processes of a run must call this together.

    Args:
      encoder: a network or a function on the host.
      structures: at least two of them with positions or a backbone; those that the encoder refuses
        are left out.
      layer: layer name; None for the card's default.
      pooling: pooling name; None for the card's default.
      rotations: random rotations of each structure, at least 1.
      permutations: random orders of the atoms of each structure, 0 for none; backbones have none.
      seed: of rotations and orders.
      tolerance: largest drift of an invariant embedding, in units of the spread.

    Returns:
      The drifts; or `reason`, if the encoder looks at no coordinates, or fewer than two structures
      can be embedded, or all have one embedding.

    Raises:
      ValueError: for an impossible number of copies, layer or pooling.
    """
    if rotations < 1 or permutations < 0:
        raise ValueError(
            f"rotations must be at least 1 and permutations at least 0: got {rotations} and "
            f"{permutations}"
        )
    card = encoder.card
    request = make_request(card, structures, layer=layer, pooling=pooling, on_error="raise")
    blank = RotationDrift(card.id, request.layer, request.pooling, card.symmetry)
    blank = dataclasses.replace(blank, tolerance=tolerance)
    placed = [s for s in structures if _has_atoms(s) or s.backbone is not None]
    if card.modality in _WITHOUT_SPACE or not placed:
        return dataclasses.replace(blank, reason=NO_COORDINATES)
    if card.modality in _ORDERED or not all(_has_atoms(s) for s in placed):
        permutations = 0
    kept, refusal = _embeddable(encoder, placed)
    if len(kept) < 2:
        reason = f"{len(kept)} of {len(placed)} structures can be embedded, and two are needed"
        return dataclasses.replace(blank, reason=f"{reason}: {refusal}" if refusal else reason)
    copies = [kept, stretched(kept)]
    copies += [rotated(kept, copy=copy, seed=seed) for copy in range(rotations)]
    copies += [renumbered(kept, copy=copy, seed=seed) for copy in range(permutations)]
    rows = _rows(encoder, copies, layer=layer, pooling=pooling)
    return _measured(
        blank, [s.id for s in kept], rows, rotations=rotations, permutations=permutations
    )


def _has_atoms(structure: Structure) -> bool:
    return structure.atomic_numbers is not None and structure.positions is not None


def _measured(
    blank: RotationDrift,
    ids: Sequence[str],
    rows: Float[np.ndarray, "copies n d"],
    *,
    rotations: int,
    permutations: int,
) -> RotationDrift:
    """The record of rows that are there: as given, stretched, rotated, renumbered."""
    rows = rows.astype(np.float64)
    moved = np.linalg.norm(rows[1:] - rows[0], axis=-1)
    if not moved[0].any():  # blind to a size that changed by 5 to 12 %
        return dataclasses.replace(blank, reason=NO_COORDINATES)
    spread = float(np.sqrt(np.mean(np.sum((rows[0] - rows[0].mean(axis=0)) ** 2, axis=-1))))
    if spread == 0:
        return dataclasses.replace(blank, reason="all structures have the same embedding")
    turned = moved[1 : 1 + rotations].max(axis=0) / spread
    facts = {
        "structures": len(ids),
        "rotations": rotations,
        "permutations": permutations,
        "spread": spread,
        "rotation_median": float(np.median(turned)),
        "rotation_max": float(turned.max()),
        "worst": ids[int(turned.argmax())],
    }
    if permutations:
        orders = moved[1 + rotations :].max(axis=0) / spread
        facts["permutation_median"] = float(np.median(orders))
        facts["permutation_max"] = float(orders.max())
    return dataclasses.replace(blank, **facts)


def _embeddable(
    encoder: Encoder | HostEncoder, structures: Sequence[Structure]
) -> tuple[list[Structure], str]:
    """Structures that the encoder takes, and why it does not take the first other one."""
    kept, refusal = [], ""
    for structure in structures:
        try:
            if isinstance(encoder, HostEncoder):
                encoder.embed([structure])
            else:
                encoder.batching.check(encoder.featurize(structure))
        except UnsupportedStructureError as error:
            refusal = refusal or str(error)
            continue
        kept.append(structure)
    return kept, refusal


def _rows(
    encoder: Encoder | HostEncoder,
    copies: Sequence[Sequence[Structure]],
    *,
    layer: str | None,
    pooling: str | None,
) -> Float[np.ndarray, "copies n d"]:
    """Rows of all copies."""
    if isinstance(encoder, HostEncoder):
        # Copies keep their ids here: a function may look at them, as the noise controls do.
        return np.stack([np.asarray(encoder.embed(list(part)), np.float32) for part in copies])
    named = [
        dataclasses.replace(structure, id=f"{copy}/{structure.id}")
        for copy, structures in enumerate(copies)
        for structure in structures
    ]
    found = embed_structures(
        encoder,
        StructureSet(named, name="rotations"),
        layer=layer,
        pooling=pooling,
        progress=False,
    )
    return found.values.reshape(len(copies), len(copies[0]), -1)
