"""One measurement of a sweep: a part of the engine and the sizes it runs at."""

from __future__ import annotations

import dataclasses

SIZES = ("n", "d", "models", "k", "devices", "tile_size")
ALWAYS = ("n", "devices")
"""Sizes that matter to every part."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One measurement; sizes that do not matter to its part are None.

    Attributes:
      part: of `jaxalign.scaling.parts.PARTS`.
      n: structures.
      d: width of the embeddings.
      models: number of models.
      k: neighbors a structure.
      devices: of all processes.
      tile_size: as the part's function takes it; None for its own choice.
      detail: kernels or metrics, where the part has such a choice.
    """

    part: str
    n: int
    d: int | None
    models: int | None
    k: int | None
    devices: int
    tile_size: int | None
    detail: tuple[str, ...] = ()

    def describe(self) -> str:
        """The point in a line of a log."""
        sizes = {name: getattr(self, name) for name in SIZES}
        shown = [f"{name}={value}" for name, value in sizes.items() if value is not None]
        return f"{self.part} at {', '.join(shown)}"
