"""Random initialisation as in PyTorch, for random twins of networks that were trained there."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def torch_linear(fan_in: int) -> Callable[..., Float[Array, ...]]:
    """What `torch.nn.Linear` draws both its weight and its bias from: U(−1/√n, 1/√n).

    Args:
      fan_in: number of inputs n of the linear map; the bias needs it too.

    Returns:
      A Flax initializer.

    References:
      PyTorch documentation of `torch.nn.Linear`, "Variables".
    """
    bound = fan_in**-0.5

    def initialize(key, shape, dtype=float):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialize
