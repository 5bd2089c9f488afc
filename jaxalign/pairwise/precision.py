"""How exact float64 is where it is computed, and what else decides where that is not exact enough.

CPUs and GPUs compute IEEE float64: an ordering value has the same bits there as on the host. TPUs
have no float64; their compiler makes each number a pair of float32 numbers. In the compiled text, a
product of two float32 numbers is exact, sums are compensated, and a product of pairs leaves out the
product of their low parts: about 2⁻⁴⁶ an operation, with the range of float32. Values of such a
platform are never compared more closely than their error bound: what lies within it is decided by
the host.
"""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Int, Int32

from jaxalign.pairwise import ordering
from jaxalign.pairwise.row_blocks import RowBlocks

IEEE_UNIT = 2.0**-53
# Unit roundoff of one operation, two bits above what the emulation leaves out.
_UNITS = {"tpu": 2.0**-44}
_ELEMENTS = 2**22  # numbers of the rows that are read at once to decide pairs


def float64_unit(mesh: Mesh) -> float:
    """Bound on the relative error of one float64 operation on the devices of a mesh."""
    return _UNITS.get(mesh.devices.flat[0].platform, IEEE_UNIT)


def is_ieee(mesh: Mesh) -> bool:
    """Whether float64 has the same bits on these devices as on the host."""
    return float64_unit(mesh) == IEEE_UNIT


def with_exact_ties(
    keys: Float64[np.ndarray, "q c"],
    ids: Int32[np.ndarray, "q c"],
    errors: Float64[np.ndarray, " q"],
    queries: Int[np.ndarray, " q"],
    rows: RowBlocks,
    *,
    euclidean: bool,
) -> Float64[np.ndarray, "q c"]:
    """Ordering values of which those that lie too close to another are replaced by exact ones.

    Afterwards their order is the exact one, and equal values are equal exactly.

    Args:
      keys: computed by devices, in no order; −inf (or NaN, what may come of it) for none.
      ids: row numbers of the candidates.
      errors: bound on the error of the keys of each query.
      queries: row numbers.
      rows: of the keys; few of them are read.
      euclidean: minus squared distances instead of inner products.
    """
    keys = np.where(np.isnan(keys), -np.inf, keys)
    order = np.argsort(-keys, axis=1)
    best = np.take_along_axis(keys, order, axis=1)
    with np.errstate(invalid="ignore"):  # −inf − −inf
        near = best[:, :-1] - best[:, 1:] <= 2 * errors[:, None]
    query, place = np.nonzero(np.pad(near, ((0, 0), (0, 1))) | np.pad(near, ((0, 0), (1, 0))))
    column = order[query, place]
    value = ordering.host_squared_distances if euclidean else ordering.host_inner_products
    size = max(1, _ELEMENTS // rows.d)
    for start in range(0, len(query), size):
        at = query[start : start + size], column[start : start + size]
        left, one = np.unique(queries[at[0]], return_inverse=True)
        right, other = np.unique(ids[at], return_inverse=True)
        found = value(rows.take(left), rows.take(right), one, other)
        keys[at] = -found if euclidean else found
    return keys
