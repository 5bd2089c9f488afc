import numpy as np
import pytest

from jaxalign.embeddings.preprocess import NORMALIZATIONS, normalize_rows


def oracle(x, method):
    x = np.asarray(x, dtype=np.float64)
    if method == "l2":
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    if method == "max_abs_row":
        return x / np.abs(x).max(axis=1, keepdims=True)
    if method == "standardize":
        return (x - x.mean(axis=0)) / x.std(axis=0)
    return x


@pytest.mark.parametrize("method", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_agrees_with_numpy(method, dtype, rng):
    x = (rng.normal(size=(37, 19)) + 2).astype(dtype)
    got = normalize_rows(x, method)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, oracle(x, method), rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("method", ["none", "l2", "max_abs_row"])
@pytest.mark.parametrize("width", [1, 7, 128, 300])
def test_bits_do_not_depend_on_blocks_or_layout(method, width, rng):
    x = rng.normal(size=(97, width)).astype(np.float32)
    whole = normalize_rows(x, method)
    for size in (1, 2, 13, 64):
        blocks = [normalize_rows(x[i : i + size], method) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
    np.testing.assert_array_equal(normalize_rows(np.asfortranarray(x), method), whole)
    wide = np.zeros((97, 2 * width), dtype=np.float32)
    wide[:, ::2] = x
    np.testing.assert_array_equal(normalize_rows(wide[:, ::2], method), whole)


def test_never_changes_or_returns_its_input(rng):
    for dtype in (np.float32, np.float64):
        x = rng.normal(size=(4, 3)).astype(dtype)
        before = x.copy()
        for method in NORMALIZATIONS:
            normalize_rows(x, method)[:] = 7
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150, 1e300])
def test_rows_of_extreme_float64_scale(scale, rng):
    x = rng.normal(size=(5, 8))
    np.testing.assert_allclose(normalize_rows(x * scale, "l2"), oracle(x, "l2"), rtol=2e-7)
    np.testing.assert_allclose(
        normalize_rows(x * scale, "max_abs_row"), oracle(x, "max_abs_row"), rtol=2e-7
    )


def test_zero_rows_stay_zero_and_constant_columns_become_zero(rng):
    x = rng.normal(size=(6, 4)).astype(np.float32)
    x[2] = 0
    for method in ("none", "l2", "max_abs_row"):
        assert not normalize_rows(x, method)[2].any()
    y = rng.normal(size=(7, 3))
    y[:, 1] = 0.1  # the mean of seven 0.1 is not 0.1
    got = normalize_rows(y, "standardize")
    assert not got[:, 1].any()
    assert got[:, [0, 2]].all()


def test_one_row_standardizes_to_zero():
    assert not normalize_rows(np.array([[3.0, -1.0]]), "standardize").any()


def test_nan_stays_in_its_row(rng):
    x = rng.normal(size=(5, 4))
    x[1, 2], x[3, 0] = np.nan, np.inf
    for method in ("none", "l2", "max_abs_row"):
        bad = ~np.isfinite(normalize_rows(x, method)).all(axis=1)
        assert bad.tolist() == [False, True, False, True, False]


def test_bad_input():
    x = np.ones((3, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"unknown normalization 'L2'.*max_abs_row"):
        normalize_rows(x, "L2")
    with pytest.raises(ValueError, match=r"int64.*astype\(np.float32\)"):
        normalize_rows(np.ones((3, 2), dtype=np.int64), "l2")
    with pytest.raises(ValueError, match=r"float32 range in 1 rows, first row 2"):
        normalize_rows(np.array([[1.0], [2.0], [1e39]]), "none")
