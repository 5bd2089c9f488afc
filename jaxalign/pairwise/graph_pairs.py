"""Terms of many pairs of neighbor graphs: two graphs are compared once for all metrics."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int

from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges, shared_edges

# Γ of two graphs, given where the edges of the first occur in the second.
Term = Callable[[GraphStatistics, GraphStatistics, SharedEdges], Float64[Array, ""]]

_AT_ONCE = 4  # most pairs in flight; each holds some 40 bytes an edge


def graph_pair_terms(
    stacked: GraphStatistics, pairs: Int[np.ndarray, "p 2"], terms: Sequence[Term]
) -> Float64[np.ndarray, "p t"]:
    """Γ(a, b) of the given pairs under every term.

    One compiled program serves all pairs. Parts of it run on a single core (loops over tiles), so
    several pairs are in flight at once. A pair's result depends on nothing but its two graphs.

    Args:
      stacked: graphs `[m, n, k]` of m models over the same structures.
      pairs: numbers (a, b) of the models of each pair.
      terms: pure functions of two graphs and their shared edges.

    Returns:
      One row a pair, one column a term.
    """
    values = np.empty((len(pairs), len(terms)))
    held = {m: _device_graph(stacked, m) for m in np.unique(pairs).tolist()}
    compute = functools.partial(_pair_terms, terms=tuple(terms))

    def run(row: int) -> None:
        # Inside the thread: the setting belongs to a thread.
        with jax.enable_x64(True):
            values[row] = np.asarray(compute(*(held[m] for m in pairs[row].tolist())))

    for row in range(min(1, len(pairs))):  # compiles, once, before the others need it
        run(row)
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        list(pool.map(run, range(1, len(pairs))))
    return values


def stack_graphs(graphs: Sequence[GraphStatistics]) -> GraphStatistics:
    """Graphs of several models with one leading axis, on the host; without scores, `[m, n, 0]`."""
    graphs = [_without_scores(graph) for graph in graphs]
    return GraphStatistics(*(np.stack(parts) for parts in zip(*graphs, strict=True)))


def _without_scores(graph: GraphStatistics) -> GraphStatistics:
    return graph._replace(scores=graph.scores[..., :0])


def _device_graph(stacked: GraphStatistics, model: int) -> GraphStatistics:
    with jax.enable_x64(True):
        return GraphStatistics(*(jnp.asarray(part[model]) for part in _without_scores(stacked)))


@functools.partial(jax.jit, static_argnames=("terms",))
def _pair_terms(
    a: GraphStatistics, b: GraphStatistics, *, terms: tuple[Term, ...]
) -> Float64[Array, " t"]:
    edges = shared_edges(a, b)
    return jnp.stack([term(a, b, edges) for term in terms])
