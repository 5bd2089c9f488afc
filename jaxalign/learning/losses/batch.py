"""One minibatch: which rows are present, where they lie among all devices, and sums over them.

A device holds `b` rows of the batch and compares them with all `n` rows, so that it has a `[b, n]`
block of every matrix and never the whole. Without mesh axes b = n.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Num, Shaped

from jaxalign.parallel.ring import shard_index

Axes = str | tuple[str, ...]
AnyArray = jax.Array | np.ndarray
"""What callers may pass; results are JAX arrays."""


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Rows of one batch on one device, and sums over those of all devices.

    Attributes:
      size: n, rows of all devices, padding among them.
      present: own rows that are not padding.
      columns: the same of all rows.
      count: rows of all devices that are not padding.
      own: numbers of the own rows among all.
      axes: mesh axes over which the rows are split; None outside a mesh.
    """

    size: int
    present: Bool[Array, " b"]
    columns: Bool[Array, " n"]
    count: Int32[Array, ""]
    own: Int32[Array, " b"]
    axes: Axes | None

    def total(self, values: Num[Array, "b ..."]) -> Num[Array, ...]:
        """Sum over the rows of all devices."""
        return self.everywhere(values.sum(0, dtype=values.dtype))

    def everywhere(self, value: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
        """Sum over the devices."""
        return value if self.axes is None else jax.lax.psum(value, self.axes)

    def largest(self, values: Num[Array, "b ..."]) -> Num[Array, ...]:
        """Largest value over the rows of all devices, a constant for derivatives."""
        found = jax.lax.stop_gradient(values).max(0)
        return found if self.axes is None else jax.lax.pmax(found, self.axes)

    def gather(self, values: Float[Array, "b ..."]) -> Float[Array, "n ..."]:
        """The rows of all devices."""
        return _gather(values, self.axes)

    def pairs(self, *, diagonal: bool = False) -> Bool[Array, "b n"]:
        """Pairs of present rows; of different ones unless the diagonal is wanted."""
        both = self.present[:, None] & self.columns[None, :]
        if diagonal:
            return both
        return both & (self.own[:, None] != jnp.arange(self.size, dtype=jnp.int32)[None, :])


def read_batch(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    mask: Bool[AnyArray, " b"] | None,
    axis_name: Axes | None,
    least: int,
) -> tuple[Batch, Float[Array, "b dx"], Float[Array, "b dy"]]:
    """Checks two sides of a batch while they are traced.

    Args:
      x: own rows of one side.
      y: the same rows of the other.
      mask: False for padding; None means that all rows are present.
      axis_name: mesh axes over which the batch is split, inside `jax.shard_map`.
      least: rows that the definition needs.

    Returns:
      The batch, and both sides as float64 where one of them is, else as float32; padding is zero,
      whatever it held.

    Raises:
      ValueError: shapes or dtypes, or fewer than `least` rows.
    """
    x, y, present = _check_sides(x, y, mask)
    b, size = len(x), len(x)
    own, columns, count = jnp.arange(b, dtype=jnp.int32), present, present.sum(dtype=jnp.int32)
    if axis_name is not None:
        size = b * jax.lax.axis_size(axis_name)
        own = own + shard_index(axis_name).astype(jnp.int32) * b
        columns, count = jnp.ones(size, bool), jnp.int32(size)
        if mask is not None:
            columns = _gather(present, axis_name)
            count = jax.lax.psum(present.sum(dtype=jnp.int32), axis_name)
    if size < least:
        raise ValueError(
            f"a batch needs at least {least} rows for this loss: got n={size}; take larger batches"
        )
    batch = Batch(size, present, columns, count, own, axis_name)
    dtype = jnp.float64 if jnp.float64 in (x.dtype, y.dtype) else jnp.float32
    x, y = x.astype(dtype), y.astype(dtype)
    if mask is not None:
        # Before anything is computed: behind this, padding has neither values nor derivatives.
        x, y = (jnp.where(present[:, None], side, 0) for side in (x, y))
    return batch, x, y


def _check_sides(
    x: AnyArray, y: AnyArray, mask: AnyArray | None
) -> tuple[Float[Array, "b dx"], Float[Array, "b dy"], Bool[Array, " b"]]:
    x, y = _check_side(x, "x"), _check_side(y, "y")
    b = len(x)
    if len(y) != b:
        raise ValueError(f"x and y must embed the same structures: got {b} and {len(y)} rows")
    present = jnp.ones(b, bool) if mask is None else jnp.asarray(mask)
    if present.shape != (b,) or present.dtype != bool:
        raise ValueError(
            f"mask must be boolean with shape [{b}], True for rows that are present: got "
            f"{present.dtype} with shape {list(present.shape)}"
        )
    return x, y, present


def _check_side(x: AnyArray, name: str) -> Float[Array, "b d"]:
    x = jnp.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape [n, d] with n, d >= 1: got shape {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be a floating-point array: got dtype {x.dtype}; convert it, e.g. "
            "x.astype(jnp.float32)"
        )
    return x


def _gather(values: Shaped[Array, "b ..."], axes: Axes | None) -> Shaped[Array, "n ..."]:
    return values if axes is None else jax.lax.all_gather(values, axes, tiled=True)
