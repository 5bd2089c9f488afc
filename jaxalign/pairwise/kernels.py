"""Entries of distance and kernel matrices from inner products of centered rows.

One inner product an entry serves every kernel: ‖x_i − x_j‖² = ‖x_i‖² + ‖x_j‖² − 2 x_i·x_j.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

KERNELS = ("euclidean", "rbf", "linear")
"""Names: distances ‖x_i − x_j‖, exp(−‖x_i − x_j‖² / 2σ²), and x_i·x_j."""

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
"""Unit roundoff of the dtypes of entries."""


def check_kernels(kernels: tuple[str, ...]) -> None:
    """At least one kernel, all of them known.

    Raises:
      ValueError: naming the unknown one.
    """
    for kernel in kernels:
        if kernel not in KERNELS:
            raise ValueError(f"unknown kernel {kernel!r}: choose among {KERNELS}")
    if not kernels:
        raise ValueError(f"kernels is empty: name at least one of {KERNELS}")


def rounding(dtype: str, width: int) -> float:
    """Rounding of an expanded squared distance, relative to ‖x‖² + ‖y‖².

    A sum of d rounded products errs by about √d·u; the factor 4 is far beyond its scatter, and the
    constant covers narrow rows. What lies below is noise, and an exact duplicate must give 0.
    """
    return UNIT[dtype] * (8 + 4 * math.sqrt(width))


def kernel_entries(
    kernel: str,
    products: Float[Array, "m r t"],
    left: Float[Array, "m r"],
    right: Float[Array, "m t"],
    precision: Float[Array, " m"],
    *,
    width: int,
) -> Float[Array, "m r t"]:
    """Entries of one kernel for a tile of every model.

    Args:
      kernel: one of `KERNELS`.
      products: x_i·x_j.
      left: squared norms of the rows of the tile.
      right: squared norms of its columns.
      precision: 1/2σ² of every model, for `"rbf"`.
      width: number of features, which decides the rounding bound.

    Returns:
      Entries; those of duplicates are exactly the diagonal value of `"euclidean"` and `"rbf"`.
    """
    if kernel == "linear":
        return products
    total = left[:, :, None] + right[:, None, :]
    squared = total - 2 * products
    zero = jnp.zeros((), products.dtype)
    squared = jnp.where(squared > rounding(str(products.dtype), width) * total, squared, zero)
    if kernel == "euclidean":
        return jnp.sqrt(squared)
    return jnp.exp(-squared * precision[:, None, None])
