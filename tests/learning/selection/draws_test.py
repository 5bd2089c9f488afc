"""Target, training and test rows: sizes, disjointness, whole groups, seeds."""

import numpy as np
import pytest

from jaxalign.learning.selection.draws import repeated_draws


def test_target_is_trained_on_and_never_tested(rng):
    seed = int(rng.integers(1000))
    draws = repeated_draws(np.arange(300), target=40, test=60, draws=3, seed=seed)
    for draw in draws:
        assert (len(draw.target), len(draw.train), len(draw.test)) == (40, 240, 60)
        assert set(draw.target) <= set(draw.train)
        assert set(draw.train) | set(draw.test) == set(range(300))
        assert not set(draw.train) & set(draw.test)
    assert len({draw.digest for draw in draws}) == 3
    again = repeated_draws(np.arange(300), target=40, test=60, draws=3, seed=seed)
    assert [d.digest for d in again] == [d.digest for d in draws]
    other = repeated_draws(np.arange(300), target=40, test=60, draws=3, seed=seed + 1)
    assert other[0].digest != draws[0].digest


def test_groups_are_on_one_side_and_once_in_a_target(rng):
    groups = rng.integers(0, 90, size=300)
    for draw in repeated_draws(groups, target=25, test=50, draws=3, seed=3):
        assert not set(groups[draw.train]) & set(groups[draw.test])
        assert 50 <= len(draw.test) < 50 + np.bincount(groups).max()
        assert len(set(groups[draw.target])) == 25
        assert set(draw.target) <= set(draw.train)


def test_everything_can_be_the_target():
    (draw,) = repeated_draws(np.arange(30), target=None, test=0, draws=1, seed=0)
    assert draw.target.tolist() == list(range(30))
    assert len(draw.train) == len(draw.test) == 0


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (dict(n=100, target=30, test=80, draws=1), "30 target and 80 test .* of 100 labelled"),
        (dict(n=100, target=19, test=10, draws=1), "at least 20 labelled structures"),
        (dict(n=12, target=None, test=0, draws=1), "at least 20 .*got 12"),
        (dict(n=100, target=None, test=5, draws=1), "test=0 and draws=1"),
        (dict(n=100, target=30, test=5, draws=0), "draws must be at least 1"),
        (dict(n=100, target=30, test=5, draws=2, share=5), "there are 1. groups"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, words):
    groups = np.arange(sizes.pop("n")) // sizes.pop("share", 1)
    with pytest.raises(ValueError, match=words):
        repeated_draws(groups, seed=0, **sizes)
