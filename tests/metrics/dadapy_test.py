"""What DADApy found in the same data, frozen by `scripts/golden_dadapy.py`."""

import pathlib

import numpy as np
import pytest

from jaxalign.metrics import information_imbalance, intrinsic_dimension

GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "golden_dadapy.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("fit", ["ml", "regression"])
def test_twonn(golden, side, fit):
    found = float(intrinsic_dimension(golden[side], fit=fit))
    assert found == pytest.approx(float(golden[f"{side}_twonn_{fit}"]), rel=1e-6)


@pytest.mark.parametrize("side", ["x", "y"])
def test_scale_curve_of_gride_with_errors(golden, side):
    curve = intrinsic_dimension(golden[side], method="gride", k=64).diagnostics["curve"]
    for name, ours in (("gride", "value"), ("gride_errors", "error")):
        found = [scale[ours] for scale in curve]
        np.testing.assert_allclose(found, golden[f"{side}_{name}"], rtol=1e-6)


def test_information_imbalance_both_ways(golden):
    x, y = golden["x"], golden["y"]
    for k, wanted in zip(golden["ks"].tolist(), golden["imbalances"], strict=True):
        found = [float(information_imbalance(*pair, k=k)) for pair in ((x, y), (y, x))]
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
