"""Work and floors of the parts against numbers by hand, and each part once, on several devices."""

import numpy as np
import pytest

from jaxalign.parallel.mesh import spread_mesh
from jaxalign.scaling.parts import FLOPS, PARTS, PRODUCT, READS
from jaxalign.scaling.point import Point


def point(part, **sizes):
    details = {"grams": ("euclidean", "rbf"), "align": ("mutual_knn", "dcor", "cka:rbf")}
    fields = {"n": 200, "d": 8, "models": 3, "k": 5, "devices": 2, "tile_size": None} | sizes
    return Point(part=part, **fields, detail=details.get(part, ()))


def test_floors_by_hand():
    n, d, m, k = 200, 8, 3, 5
    square = n * n
    assert PARTS["search"].floor(point("search")) == (PRODUCT, 1.0)
    # Half of the distances once, half of the Gram of either kernel.
    assert PARTS["grams"].floor(point("grams")) == (FLOPS, square * d * m + 2 * square * m * m)
    assert PARTS["ranks"].floor(point("ranks")) == (FLOPS, 2 * square * d * m)
    # Three pairs, two graphs each.
    assert PARTS["pairs"].floor(point("pairs")) == (READS, 3 * 2 * n * k * 8)
    # A search a model, and one sweep for both kernels.
    wanted = 2 * square * d * m + square * d * m + 2 * square * m * m
    assert PARTS["align"].floor(point("align")) == (FLOPS, wanted)


def test_pairs_by_hand():
    found = {name: part.pairs(point(name)) for name, part in PARTS.items()}
    assert found == {"search": 1, "grams": 6, "ranks": 9, "pairs": 3, "align": 3}


@pytest.mark.parametrize("part", ["search", "ranks", "pairs"])
def test_a_part_runs_again_and_again_with_one_result(part):
    run = PARTS[part].prepare(point(part, devices=2), spread_mesh(2))
    first, second = run(), run()
    if part == "search":
        first, second = first.indices, second.indices
        assert first.shape == (200, 5)
    np.testing.assert_array_equal(first, second)
