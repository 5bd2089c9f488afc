import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.sevennet.edge_filters import cutoff_envelope, edge_basis

BOTH = pytest.mark.parametrize("onset", [None, 4.5])


@BOTH
def test_envelope_falls_smoothly_from_one_to_zero(onset):
    with jax.enable_x64(True):
        lengths = jnp.linspace(1e-3, 6.0, 2000)
        values = np.asarray(cutoff_envelope(lengths, cutoff=5.0, onset=onset))
    assert values[0] == pytest.approx(1.0, abs=1e-12)
    assert (values[np.asarray(lengths) >= 5.0] == 0).all()
    assert (np.diff(values) <= 1e-12).all()
    assert np.abs(np.diff(values)).max() < 0.02


def test_envelopes_are_the_published_polynomials(rng):
    lengths = rng.uniform(0.1, 4.999, 50)
    u = lengths / 5.0
    polynomial = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
    square = lengths**2
    tail = (25 - square) ** 2 * (25 + 2 * square - 3 * 4.5**2) / (25 - 4.5**2) ** 3
    with jax.enable_x64(True):
        smooth = cutoff_envelope(jnp.asarray(lengths), cutoff=5.0, onset=None)
        late = cutoff_envelope(jnp.asarray(lengths), cutoff=5.0, onset=4.5)
    np.testing.assert_allclose(smooth, polynomial, atol=1e-12)
    np.testing.assert_allclose(late, np.where(lengths < 4.5, 1.0, tail), atol=1e-12)


@pytest.mark.parametrize("unit_vectors", [True, False])
def test_basis_follows_the_definition_and_is_empty_in_padding(rng, unit_vectors):
    vectors = rng.normal(size=(6, 3))
    vectors *= rng.uniform(0.8, 4.0, (6, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
    frequencies = np.arange(1, 9) * np.pi / 5
    batch = {"vectors": np.concatenate([vectors, np.zeros((2, 3))]), "edges_mask": np.arange(8) < 6}
    with jax.enable_x64(True):
        basis = edge_basis(
            jnp.asarray(frequencies),
            {name: jnp.asarray(array) for name, array in batch.items()},
            degree=1,
            cutoff=5.0,
            onset=4.5,
            unit_vectors=unit_vectors,
        )
    lengths = np.linalg.norm(vectors, axis=1)[:, None]
    np.testing.assert_allclose(basis.radial[:6], 0.4 * np.sin(frequencies * lengths) / lengths)
    directions = vectors / lengths if unit_vectors else vectors
    np.testing.assert_allclose(basis.harmonics[:6, 1:], np.sqrt(3) * directions)
    assert not np.asarray(basis.radial[6:]).any()
    assert np.isfinite(basis.harmonics).all()
