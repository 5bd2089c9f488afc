"""Embeddings of single nodes (atoms, tokens, residues) rather than of whole structures."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from jaxalign.archives.atomic import atomic_write
from jaxalign.embeddings.heads import NodeLayer
from jaxalign.embeddings.preparation import local_devices, prepare_rows
from jaxalign.embeddings.request import make_request
from jaxalign.embeddings.rows import NetworkRows
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.progress import Progress
from jaxalign.structures.structure import Structure, StructureSet

_CHUNK_ROWS = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class NodeEmbeddings:
    """Features of all nodes of all structures, one structure after the other.

    Attributes:
      values: `[nodes, d]` float32.
      starts: structure i has the rows `starts[i]` to `starts[i + 1] − 1`, in the encoder's order of
        nodes: that of the structure's atoms for 3-D encoders.
      ids: sample ids.
      card: facts about the encoder.
      layer: name of the layer.
    """

    values: Float[np.ndarray, "nodes d"]
    starts: Int[np.ndarray, " structures_and_1"]
    ids: tuple[str, ...]
    card: ModelCard
    layer: str | None

    def of(self, identifier: str) -> Float[np.ndarray, "own d"]:
        """Rows of one structure.

        Raises:
          ValueError: if no structure has this id.
        """
        if identifier not in self.ids:
            raise ValueError(f"there is no structure {identifier!r} among {len(self.ids)} ids")
        row = self.ids.index(identifier)
        return self.values[self.starts[row] : self.starts[row + 1]]

    def save(self, path: str | Path) -> None:
        """Writes `values`, `starts` and `ids` as npz."""
        with atomic_write(Path(path)) as file:
            np.savez(file, values=self.values, starts=self.starts, ids=np.array(self.ids))


def node_embeddings(
    encoder: Encoder | HostEncoder,
    structures: Sequence[Structure],
    *,
    layer: str | None = None,
    on_error: str = "raise",
    progress: bool = False,
    mesh: Mesh | None = None,
) -> NodeEmbeddings:
    """Features of every node, held in memory; in a run of several processes each does all of them.

    Args:
      encoder: a network.
      structures: what to embed; unique ids.
      layer: layer name; None for the card's default.
      on_error: `"raise"`, or `"skip"` structures that the encoder cannot represent.
      progress: whether to show progress.
      mesh: devices of this process; None means those with enough to do.

    Returns:
      The features, structure by structure.

    Raises:
      ValueError: for a descriptor, which has no nodes, or an unknown layer.
      UnsupportedStructureError: if structures cannot be represented and `on_error` is `"raise"`.
    """
    if not isinstance(encoder, Encoder):
        raise ValueError(f"{encoder.card.id!r} is a function of whole structures: it has no nodes")
    if not isinstance(structures, StructureSet):
        structures = StructureSet(structures)
    request = make_request(encoder.card, structures, layer=layer, pooling=None, on_error=on_error)
    head = NodeLayer(encoder.apply, request.layer)
    rows = NetworkRows(encoder, head, mesh=local_devices(mesh, len(structures)))
    with contextlib.closing(rows):
        ids = request.kept_ids({record.where for record in prepare_rows(rows, request)})
        parts = _parts(rows, ids, label=f"embed nodes {encoder.card.id}", progress=progress)
    starts = np.cumsum([0, *map(len, parts)])
    return NodeEmbeddings(np.concatenate(parts), starts, ids, encoder.card, request.layer)


def _parts(
    rows: NetworkRows, ids: Sequence[str], *, label: str, progress: bool
) -> list[Float[np.ndarray, "own d"]]:
    """Nodes of each structure, in order."""
    found: dict[int, np.ndarray] = {}
    spans = [(i, min(i + _CHUNK_ROWS, len(ids))) for i in range(0, len(ids), _CHUNK_ROWS)]
    with Progress(label, total=len(ids), unit="structures", enabled=progress) as bar:
        for number, span in enumerate(spans):
            for job, features in rows.batches([span], upcoming=spans[number + 1 :][:1]):
                for slot, row in enumerate(job.plan.rows.tolist()):
                    found[span[0] + row] = features.values[slot][features.mask[slot]]
                bar.advance(len(job.plan.rows))
    return [np.asarray(found[row], np.float32) for row in range(len(ids))]
