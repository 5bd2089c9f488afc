"""What processes tell each other: one alone, and two real ones."""

import numpy as np
import pytest

from jaxalign.parallel import multihost
from tests.multiprocess.cluster import run_cluster

TWO = """
    import numpy as np
    import pytest

    from jaxalign.parallel import multihost as m
    from jaxalign.parallel.failures import stop_together

    def check(sizes, dtype):
        parts = [(np.arange(2 * size).reshape(size, 2) / 3 + i).astype(dtype)
                 for i, size in enumerate(sizes)]
        found = m.exchange(parts[process_id])
        for got, wanted in zip(found, parts, strict=True):
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(m.gather_rows(parts[process_id]), np.concatenate(parts))

    check([0, 3], np.float64)
    check([40, 7], np.float32)
    m._PIECE = 4096  # of several pieces, the last one shorter
    check([1000, 256], np.float64)
    check([256, 0], np.float64)

    assert m.is_primary_process() == (process_id == 0)
    assert m.exchange_objects({"id": process_id}) == [{"id": 0}, {"id": 1}]
    assert m.from_primary(f"of {process_id}") == "of 0"
    assert not m.all_true(process_id == 0)
    assert m.all_true(True)
    assert list(m.my_share(range(5))) == [[0, 1], [2, 3, 4]][process_id]
    m.wait_for_all("here")
    m.require_agreement(k="5", data="abc")
    with pytest.raises(m.DisagreementError) as caught:
        m.require_agreement(k=str(process_id), data="abc", only="x")
    assert "differ in k (process 0: 0, process 1: 1); start all" in str(caught.value)

    with pytest.raises(ValueError, match="rows 3"), stop_together():
        if process_id == 1:
            raise ValueError("rows 3")
    print("done")
"""


def test_one_process_exchanges_with_itself(rng):
    values = rng.normal(size=(3, 2))
    (same,) = multihost.exchange(values)
    np.testing.assert_array_equal(same, values)
    assert multihost.exchange_objects([1, "a"]) == [[1, "a"]]
    assert multihost.from_primary(7) == 7
    assert multihost.all_true(True)
    assert not multihost.all_true(False)
    assert list(multihost.my_share([1, 2, 3])) == [1, 2, 3]
    multihost.wait_for_all("nobody")
    multihost.require_agreement(k="5")


def test_shares_hold_every_item_once(monkeypatch):
    monkeypatch.setattr(multihost.jax, "process_count", lambda: 3)
    shares = [list(multihost.my_share(range(10), index=index)) for index in range(3)]
    assert [item for share in shares for item in share] == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", [0, 1, 64, 65, 1000, 4097, 2**26])
def test_padding_is_small_and_lengths_are_few(size):
    padded = multihost._size_class(size)
    assert size <= padded <= max(64, 9 * size / 8 + 64)
    classes = {multihost._size_class(length) for length in range(1024, 2048)}
    assert len(classes) <= 16


def test_merging_joins_disjoint_parts():
    assert multihost.merge([{"a": 1}, {}, {"b": 2}]) == {"a": 1, "b": 2}


def test_two_processes_exchange():
    assert [result.stdout for result in run_cluster(TWO)] == ["done\n"] * 2
