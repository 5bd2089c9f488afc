"""The plane of information imbalance: regions by hand, means by numpy, gaps and wrong bounds."""

import numpy as np
import pytest

from jaxalign.analysis.relations.imbalance_plane import (
    REGIONS,
    imbalance_means,
    imbalance_plane,
    region,
)
from jaxalign.analysis.relations.labeled_scores import labeled

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("forward", "backward", "wanted"),
    [
        (0.05, 0.1, "equivalent"),
        (0.95, 0.9, "independent"),
        (0.2, 0.4, "a contains b"),
        (0.05, 0.11, "a contains b"),
        (0.9, 0.3, "b contains a"),
        (0.3, 0.5, "in part"),
        (0.85, 1.0, "in part"),
        (np.nan, 0.5, ""),
    ],
)
def test_regions_of_known_pairs(forward, backward, wanted):
    assert region(forward, backward) == wanted
    mirrored = {"a contains b": "b contains a", "b contains a": "a contains b"}
    assert region(backward, forward) == mirrored.get(wanted, wanted)


def test_every_pair_is_a_row_with_both_directions(rng):
    values = rng.uniform(0, 1.2, size=(4, 4))
    values[0, 2] = np.nan
    plane = imbalance_plane(labeled(NAMES, values, "information_imbalance"))
    pairs = list(zip(plane["model_a"], plane["model_b"], strict=True))
    assert pairs == [("a", "b"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    for row in plane.itertuples():
        i, j = NAMES.index(row.model_a), NAMES.index(row.model_b)
        assert (row.forward, row.backward) == (values[i, j], values[j, i])
        assert row.region in REGIONS


def test_means_are_over_other_models_with_both_directions(rng):
    values = rng.uniform(size=(4, 4))
    values[0, 2] = np.nan
    found = imbalance_means(labeled(NAMES, values, "x")).set_index("model")
    assert found.loc["a", "tells"] == pytest.approx((values[0, 1] + values[0, 3]) / 2)
    assert found.loc["a", "told"] == pytest.approx((values[1, 0] + values[3, 0]) / 2)
    assert list(found["others"]) == [2, 3, 2, 3]
    alone = imbalance_means(labeled(("a",), values[:1, :1], "x"))
    assert alone.empty


def test_bounds_that_part_nothing_are_refused():
    with pytest.raises(ValueError, match="near < far"):
        region(0.1, 0.2, near=0.9, far=0.1)
    with pytest.raises(ValueError, match="ratio > 1"):
        region(0.1, 0.2, ratio=1.0)
