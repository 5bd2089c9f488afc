"""Constants of atomic environment vectors, and the two sets of elements they were published for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType

from ase.data import atomic_numbers

# As they were published, in Å.
_RADIAL_SHIFTS = tuple(0.9 + 0.26875 * step for step in range(16))
_ANGULAR_SHIFTS = tuple(0.9 + 0.65 * step for step in range(4))
# fmt: off
_ANGLES = (
    0.19634954, 0.58904862, 0.98174770, 1.3744468, 1.7671459, 2.1598449, 2.5525440, 2.9452431,
)
# fmt: on


@dataclasses.dataclass(frozen=True)
class AevSettings:
    """What defines an environment vector. The networks were trained with the float32 constants.

    Attributes:
      elements: symbols, in the order of the vector's parts.
      radial_cutoff: Å.
      radial_eta: Å⁻².
      radial_shifts: Å.
      angular_cutoff: Å; not above the radial one.
      angular_eta: Å⁻².
      angular_shifts: Å.
      angular_power: ζ.
      angles: radians.
    """

    elements: tuple[str, ...]
    radial_cutoff: float = 5.2
    radial_eta: float = 16.0
    radial_shifts: tuple[float, ...] = _RADIAL_SHIFTS
    angular_cutoff: float = 3.5
    angular_eta: float = 8.0
    angular_shifts: tuple[float, ...] = _ANGULAR_SHIFTS
    angular_power: int = 32
    angles: tuple[float, ...] = _ANGLES

    @functools.cached_property
    def species(self) -> Mapping[int, int]:
        """Atomic number → position in `elements`."""
        numbers = {atomic_numbers[symbol]: i for i, symbol in enumerate(self.elements)}
        return MappingProxyType(numbers)

    @property
    def species_pairs(self) -> int:
        """Unordered pairs of elements, equal ones included."""
        return len(self.elements) * (len(self.elements) + 1) // 2

    @property
    def angular_shape(self) -> tuple[int, int, int]:
        """Pairs of species, shifts, angles."""
        return self.species_pairs, len(self.angular_shifts), len(self.angles)

    @property
    def radial_width(self) -> int:
        """Numbers of the radial part."""
        return len(self.elements) * len(self.radial_shifts)

    @property
    def angular_width(self) -> int:
        """Numbers of the angular part."""
        pairs, shifts, angles = self.angular_shape
        return pairs * shifts * angles

    @property
    def width(self) -> int:
        """Numbers of the whole vector."""
        return self.radial_width + self.angular_width


AEV_1X = AevSettings(("H", "C", "N", "O"))
"""Of ANI-1x and ANI-1ccx: 384 numbers."""

AEV_2XT = AevSettings(("H", "C", "N", "O", "F", "S", "Cl"))
"""Of ANI-2xt: the constants of ANI-1x for seven elements, 1,008 numbers."""
