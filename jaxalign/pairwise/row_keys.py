"""Integers that sort like values v ≥ 0 and, where these are equal, like columns.

A key holds the leading bits of v above the number of the column. Where float64 is IEEE, these are
the bits of v itself: they are ordered as v is, and relative precision is kept. Elsewhere v is a
pair of float32 numbers without bits of its own: the key then holds v as a fixed-point number.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int64

MANTISSA_BITS = 52
_KEY_BITS = 62  # of a fixed-point number and a column together: less than what is excluded has
_LARGEST_SCALE = 100  # powers of two beyond leave the range of float32


@dataclasses.dataclass(frozen=True)
class KeyFormat:
    """How values and columns share 64 bits.

    Attributes:
      bits: that hold the column.
      scale: a key holds ⌊v · 2^scale⌋; None: the leading bits of v.
    """

    bits: int
    scale: int | None = None

    @property
    def low(self) -> np.int64:
        """Mask of the bits that hold the column."""
        return np.int64((1 << self.bits) - 1)

    @property
    def slope(self) -> float:
        """Bound on the relative error of `leading`."""
        return 2.0 ** (self.bits - MANTISSA_BITS) if self.scale is None else 0.0

    @property
    def step(self) -> float:
        """Bound on its absolute error."""
        return 0.0 if self.scale is None else 2.0**-self.scale

    def pack(self, v: Float64[Array, "t n"]) -> Int64[Array, "t n"]:
        """Keys without their columns."""
        if self.scale is None:
            return jax.lax.bitcast_convert_type(v, jnp.int64) & ~self.low
        return (v * 2.0**self.scale).astype(jnp.int64) << self.bits

    def leading(self, keys: Any) -> Any:
        """Values v of keys, to their leading bits: of NumPy's on the host, of JAX's on a device."""
        if self.scale is not None:
            return (keys >> self.bits).astype(np.float64) * 2.0**-self.scale
        if isinstance(keys, np.ndarray):
            return (keys & ~self.low).view(np.float64)
        return jax.lax.bitcast_convert_type(keys & ~self.low, jnp.float64)


def index_bits(n: int) -> int:
    """Bits that hold the row numbers 0 … n − 1."""
    return max((n - 1).bit_length(), 1)


def fixed_point(n: int, largest: float) -> KeyFormat:
    """Keys of n columns for values up to the given one, where float64 is not IEEE."""
    bits = index_bits(n)
    exponent = math.frexp(largest)[1] if largest > 0 else 0
    return KeyFormat(bits, min(_KEY_BITS - bits - exponent, _LARGEST_SCALE))
