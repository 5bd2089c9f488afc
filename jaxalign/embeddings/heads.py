"""What is computed of a batch: pooled rows of one layer, features of all nodes, or energies."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.pooling import pool
from jaxalign.parallel.mesh import SPLIT, WHOLE


@runtime_checkable
class Head(Protocol):
    """(params, batch) → arrays whose first axis runs over the batch's slots; hashable."""

    def __call__(self, params: Any, batch: Mapping[str, Any]) -> Any:
        """Traceable."""


@dataclasses.dataclass(frozen=True)
class PooledLayer:
    """One row a structure.

    Attributes:
      apply: of the encoder.
      layer: layer name, or None for the default.
      pooling: a pooling name.
    """

    apply: Callable[..., NodeFeatures]
    layer: str | None
    pooling: str

    def __call__(self, params: Any, batch: Mapping[str, Any]) -> Float[Array, "slots d"]:
        """Pooled features."""
        return pool(self.apply(params, batch, self.layer), self.pooling)


@dataclasses.dataclass(frozen=True)
class NodeLayer:
    """One row a node.

    Attributes:
      apply: of the encoder.
      layer: layer name, or None for the default.
    """

    apply: Callable[..., NodeFeatures]
    layer: str | None

    def __call__(self, params: Any, batch: Mapping[str, Any]) -> NodeFeatures:
        """Features of all nodes and their mask."""
        return self.apply(params, batch, self.layer)


@dataclasses.dataclass(frozen=True)
class Interaction:
    """One energy a structure.

    Attributes:
      energy: `EnergyModel.interaction` of the encoder.
    """

    energy: Callable[..., Float[Array, " slots"]]

    def __call__(self, params: Any, batch: Mapping[str, Any]) -> Float[Array, "slots 1"]:
        """Energies in eV, without the atoms' own."""
        return self.energy(params, batch)[:, None]


class CompiledHead:
    """A head as one jitted function over the devices of a mesh, which counts its compilations."""

    def __init__(self, head: Head):
        self._head = head
        self.count = 0
        self.run = jax.jit(self._counted, static_argnums=(2,))

    def _counted(self, params: Any, batches: Any, mesh: Mesh) -> Any:
        """Every device runs one batch of the stacked ones; all have the same shape."""
        self.count += 1  # Python runs only while tracing: once a shape and mesh

        def run(params, batches):
            with jax.named_scope("encode"):
                batch = jax.tree.map(lambda x: x[0], batches)
                return jax.tree.map(lambda x: x[None], self._head(params, batch))

        # Nothing is exchanged, and networks know nothing of the mesh: their constants need no mark.
        run = jax.shard_map(
            run, mesh=mesh, in_specs=(WHOLE, SPLIT), out_specs=SPLIT, check_vma=False
        )
        return run(params, batches)


@functools.lru_cache(maxsize=64)
def compiled_head(head: Head) -> CompiledHead:
    """The jitted function of a head, shared by all that ask for the same one.

    So a second data set, and a second checkpoint of the same network, compile nothing again.

    Args:
      head: what is to be computed.

    Returns:
      The function and its counter.
    """
    return CompiledHead(head)
