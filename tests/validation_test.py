"""Host checks: what passes unchanged, and messages that name what came."""

import ml_dtypes
import numpy as np
import pytest

from jaxalign.validation import check_bytes, check_finite, check_k, check_matrix


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_arrays_pass_unchanged(dtype):
    x = np.ones((3, 2), dtype)
    assert check_matrix(x) is x


def test_bfloat16_and_lists_are_taken():
    assert check_matrix(np.ones((3, 2), ml_dtypes.bfloat16)).dtype == np.float32
    assert check_matrix([[1.0, 2.0]]).shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(3), r"got shape \(3,\)"),
        (np.ones((0, 3)), r"got shape \(0, 3\)"),
        (np.ones((3, 0)), r"got shape \(3, 0\)"),
        (np.ones((3, 2), bool), "got dtype bool"),
        (np.ones((3, 2), np.int8), r"got dtype int8; convert it, e.g. x.astype"),
        (np.array([["a"]]), "got dtype <U1"),
        (np.array([[None]]), "got dtype object"),
    ],
)
def test_other_arrays_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        check_matrix(x)


def test_k_is_named_with_its_range():
    check_k(np.int64(4), 5)
    with pytest.raises(ValueError, match=r"got k=5, n=5; pass k <= 4"):
        check_k(5, 5)
    with pytest.raises(ValueError, match="at least 2: got k=1"):
        check_k(1, 5, least=2)


def test_nonfinite_rows_are_counted_and_named_by_id():
    x = np.zeros((9, 2))
    x[[1, 3, 4, 5, 6, 8], 0] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan]
    with pytest.raises(ValueError, match=r"6 of 9 rows: 1, 3, 4, 5, 6 and 1 more"):
        check_finite(x)
    with pytest.raises(ValueError, match=r"'b', 'd'"):
        check_finite(x, ids=list("abcdefghi"))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [("4GiB", 4 << 30), ("500 MB", 500_000_000), ("1.5gib", 3 << 29), (1 << 21, 1 << 21)],
)
def test_amounts_of_memory(size, wanted):
    assert check_bytes(size) == wanted


@pytest.mark.parametrize("size", ["", "many", "4 gigs", "-1GB", "1.2.3GB", "."])
def test_other_words_are_no_amount(size):
    with pytest.raises(ValueError, match="not an amount of memory"):
        check_bytes(size)
    with pytest.raises(ValueError, match="at least 1 MiB"):
        check_bytes("12B")
