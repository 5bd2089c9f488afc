"""Floors do the work that they claim, on any number of devices."""

import functools

import numpy as np
import pytest

from jaxalign.parallel.mesh import spread_mesh
from jaxalign.profiling import floors
from jaxalign.profiling.timing import alternating, peak_bytes


@pytest.mark.parametrize("devices", [1, 4])
def test_tiled_product_covers_as_much_as_the_whole_product(devices):
    n, d = 1030, 16
    values = floors.tiled_product(n, d, spread_mesh(devices)).run()
    # A device multiplies its rows by its own, as often as there are devices.
    size = len(values) // devices
    for shard in range(devices):
        start, stop = shard * size, min((shard + 1) * size, n)
        rows = floors._random_rows(start, stop, d=d)
        rows = np.pad(rows, ((0, size - len(rows)), (0, 0)))
        wanted = np.maximum((rows @ rows.T).max(1), 0)
        np.testing.assert_allclose(values[start : start + size], wanted, rtol=1e-5, atol=1e-5)


def test_amounts_grow_with_the_devices():
    probes = {p: floors.square_products(spread_mesh(p), size=32) for p in (1, 2)}
    assert probes[1].amount == 2 * 32**3
    assert probes[2].amount == 2 * probes[1].amount
    assert probes[2].run().shape == (64, 32)
    reads = floors.memory_reads(spread_mesh(2))
    assert reads.amount == 2**27
    assert np.asarray(reads.run()).sum() == 0
    assert floors.gemm_rate(size=64, repeats=1) > 0


def test_work_takes_turns_after_one_warm_up():
    calls = []
    works = {name: functools.partial(calls.append, name) for name in "ab"}
    times = alternating(works, repeats=2)
    assert calls == ["a", "b"] * 3
    assert all(value >= 0 for value in times.values())
    assert peak_bytes() > 2**20
