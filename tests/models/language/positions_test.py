"""Positions against formulas: numbers of RoBERTa, rotations, distances of T5."""

import math

import jax.numpy as jnp
import numpy as np

from jaxalign.models.language.positions import (
    LearnedPositions,
    Llama3Scaling,
    RelativePositions,
    RotaryPositions,
    causal_mask,
    distance_bias,
    distance_buckets,
    position_numbers,
    rotary_angles,
    rotary_frequencies,
    rotate,
)


def test_numbers_skip_padding_and_its_token():
    ids = jnp.array([[5, 1, 6, 7, 0]], jnp.int32)
    mask = jnp.array([[True, True, True, True, False]])
    plain = position_numbers(LearnedPositions(9), ids, mask)
    np.testing.assert_array_equal(plain, [[0, 1, 2, 3, 4]])
    shifted = position_numbers(LearnedPositions(9, padding_id=1), ids, mask)
    np.testing.assert_array_equal(shifted, [[2, 1, 3, 4, 1]])
    assert (LearnedPositions(9).room, LearnedPositions(9, padding_id=1).room) == (9, 7)


def test_rotation_depends_on_the_distance_alone(rng):
    cosines, sines = rotary_angles(
        RotaryPositions(50.0), width=6, tokens=12, dtype=np.dtype(np.float32)
    )
    q, k = rng.normal(size=(2, 6)).astype(np.float32)
    both = np.broadcast_to(np.stack([q, k])[None, None], (1, 12, 2, 6))
    turned = np.asarray(rotate(jnp.asarray(both), cosines, sines))[0]
    products = turned[:, 0] @ turned[:, 1].T
    for shift in (-3, 0, 5):
        diagonal = np.diagonal(products, shift)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=2e-5 * (q @ q + k @ k))
    np.testing.assert_allclose(turned[0], [q, k])
    assert np.ptp(products) > 0


def test_scaling_of_long_wavelengths_alone():
    scaling = Llama3Scaling(factor=8.0, low=1.0, high=4.0, original_positions=64)
    plain = rotary_frequencies(RotaryPositions(1e4), 32)
    scaled = rotary_frequencies(RotaryPositions(1e4, scaling=scaling), 32)
    turns = 64 * plain / (2 * math.pi)
    np.testing.assert_array_equal(scaled[turns > 4], plain[turns > 4])
    np.testing.assert_allclose(scaled[turns < 1], plain[turns < 1] / 8)
    between = (turns > 1) & (turns < 4)
    assert between.any()
    assert (scaled[between] < plain[between]).all()
    assert (scaled[between] > plain[between] / 8).all()
    np.testing.assert_allclose(rotary_frequencies(RotaryPositions(1e4, divisor=4.0), 32), plain / 4)


def test_distances_share_geometric_buckets(rng):
    positions = RelativePositions(buckets=32, max_distance=128)
    buckets = dict(zip(range(-149, 150), distance_buckets(positions, 150), strict=True))
    assert [buckets[-d] for d in range(8)] == list(range(8))
    assert [buckets[d] - 16 for d in range(1, 8)] == list(range(1, 8))
    # Edges at 8 · 2^(j / 2): those of the original, which counts in float32.
    assert [buckets[-d] for d in (11, 12, 15, 16, 32, 63, 64, 127, 128, 149)] == [
        8, 9, 9, 10, 12, 13, 14, 15, 15, 15,
    ]  # fmt: skip
    table = rng.normal(size=(32, 2)).astype(np.float32)
    bias = np.asarray(distance_bias(jnp.asarray(table), positions, 20))
    assert bias.shape == (1, 2, 20, 20)
    assert bias[0, 1, 3, 17] == table[buckets[14], 1]
    assert bias[0, 0, 17, 3] == table[buckets[-14], 0]


def test_causal_mask():
    np.testing.assert_array_equal(causal_mask(3)[0], np.tri(3, dtype=bool))
