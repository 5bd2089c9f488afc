"""Random parameters as in PyTorch, for random twins of networks that were trained there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def torch_linear_params(
    shapes: Mapping[str, Mapping[str, Any]], *, seed: int, fan_in: Mapping[str, int] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Draws linear maps as `torch.nn.Linear` does: weights and biases from U(−1/√n, 1/√n).

    NumPy draws them: the same numbers on every device, and no program to compile.

    Args:
      shapes: name of the linear map → `kernel` `[n, out]` and perhaps `bias` `[out]`, anything that
        has a `shape`.
      seed: seed of the random numbers.
      fan_in: number of inputs n of maps whose kernel is only a part of a larger one.

    Returns:
      The same tree of float32 arrays.

    References:
      PyTorch documentation of `torch.nn.Linear`, "Variables".
    """
    rng = np.random.default_rng(seed)
    params = {}
    for name, linear in shapes.items():
        bound = (fan_in or {}).get(name, linear["kernel"].shape[0]) ** -0.5
        params[name] = {
            part: rng.uniform(-bound, bound, array.shape).astype(np.float32)
            for part, array in sorted(linear.items())
        }
    return params
