"""What distinguishes one eSEN or UMA from another."""

from __future__ import annotations

import dataclasses

GATE, SPHERE = "gate", "s2"
SPECTRAL, GRID = "spectral", "grid"
NORMS = ("rms_norm_sh", "layer_norm_sh", "layer_norm")


@dataclasses.dataclass(frozen=True)
class EsenSettings:
    """Static settings, which a compilation depends on.

    Attributes:
      elements: rows of the tables of elements; row Z belongs to the element Z.
      channels: of every coefficient of an atom's features.
      hidden: channels inside of messages and pointwise networks.
      max_degree: l of the features.
      max_order: |m| that messages keep in the frame of an edge.
      blocks: message passing steps.
      basis: Gaussians of the distance.
      cutoff: Å.
      max_neighbors: of an atom; the farther ones are dropped.
      activation: of messages: `"gate"` or, on a grid of the sphere, `"s2"`.
      feed_forward: pointwise network: `"spectral"` or `"grid"`.
      norm: one of `NORMS`.
      envelope: whether messages fall to 0 at the cutoff.
      grid_resolution: points along both angles of the grids; None for the original's choice.
      experts: linear maps that are mixed for every structure; 0 for plain maps.
      composition: whether the mixture depends on the elements of a structure.
      count_self: the mean over elements counts one atom too many, as UMA-S-1.2 was trained.
      charge_channels: first and last + 1 of the scalars whose sum is held at the charge.
      spin_channels: the same for the spin multiplicity − 1.
      head: how energies are read: `"mlp"`, `"linear"`, or None if the file has no energies.
    """

    elements: int
    channels: int
    hidden: int
    max_degree: int
    max_order: int
    blocks: int
    basis: int
    cutoff: float
    max_neighbors: int = 300
    activation: str = GATE
    feed_forward: str = SPECTRAL
    norm: str = NORMS[0]
    envelope: bool = True
    grid_resolution: int | None = None
    experts: int = 0
    composition: bool = False
    count_self: bool = False
    charge_channels: tuple[int, int] = (0, 0)
    spin_channels: tuple[int, int] = (0, 0)
    head: str | None = "mlp"

    @property
    def coefficients(self) -> int:
        """Number of coefficients of an atom's features, all degrees together."""
        return (self.max_degree + 1) ** 2

    @property
    def extra(self) -> int:
        """Channels of a message's first map that steer its activation."""
        return self.hidden * (self.max_degree if self.activation == GATE else 1)

    def degrees(self, order: int) -> int:
        """Number of degrees that have the order."""
        return self.max_degree + 1 - order


@dataclasses.dataclass(frozen=True)
class System:
    """What the network is told of a structure besides its atoms.

    Attributes:
      charge: total charge.
      spin: spin multiplicity; 0 for "not stated".
      dataset: level of theory, by the name of the training data; None if the network has but one.
    """

    charge: int = 0
    spin: int = 0
    dataset: str | None = None
