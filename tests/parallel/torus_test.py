"""Rings over grids of chips: every place once, each beside the next."""

import jax
import numpy as np
import pytest

from jaxalign.parallel.mesh import make_mesh
from jaxalign.parallel.torus import grid_ring, order_of_places, ring_order


def distance(a, b):
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "extents", [(2, 2), (4, 8), (8, 4), (3, 4), (4, 3), (2, 2, 2), (4, 4, 1), (3, 2, 5), (1, 6, 3)]
)
def test_each_place_is_beside_the_next_and_the_first_beside_the_last(extents):
    ring = grid_ring(extents)
    assert sorted(ring) == sorted(np.ndindex(*extents))
    following = [*ring[1:], ring[0]]
    assert [distance(a, b) for a, b in zip(ring, following, strict=True)] == [1] * len(ring)


@pytest.mark.parametrize("extents", [(3, 3), (1, 8), (5,), (3, 3, 1)])
def test_grids_without_a_ring_have_none(extents):
    assert grid_ring(extents) is None


def test_numbers_are_those_of_the_devices_wherever_the_slice_lies(rng):
    places = [(x + 4, y + 2, 0) for x in range(4) for y in range(8)]
    places = [places[i] for i in rng.permutation(len(places))]
    order = order_of_places(places)
    ring = [places[number] for number in order]
    assert sorted(ring) == sorted(places)
    assert all(distance(a, b) == 1 for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))


def test_devices_without_a_full_grid_keep_their_order():
    assert order_of_places([(0, 0), (0, 1), (1, 0)]) is None
    assert order_of_places([(0, 0), (0, 0)]) is None
    assert ring_order(make_mesh(jax.devices()[:4])) is None
