import jax
import numpy as np
import pytest

from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics
from jaxalign.models.atomistic.tensor_products import (
    Path,
    coupling_paths,
    coupling_tensor,
    coupling_terms,
)

PATHS = coupling_paths(3, 3, 3)


def harmonics(vectors):
    with jax.enable_x64(True):
        return [np.asarray(y) for y in spherical_harmonics(jax.numpy.asarray(vectors), 3)]


def turns(rng):
    """How each degree turns under a random rotation: Y(R v) = D Y(v), solved for D."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    vectors = rng.normal(size=(40, 3))
    before, after = harmonics(vectors), harmonics(vectors @ rotation.T)
    return [np.linalg.lstsq(a, b, rcond=None)[0].T for a, b in zip(before, after, strict=True)]


def test_paths_obey_the_triangle_rule_in_order():
    assert coupling_paths(1, 1, 1) == ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1))
    assert len(PATHS) == 34


def test_tensors_are_invariant_under_rotations(rng):
    turn = turns(rng)
    for path in PATHS:
        table = coupling_tensor(path)
        rotated = np.einsum("ia,jb,kc,abc->ijk", *(turn[degree] for degree in path), table)
        np.testing.assert_allclose(rotated, table, atol=1e-10)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: "-".join(map(str, path)))
def test_components_of_the_product_are_orthogonal_and_of_one_size(path):
    table = coupling_tensor(path)
    gram = np.einsum("abc,abd->cd", table, table)
    expected = np.eye(2 * path.product + 1) / (2 * path.product + 1)
    np.testing.assert_allclose(gram, expected, atol=1e-14)


def test_signs_are_those_of_products_in_the_plane():
    """Scalars multiply, two vectors have a positive dot product and a right-handed cross one."""
    for degree in range(4):
        assert coupling_tensor(Path(0, degree, degree))[0, 0, 0] > 0
        assert coupling_tensor(Path(degree, 0, degree))[0, 0, 0] > 0
        assert coupling_tensor(Path(degree, degree, 0))[0, 0, 0] > 0
    assert coupling_tensor(Path(1, 1, 1))[0, 1, 2] == pytest.approx(6**-0.5)


def test_products_of_harmonics_are_harmonics(rng):
    """Of one direction, Y ⊗ Y → l is proportional to Y of degree l, and 0 for odd sums."""
    vector = rng.normal(size=3)
    y = harmonics((vector / np.linalg.norm(vector))[None])
    for path in PATHS:
        table = coupling_tensor(path)
        product = np.einsum("abc,a,b->c", table, y[path.left][0], y[path.right][0])
        if sum(path) % 2:
            np.testing.assert_allclose(product, 0, atol=1e-12)
        else:
            factor = product @ y[path.product][0] / (2 * path.product + 1)
            np.testing.assert_allclose(product, factor * y[path.product][0], atol=1e-12)
            assert abs(factor) > 1e-3


def test_terms_are_the_nonzero_elements_times_a_root():
    path = Path(2, 1, 2)
    table = np.zeros((5, 3, 5))
    for c, terms in enumerate(coupling_terms(path)):
        for a, b, value in terms:
            table[a, b, c] = value
    np.testing.assert_allclose(table, np.sqrt(5) * coupling_tensor(path))
    assert sum(map(len, coupling_terms(path))) == 16
