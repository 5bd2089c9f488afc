import jax
import numpy as np
import pytest
import scipy.special

from jaxalign.models.atomistic.spherical_harmonics import MAX_DEGREE, spherical_harmonics


def unit_vectors(rng, *shape):
    vectors = rng.normal(size=(*shape, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def oracle(vectors, degree):
    """Real harmonics from SciPy's complex ones, polar axis y, azimuth from z towards x."""
    x, y, z = vectors.T
    polar, azimuth = np.arccos(y), np.arctan2(x, z)
    columns = []
    for m in range(-degree, degree + 1):
        value = scipy.special.sph_harm_y(degree, abs(m), polar, azimuth)
        part = value.real if m >= 0 else value.imag
        scale = (-1) ** m * np.sqrt(2.0) if m else 1.0  # without the Condon-Shortley phase
        columns.append(scale * part * np.sqrt(4 * np.pi))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
def test_harmonics_are_those_of_scipy(rng, degree):
    vectors = unit_vectors(rng, 20)
    with jax.enable_x64(True):
        values = spherical_harmonics(jax.numpy.asarray(vectors), degree)
    np.testing.assert_allclose(values[degree], oracle(vectors, degree), atol=1e-7)


def test_squares_sum_to_the_number_of_components(rng):
    with jax.enable_x64(True):
        values = spherical_harmonics(jax.numpy.asarray(unit_vectors(rng, 2, 5)), MAX_DEGREE)
    for degree, value in enumerate(values):
        assert value.shape == (2, 5, 2 * degree + 1)
        value = np.asarray(value)
        np.testing.assert_allclose((value**2).sum(axis=-1), 2 * degree + 1, rtol=1e-12)


def test_harmonics_are_homogeneous_polynomials(rng):
    vectors = rng.normal(size=(7, 3)).astype(np.float32)
    single = spherical_harmonics(jax.numpy.asarray(vectors), MAX_DEGREE)
    double = spherical_harmonics(jax.numpy.asarray(2 * vectors), MAX_DEGREE)
    for degree, (one, other) in enumerate(zip(single, double, strict=True)):
        np.testing.assert_allclose(other, 2.0**degree * np.asarray(one), rtol=1e-6)
        assert one.dtype == np.float32


def test_zero_vectors_are_finite_with_finite_gradients():
    zeros = jax.numpy.zeros((1, 3))
    gradient = jax.grad(lambda v: sum(x.sum() for x in spherical_harmonics(v, MAX_DEGREE)))(zeros)
    assert np.isfinite(gradient).all()


def test_unknown_degrees_are_refused():
    with pytest.raises(ValueError, match="0 to 3, got 4"):
        spherical_harmonics(jax.numpy.zeros((1, 3)), 4)
