"""A run in which the structures of every second model are relabelled by one permutation.

Neighbor graphs are relabelled, not searched again, unless many neighbors are equally near: ties go
to the lower row number in every model, an agreement that relabelling would take away from the null.
Everything else goes through the same families of metrics as the run, with rows in another order.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from jaxalign.alignment.graph_cache import NeighborIds
from jaxalign.alignment.inputs import ModelInput
from jaxalign.alignment.plan import GraphSettings
from jaxalign.alignment.resume import ValueCache, content_key
from jaxalign.alignment.state import Pair, State, is_tied
from jaxalign.embeddings.sources import ModelRows, SelectedRows
from jaxalign.metrics._pair import model_graphs
from jaxalign.pairwise.edges import GraphStatistics


class PermutedState(State):
    """The models that take part, each as it is and as a relabelled copy.

    Row i of a copy is row π(i) of its model. Terms of a model with itself do not change and are
    taken from the run; terms with copies are kept in memory and go with this object.

    Args:
      base: the run, whose own terms are finished.
      permutation: π.
      wanted: pairs (a, b) of names; a is compared with the copy of b.
      involved: names of the models that take part, those of `wanted` among them.
    """

    def __init__(
        self,
        base: State,
        permutation: Int64[np.ndarray, " n"],
        wanted: Collection[Pair],
        involved: Collection[str],
    ):
        digest = digest_of(permutation)
        models = tuple(m for m in base.usable if m.name in involved)
        copies = tuple(_copy(m, digest) for m in models)
        super().__init__(
            dataclasses.replace(base.inputs, models=models + copies),
            folder=None,
            tile_size=base.tile_size,
            memory_budget=base.memory_budget,
            progress=False,
            seed=base.seed,
            mesh=base.given_mesh,
            nulls=False,
        )
        self.values = _Overlay(base.values)
        self._base, self._wanted = base, frozenset(wanted)
        self._order, self._inverse = permutation, np.argsort(permutation).astype(np.int32)
        self._found: dict[tuple, GraphStatistics] = {}
        self._model_of = {c.name: m for c, m in zip(copies, models, strict=True)}

    def pairs(self, *, symmetric: bool) -> list[Pair]:
        """Every model with itself, and the wanted pairs with copies."""
        place = {name: i for i, name in enumerate(self.names)}
        crosses = [
            (a, permuted(b))
            for a, b in sorted(self._wanted, key=lambda pair: (place[pair[0]], place[pair[1]]))
            if not symmetric or place[a] < place[b]
        ]
        return [(name, name) for name in self.names] + crosses

    def rows(self, model: ModelInput, normalize: str) -> ModelRows:
        """Normalized rows of a model or of a copy."""
        of = self._base.rows(self._model_of.get(model.name, model), normalize)
        if model.name not in self._model_of:
            return of
        return ModelRows(SelectedRows(of.raw, self._order), of.normalizer)

    def graph(self, model: ModelInput, settings: GraphSettings, k: int) -> GraphStatistics:
        """Neighbor graph of a model, or the same graph with other names."""
        if self._searched_anew(model, settings):
            return self._search(model, settings, k)
        graph = self._base.graph(self._model_of.get(model.name, model), settings, k)
        if model.name not in self._model_of:
            return graph
        parts = (np.asarray(part)[self._order] for part in graph)
        moved = GraphStatistics(*parts)
        return moved._replace(ids=self._inverse[moved.ids])

    def neighbor_ids(
        self, model: ModelInput, settings: GraphSettings, k: int
    ) -> Int32[np.ndarray, "n k"] | NeighborIds:
        """Neighbor ids alone."""
        if self._searched_anew(model, settings):
            return np.asarray(self._search(model, settings, k).ids)
        ids = self._base.neighbor_ids(self._model_of.get(model.name, model), settings, k)
        if model.name not in self._model_of:
            return ids
        whole = ids.read(0, self.n) if isinstance(ids, NeighborIds) else np.asarray(ids)
        return self._inverse[whole[self._order]]

    def _searched_anew(self, model: ModelInput, settings: GraphSettings) -> bool:
        of = self._model_of.get(model.name)
        return of is not None and is_tied(self._base, of.name, settings)

    def _search(self, model: ModelInput, settings: GraphSettings, k: int) -> GraphStatistics:
        key = model.name, settings, k
        if key not in self._found:
            rows = [self.rows(model, settings.normalize)]
            searched = model_graphs(
                rows,
                k=k,
                similarity=settings.similarity,
                groups=self.inputs.groups,
                tile_size=self.tile_size,
                mesh=self.mesh,
            )
            ((_, self._found[key], _),) = searched
        return self._found[key]

    def stored(self, kind: str, keys: Mapping[Pair, str]) -> tuple[dict[Pair, Any], list[Pair]]:
        """As in the run; a copy with itself has the terms of its model."""
        own = {
            (copy, copy): keys[model.name, model.name]
            for copy, model in self._model_of.items()
            if (copy, copy) in keys
        }
        return super().stored(kind, {**keys, **own})


class _Overlay(ValueCache):
    """Reads what a store knows, and keeps what is new in memory."""

    def __init__(self, below: ValueCache):
        super().__init__(None)
        self._below = below

    def get(self, kind: str, key: str) -> Any:
        found = super().get(kind, key)
        return self._below.get(kind, key) if found is None else found


def digest_of(permutation: Int64[np.ndarray, " n"]) -> str:
    """SHA-256 of a permutation, or of any row numbers."""
    return hashlib.sha256(np.ascontiguousarray(permutation, np.int64).tobytes()).hexdigest()


def permuted(name: str) -> str:
    """Name of a model's copy."""
    return f"{name}\0permuted"  # no label can hold a NUL


def _copy(model: ModelInput, digest: str) -> ModelInput:
    # `rows` of a copy are never read: only their width is, which is the model's.
    return dataclasses.replace(
        model, name=permuted(model.name), digest=content_key(order=digest, of=model.digest)
    )
