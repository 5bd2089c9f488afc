import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxalign.models.proteinmpnn.geometry import (
    distance_features,
    orientation_features,
    residue_frames,
    with_beta,
)


def test_beta_carbon_of_an_ideal_residue():
    # N, CA, C in ideal geometry: 1.458 Å, 1.525 Å, 111°; Cβ is 1.53 Å from CA and left-handed.
    angle = np.deg2rad(111)
    carbon = 1.525 * np.array([np.cos(angle), np.sin(angle), 0])
    residue = jnp.asarray([[[1.458, 0, 0], [0, 0, 0], carbon, [0, 0, 9]]], jnp.float32)
    beta = np.asarray(jax.jit(with_beta)(residue))[0, 4]
    assert np.linalg.norm(beta) == pytest.approx(1.53, abs=0.02)
    n, c = np.asarray(residue)[0, [0, 2]]
    for arm in (n, c):
        cosine = beta @ arm / np.linalg.norm(beta) / np.linalg.norm(arm)
        assert np.rad2deg(np.arccos(cosine)) == pytest.approx(110, abs=2.5)
    assert np.dot(np.cross(n, c), beta) > 0


def test_distances_become_gaussians_pair_by_pair(rng):
    own = rng.normal(size=(2, 3, 3)).astype(np.float32) * 8
    others = rng.normal(size=(2, 4, 3, 3)).astype(np.float32) * 8
    found = np.asarray(jax.jit(distance_features)(jnp.asarray(own), jnp.asarray(others)))
    distance = np.linalg.norm(own[:, None, :, None] - others[:, :, None], axis=-1)
    centers = 2 + np.arange(16) * 4 / 3
    expected = np.exp(-(((distance[..., None] - centers) / 1.25) ** 2)).reshape(2, 4, -1)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def chain_windows(rng, count):
    steps = rng.normal(size=(count, 2, 3))
    steps *= 3.8 / np.linalg.norm(steps, axis=-1, keepdims=True)
    middle = rng.normal(size=(count, 3)) * 9
    windows = np.stack([middle - steps[:, 0], middle, middle + steps[:, 1]], axis=1)
    return windows.astype(np.float32)


@jax.jit
def frames_and_features(windows, framed):
    frames = residue_frames(windows, framed)
    middle, count = windows[:, 1], len(windows)
    everyone = (jnp.tile(middle[None], (count, 1, 1)), jnp.tile(frames[None], (count, 1, 1, 1)))
    return frames, orientation_features((middle, frames), everyone)


def features(windows, framed):
    return map(np.asarray, frames_and_features(jnp.asarray(windows), jnp.asarray(framed)))


def test_orientations_are_those_between_frames_of_which_the_axis_turns_along(rng):
    windows, framed = chain_windows(rng, 6), np.ones(6, bool)
    frames, found = features(windows, framed)
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), [np.eye(3)] * 6, atol=1e-5)
    rotation = Rotation.from_matrix(np.einsum("ica,jcb->ijab", frames, frames).reshape(-1, 3, 3))
    quaternion = rotation.as_quat(canonical=True).reshape(6, 6, 4)
    # The square roots of small numbers have half the digits.
    np.testing.assert_allclose(found[..., 3:], quaternion, atol=2e-3)
    difference = windows[None, :, 1] - windows[:, None, 1]
    length = np.linalg.norm(difference, axis=-1, keepdims=True)
    direction = np.einsum("iab,ijb->ija", frames, difference / np.maximum(length, 1e-9))
    np.testing.assert_allclose(found[..., :3], direction, atol=1e-5)
    turn = Rotation.from_rotvec([0, 0, 1.0] + rng.normal(size=3) / 9).as_matrix()
    _, turned = features((windows @ turn.T).astype(np.float32), framed)
    rigid = [0, 1, 2, 6]  # the direction, and the angle of the rotation between frames
    np.testing.assert_allclose(turned[..., rigid], found[..., rigid], atol=2e-3)
    # The axis of this rotation turns along, as in the original.
    assert np.abs(turned[..., 3:6] - found[..., 3:6]).max() > 1e-2


def test_residues_without_a_frame_have_the_identity(rng):
    windows = chain_windows(rng, 6)
    windows[1, 0] += 5  # no step of a chain: the frame is only an inner direction of the other step
    frames, found = features(windows, np.arange(6) < 5)
    assert not frames[5].any()
    np.testing.assert_array_equal(found[5], [[0, 0, 0, 0, 0, 0, 1]] * 6)
    assert np.isfinite(frames).all()
    assert not frames[1, 1:].any()
    np.testing.assert_array_equal(found[0, 0, 3:6], np.zeros(3))
