"""What tells the networks of the ProteinMPNN family apart."""

from __future__ import annotations

import dataclasses

WIDTH = 128
DEPTH = 3


@dataclasses.dataclass(frozen=True)
class MpnnSettings:
    """Sizes of an encoder.

    Attributes:
      neighbors: largest number k of neighbors of a residue, itself included.
      alpha_only: sees CA atoms alone instead of N, CA, C, O.
      labels: kinds of labels a residue may have (membrane variants); 0 for none.
      context: has the layers that follow the encoder in LigandMPNN, where ligand atoms would enter.
    """

    neighbors: int = 48
    alpha_only: bool = False
    labels: int = 0
    context: bool = False

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the selectable layers, first to last."""
        layers = tuple(f"layer_{number}" for number in range(1, DEPTH + 1))
        return ("embedding", *layers, *(("context",) if self.context else ()))


BACKBONE = MpnnSettings()
ALPHA = MpnnSettings(alpha_only=True)
LIGAND = MpnnSettings(neighbors=32, context=True)
MEMBRANE = MpnnSettings(labels=3)
