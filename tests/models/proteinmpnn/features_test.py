import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.proteinmpnn.features import (
    chain_places,
    featurize_residues,
    known_residues,
    nearest_residues,
)
from jaxalign.models.proteinmpnn.settings import ALPHA, BACKBONE, MpnnSettings
from jaxalign.structures.structure import Structure


def chain(rng, residues, **views):
    steps = rng.normal(size=(residues, 1, 3)) * 3
    backbone = np.cumsum(steps, axis=0) + rng.normal(size=(residues, 4, 3))
    return Structure(id="x", backbone=backbone, **views)


@pytest.mark.parametrize(("count", "k"), [(1, 48), (5, 5), (40, 7), (3000, 3)])
def test_nearest_residues_are_those_of_all_pairs(rng, count, k):
    points = rng.normal(size=(count, 3)) * 20
    found = nearest_residues(points, k)
    assert found.shape == (count, min(k, count))
    rows = rng.integers(0, count, 20)
    squared = ((points[rows, None] - points[None]) ** 2).sum(-1)
    expected = np.sort(np.argsort(squared, axis=1)[:, :k], axis=1)
    np.testing.assert_array_equal(found[rows], expected)


def test_places_keep_gaps_cut_long_ones_and_part_insertion_codes():
    numbers = np.array([-3, -2, 5, 6, 6, 7, 2_000_000_000], np.int32)
    np.testing.assert_array_equal(chain_places(numbers, 7), [0, 1, 8, 9, 10, 11, 76])
    np.testing.assert_array_equal(chain_places(None, 3), [0, 1, 2])


def test_residues_that_lack_atoms_are_left_out_and_keep_their_place(rng):
    structure = chain(rng, 9)
    structure.backbone[2, 3, 1], structure.backbone[5, 1] = np.nan, np.inf
    full, alpha = (featurize_residues(settings, structure) for settings in (BACKBONE, ALPHA))
    np.testing.assert_array_equal(full["numbers"], [0, 1, 3, 4, 6, 7, 8])
    np.testing.assert_array_equal(alpha["numbers"], [0, 1, 2, 3, 4, 6, 7, 8])
    assert full["points"].dtype == alpha["points"].dtype == np.float32
    for example in (full, alpha):
        count = len(example["numbers"])
        assert (example["degree"] == count).all()
        np.testing.assert_array_equal(example["neighbors"][:, :count], [range(count)] * count)
        assert example["neighbors"].shape == (count, 48)
        assert example["neighbors"].max() < count


def test_windows_of_a_trace_have_the_origin_where_a_neighbor_is_missing(rng):
    structure = chain(rng, 7, residue_numbers=np.array([1, 2, 3, 4, 9, 10, 11], np.int32))
    structure.backbone[1, 1] = np.nan
    alpha = structure.backbone[:, 1].astype(np.float32)
    example = featurize_residues(ALPHA, structure)
    nothing = np.zeros(3, np.float32)
    expected = [
        [nothing, alpha[0], nothing],
        [nothing, alpha[2], alpha[3]],
        [alpha[2], alpha[3], nothing],
        [nothing, alpha[4], alpha[5]],
        [alpha[4], alpha[5], alpha[6]],
        [alpha[5], alpha[6], nothing],
    ]
    np.testing.assert_array_equal(example["points"], expected)
    np.testing.assert_array_equal(example["framed"], [False, True, True, True, False, False])


def test_structures_that_cannot_be_represented_are_named(rng):
    with pytest.raises(UnsupportedStructureError, match="'proteins'"):
        featurize_residues(BACKBONE, Structure(id="x", sequence="ACD"))
    empty = Structure(id="x", backbone=np.full((3, 4, 3), np.nan))
    with pytest.raises(UnsupportedStructureError, match="none of the 3 residues"):
        featurize_residues(BACKBONE, empty)
    with pytest.raises(UnsupportedStructureError, match="none of the 0 residues"):
        known_residues(Structure(id="x", backbone=np.zeros((0, 4, 3))), alpha_only=True)
    uneven = chain(rng, 3)
    object.__setattr__(uneven, "residue_numbers", np.arange(4, dtype=np.int32))
    with pytest.raises(UnsupportedStructureError, match="3 residues, but there are 4"):
        featurize_residues(BACKBONE, uneven)
    traced = chain(rng, 4)
    traced.backbone[:, [0, 2, 3]] = np.nan
    assert len(featurize_residues(ALPHA, traced)["numbers"]) == 4
    with pytest.raises(UnsupportedStructureError, match="all of N, CA, C and O"):
        featurize_residues(BACKBONE, traced)


def test_layers_are_named_by_what_the_network_has():
    assert BACKBONE.layer_names == ("embedding", "layer_1", "layer_2", "layer_3")
    assert MpnnSettings(context=True).layer_names[-1] == "context"


@pytest.mark.slow
def test_a_chain_of_ten_thousand_residues_is_compared_in_blocks(rng):
    example = featurize_residues(BACKBONE, chain(rng, 10_000))
    assert example["neighbors"].shape == (10_000, 48)
    assert (example["neighbors"] == np.arange(10_000)[:, None]).any(axis=1).all()
