"""Terms of many pairs of neighbor graphs: two graphs are compared once for all metrics."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float64, Int

from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges, shared_edges
from jaxalign.parallel.mesh import SPLIT, choose_mesh, local_mesh, split
from jaxalign.parallel.multihost import gather_rows, my_share

# Γ of two graphs, given where the edges of the first occur in the second.
Term = Callable[[GraphStatistics, GraphStatistics, SharedEdges], Float64[Array, ""]]

_AT_ONCE = 4  # most pairs in flight on one device; each holds some 40 bytes an edge


def graph_pair_terms(
    stacked: GraphStatistics,
    pairs: Int[np.ndarray, "p 2"],
    terms: Sequence[Term],
    *,
    mesh: Mesh | None = None,
) -> Float64[np.ndarray, "p t"]:
    """Γ(a, b) of the given pairs under every term.

    Pairs are spread over processes and, one a device, over their devices. One compiled program
    serves all pairs, and a pair's result depends on nothing but its two graphs: it has the same
    bits wherever it is computed.

    Args:
      stacked: graphs `[m, n, k]` of m models over the same structures, the same on every process. A
        device holds those of its own pairs.
      pairs: numbers (a, b) of the models of each pair.
      terms: pure functions of two graphs and their shared edges.
      mesh: devices that work; None chooses them, see `choose_mesh`. All processes must call.

    Returns:
      One row a pair, one column a term.
    """
    mine = my_share(range(len(pairs)))
    devices = local_mesh(choose_mesh(mesh, stacked.ids.shape[1]))
    return gather_rows(_own_terms(stacked, pairs[mine.start : mine.stop], tuple(terms), devices))


def _own_terms(
    stacked: GraphStatistics, pairs: Int[np.ndarray, "p 2"], terms: tuple[Term, ...], mesh: Mesh
) -> Float64[np.ndarray, "p t"]:
    values = np.empty((len(pairs), len(terms)))
    calls = -(-len(pairs) // mesh.size)
    # Device s takes consecutive pairs, so that it needs few graphs; the last one may repeat some.
    rows = np.arange(mesh.size)[:, None] * calls + np.arange(calls)[None, :]
    rows = np.minimum(rows, len(pairs) - 1)
    held = [
        {model: _placed(stacked, model, device) for model in np.unique(pairs[mine]).tolist()}
        for mine, device in zip(rows, mesh.devices.ravel().tolist(), strict=True)
    ]
    program = _pair_terms(mesh, terms)

    def run(call: int) -> None:
        sides = pairs[rows[:, call]].T.tolist()
        with jax.enable_x64(True):  # inside the thread: the setting belongs to a thread
            a, b = (
                _side_by_side([graphs[m] for graphs, m in zip(held, side, strict=True)], mesh)
                for side in sides
            )
            values[rows[:, call]] = np.asarray(program(a, b))

    for call in range(min(1, calls)):  # compiles, once, before the others need it
        run(call)
    # Parts of the program run on a single core (loops over tiles): others fill the time.
    with ThreadPoolExecutor(max(min(_AT_ONCE, os.cpu_count() or 1) // mesh.size, 1)) as pool:
        list(pool.map(run, range(1, calls)))
    return values


def stack_graphs(graphs: Sequence[GraphStatistics]) -> GraphStatistics:
    """Graphs of several models with one leading axis, on the host; without scores, `[m, n, 0]`."""
    graphs = [_without_scores(graph) for graph in graphs]
    return GraphStatistics(*(np.stack(parts) for parts in zip(*graphs, strict=True)))


def _without_scores(graph: GraphStatistics) -> GraphStatistics:
    return graph._replace(scores=graph.scores[..., :0])


def _placed(stacked: GraphStatistics, model: int, device: jax.Device) -> GraphStatistics:
    with jax.enable_x64(True):
        parts = tuple(part[model] for part in _without_scores(stacked))
        return GraphStatistics(*jax.device_put(parts, device))


def _side_by_side(graphs: Sequence[GraphStatistics], mesh: Mesh) -> GraphStatistics:
    """One graph a device, as one array over all of them; nothing is copied."""

    def join(*parts):
        shape = len(parts) * parts[0].shape[0], *parts[0].shape[1:]
        return jax.make_array_from_single_device_arrays(shape, split(mesh), list(parts))

    return jax.tree.map(join, *graphs)


@functools.lru_cache
def _pair_terms(mesh: Mesh, terms: tuple[Term, ...]) -> Callable:
    """Terms of one pair a device, `[devices, terms]`."""

    def local(a: GraphStatistics, b: GraphStatistics) -> Float64[Array, "1 t"]:
        with jax.named_scope("terms of two graphs"):
            edges = shared_edges(a, b)
            return jnp.stack([term(a, b, edges) for term in terms])[None]

    # Devices exchange nothing: there is nothing to check, and loops in terms need no marks.
    program = jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT, check_vma=False)
    return jax.jit(program)
