"""What a MACE is besides its arrays."""

from __future__ import annotations

import dataclasses

from jaxalign.models.weight_files.weights import WeightsError


@dataclasses.dataclass(frozen=True)
class MaceSettings:
    """Everything about a MACE that is no array.

    Attributes:
      atomic_numbers: known elements, in the order of the file.
      cutoff: Å.
      smoothness: exponent p of the polynomial cutoff.
      channels: width of every degree.
      max_degree: largest degree of the spherical harmonics and messages.
      degrees: degrees of the node features after each block.
      correlation: largest order of the product basis of each block.
      residual: for each block, whether a species-dependent skip connection goes around it;
        otherwise the same kind of map acts on the messages.
      density: for each block, whether messages are divided by a learned density of neighbors.
      neighbors: for each block, what messages are divided by otherwise.
      radial_widths: hidden widths of the radial network of each block.
      transform: of distances: None, `"Agnesi"` or `"Soft"`.
      repulsion: whether the short-ranged ZBL energy is added.
      shared_product: whether all elements share the weights of the product basis.
      cutoff_last: whether the cutoff multiplies the radial network's output, not its input.
      readouts: number of readouts, one a block or one in all.
      readout_width: hidden width of the last readout, of all heads together.
      heads: names of the energy functions that share the network.
      head: number of the one that is used.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    smoothness: int
    channels: int
    max_degree: int
    degrees: tuple[tuple[int, ...], ...]
    correlation: tuple[int, ...]
    residual: tuple[bool, ...]
    density: tuple[bool, ...]
    neighbors: tuple[float, ...]
    radial_widths: tuple[tuple[int, ...], ...]
    transform: str | None
    repulsion: bool
    shared_product: bool
    cutoff_last: bool
    readouts: int
    readout_width: int
    heads: tuple[str, ...]
    head: int

    @property
    def blocks(self) -> int:
        """Number of interactions, each with its product basis."""
        return len(self.degrees)

    @property
    def head_name(self) -> str:
        """Name of the head that is used."""
        return self.heads[self.head]

    @property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Degrees of the node features before each block."""
        return ((0,), *self.degrees[:-1])


def parse_irreps(text: str, *, channels: int) -> tuple[int, ...]:
    """Degrees in a description such as `"128x0e + 128x1o"`.

    Args:
      text: multiplicity, degree and parity of each part.
      channels: the multiplicity that all parts must have.

    Returns:
      Degrees 0, 1, ….

    Raises:
      WeightsError: if the parts are others, or have other parities than the harmonics.
    """
    parts = [part.strip() for part in text.split("+")]
    wanted = [f"{channels}x{degree}{'eo'[degree % 2]}" for degree in range(len(parts))]
    if parts != wanted:
        raise WeightsError(
            f"hidden_irreps are {' + '.join(parts)!r}; for this file supported are "
            f"{' + '.join(wanted)!r} and the like: equal widths, parities of harmonics"
        )
    return tuple(range(len(parts)))
