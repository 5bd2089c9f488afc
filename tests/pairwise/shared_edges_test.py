"""Both ways of comparing lists give the positions that Python finds."""

import jax
import numpy as np
import pytest

import tests.oracles_graphs as oracles
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import (
    compared_positions,
    shared_edges,
    tabled_positions,
)

N = 700


def lists(rng, n, k, pool):
    """Distinct ids a row, drawn from a pool of `pool` ids that the row's lists share."""
    order = np.stack([rng.permutation(n)[:pool] for _ in range(n)])
    shuffled = (rng.permuted(order, axis=1)[:, :k].astype(np.int32) for _ in "ab")
    return tuple(shuffled)


def graph(rng, ids):
    n, k = ids.shape
    reverse = rng.integers(-1, k, (n, k)).astype(np.int16)
    centered, scores = rng.normal(size=(2, n, k)).astype(np.float32)
    return GraphStatistics(ids, reverse, centered, scores, rng.normal(size=n))


@pytest.mark.parametrize(("k", "pool"), [(9, 20), (512, N)])
def test_paths_agree_with_each_other_and_with_python(rng, k, pool):
    a, b = lists(rng, N, k, pool)
    expected = oracles.positions(a, b)
    with jax.enable_x64(True):
        for find in (compared_positions, tabled_positions):
            np.testing.assert_array_equal(np.asarray(jax.jit(find)(a, b)), expected)


def test_table_of_several_tiles_forgets_what_earlier_rows_wrote(rng, monkeypatch):
    # Every row holds the same few ids: what a tile leaves behind would be found by the next.
    monkeypatch.setattr("jaxalign.pairwise.shared_edges._TABLE", 0)
    a, b = (np.stack([rng.permutation(40)[:30] for _ in range(101)]).astype(np.int32) for _ in "ab")
    a, b = np.pad(a, ((0, 0), (0, 3)), constant_values=99), np.pad(b, ((0, 0), (3, 0)))
    a[:, -3:] = [60, 61, 62]
    b[:, :3] = [70, 71, 60]
    np.testing.assert_array_equal(
        np.asarray(jax.jit(tabled_positions)(a, b)), oracles.positions(a, b)
    )


@pytest.mark.parametrize("k", [9, 40])  # both sides of the switch
def test_values_and_reverse_edges_follow_the_position(rng, k):
    ids = lists(rng, 150, k, 2 * k)
    a, b = (graph(rng, part) for part in ids)
    with jax.enable_x64(True):
        edges = jax.jit(shared_edges)(a, b)
    position = oracles.positions(*ids)
    np.testing.assert_array_equal(np.asarray(edges.position), position)
    np.testing.assert_array_equal(np.asarray(edges.shared), position >= 0)
    there = np.maximum(position, 0)
    values = np.where(position >= 0, np.take_along_axis(b.centered, there, 1), 0)
    np.testing.assert_array_equal(np.asarray(edges.centered), values)
    back = (a.reverse >= 0) & (np.take_along_axis(b.reverse, there, 1) >= 0) & (position >= 0)
    np.testing.assert_array_equal(np.asarray(edges.mutual), back)
