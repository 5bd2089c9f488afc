"""The model card: every fact about an encoder that a result must carry with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Facts of a model that takes nothing from an archive, not even a vocabulary.
NOTHING_FETCHED = MappingProxyType({"licence": "", "package": None, "package_sha256": None})


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Facts about one encoder.

    Attributes:
      id: registry id, e.g. `"ani-1x-0"`; also the label of rows and columns in results.
      name: human-readable name.
      family: architecture family, e.g. `"ANI"`; encoders of one family are compared as such.
      modality: `"string"`, `"graph"`, `"3d"`, `"protein-sequence"`, `"protein-structure"`,
        `"text"` or `"control"`.
      pretrained: False for random-initialised twins and controls.
      width: embedding width d under the default pooling; None if it depends on the data.
      layer: name of the default layer (last hidden layer before the readout).
      layers: all layer names that can be asked for.
      pooling: default pooling of node features; `"none"` for a function on the host.
      training_data: what the weights were trained on.
      label_level: level of theory or kind of labels.
      parameters: number of parameters.
      symmetry: `"invariant"`, `"equivariant"` or `"none"` under rotations; see `symmetry_note`.
      licence: SPDX id of the weights' licence.
      citation: where the model was published.
      package: source package, version and archive hash, or None.
      verified: `"weights"` (agrees with the original on the real weights), `"random"` (on random
        weights) or `"none"`.
      notes: traps and choices that a reader of the numbers must know.
    """

    id: str
    name: str
    family: str
    modality: str
    pretrained: bool
    width: int | None = None
    layer: str | None = None
    layers: tuple[str, ...] = ()
    pooling: str = "mean"
    training_data: str = ""
    label_level: str = ""
    parameters: int | None = None
    symmetry: str = "none"
    licence: str = ""
    citation: str = ""
    package: str | None = None
    package_sha256: str | None = None
    verified: str = "none"
    notes: str = ""

    @property
    def is_descriptor(self) -> bool:
        """A function on the host, which has neither layers nor a choice of pooling."""
        return self.pooling == "none"

    def random_twin(self, *, id: str, name: str, notes: str, **facts: Any) -> ModelCard:
        """Card of the same architecture with random weights.

        The code is proven on the trained weights; random ones have no original to agree with.
        """
        untrained = {"training_data": "none", "label_level": "none", "verified": "none"}
        facts = {"pretrained": False, **untrained, **facts}
        return dataclasses.replace(self, id=id, name=name, notes=notes, **facts)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of all fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelCard:
        """Inverse of `to_json`; unknown fields of newer versions are ignored."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {key: value for key, value in data.items() if key in names}
        return cls(**{**known, "layers": tuple(known.get("layers", ()))})
