"""Exact search of tiles of query rows on the devices: propose, then compute ordering values.

Every device holds one shard of the rows of one model, that of its column of the mesh: as queries,
as columns of the products, and as the float32 rows that decide. Shards travel round the devices of
the column, or are gathered on all of them (`parallel.ring.visit_shards`), twice: the columns of the
products, to propose; then the rows, to decide. Columns of the mesh exchange nothing.
`sweep.py` drives the program and sorts on the host: XLA sorts float64 rows on CPU 50 times slower
than NumPy does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float32, Float64, Int, Int32

from jaxalign.pairwise.database import Bounds, Database
from jaxalign.pairwise.decide import pair_values
from jaxalign.pairwise.ordering import padded_width
from jaxalign.pairwise.proposals import Columns, merge, nothing, propose, settle
from jaxalign.pairwise.search_plan import SearchPlan, operand_type, operand_width
from jaxalign.parallel.columns import column_order
from jaxalign.parallel.mesh import ROWS, SPLIT, split
from jaxalign.parallel.ring import varying, visit_shards


class Candidates(NamedTuple):
    """Candidates of query rows, in no order.

    Attributes:
      ids: row numbers.
      keys: ordering values, larger is nearer: inner product, or minus the squared distance; −inf
        where a row has fewer eligible columns than candidates.
      limits: no other column has a larger proposed value.
    """

    ids: Int32[Array, "t c"]
    keys: Float64[Array, "t c"]
    limits: Float32[Array, " t"]


@functools.lru_cache
def sharded_search(
    mesh: Mesh, *, candidates: int, steps: int, block: int, euclidean: bool, gather: bool
) -> Callable[..., Candidates]:
    """The compiled search over a mesh; call and lower it under `jax.enable_x64(True)`.

    Its arguments, all split over the devices by their first axis, as `search_shapes` gives them:

    * queries `[devices · tiles, t]`: rows searched from, numbered within the device's shard;
    * codes, of the same shape: what each query must not meet;
    * count `[devices]`: tiles of each device that are to be searched;
    * rows `[devices · size, p]`: float32 rows, of padded width, that decide;
    * database: operands of the products that propose.

    It returns `Candidates` of `[devices · tiles · t]` queries; those beyond `count` are void. One
    call takes many tiles because blocks travel once a call, and because memory is given back, and
    faulted in again, between calls. To lower it for devices that are not there:

        plan = search_plan(n, d, k=25, mesh=mesh)
        with jax.enable_x64(True):
            search_program(mesh, plan, euclidean=False).lower(*search_shapes(mesh, d, plan))

    Args:
      mesh: devices; a model on each of its columns.
      candidates: columns proposed to each query.
      steps: selections that cover a shard.
      block: columns of which the best few are kept.
      euclidean: distances instead of inner products.
      gather: hold all shards of a column on its devices instead of passing them round.
    """
    many, order = mesh.devices.shape[0] > 1, column_order(mesh)

    def local(queries, codes, count, rows, database):
        count = count[0]

        def visit(number, shard, columns, best):
            def tile(i, best):
                mine = queries[i]
                found = propose(
                    database.left[mine],
                    codes[i],
                    columns,
                    candidates=candidates,
                    steps=steps,
                    block=block,
                )
                found = found._replace(rows=found.rows + shard * rows.shape[0])
                if many:
                    found = merge(jax.tree.map(lambda x: x[i], best), found)
                return jax.tree.map(lambda whole, part: whole.at[i].set(part), best, found)

            return jax.lax.fori_loop(jnp.int32(0), count, tile, varying(best))

        with jax.named_scope("propose"):
            start = nothing(queries.shape, candidates)
            visited = visit_shards(
                visit, start, database.columns, gather=gather, order=order, axes=ROWS
            )
            best = settle(visited)
        with jax.named_scope("decide"):
            valid = best.values > -jnp.inf
            keys = pair_values(
                rows,
                queries,
                best.rows,
                valid,
                count,
                euclidean=euclidean,
                gather=gather,
                order=order,
            )
        found = Candidates(best.rows, keys, best.limits)
        return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), found)

    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT))


def search_program(mesh: Mesh, plan: SearchPlan, *, euclidean: bool) -> Callable[..., Candidates]:
    """`sharded_search` with the settings of a plan."""
    return sharded_search(
        mesh,
        candidates=plan.candidates,
        steps=plan.steps,
        block=plan.block,
        euclidean=euclidean,
        gather=plan.gather,
    )


def search_shapes(
    mesh: Mesh, d: int, plan: SearchPlan, *, precision: str = "bfloat16"
) -> tuple[Any, ...]:
    """Arguments of `sharded_search` as `jax.ShapeDtypeStruct`, with their shardings.

    Args:
      mesh: devices.
      d: width of the rows.
      plan: of `search_plan(n, d, k=k, mesh=mesh)`.
      precision: of the products that propose: `"bfloat16"`, `"bfloat16x3"` or `"float32"`.
    """
    size, dtype, width = plan.shards.size, operand_type(precision), operand_width(d, precision)

    def shape(*sizes, dtype=np.int32):
        first, *rest = sizes
        return jax.ShapeDtypeStruct((mesh.size * first, *rest), dtype, sharding=split(mesh))

    columns = Columns(
        shape(plan.groups * plan.columns),
        shape(plan.groups, width, plan.columns, dtype=dtype),
        shape(plan.groups, plan.columns, dtype=np.float32),
        shape(plan.groups, plan.columns),
    )
    return (
        shape(plan.tiles, plan.tile),
        shape(plan.tiles, plan.tile),
        shape(1),
        shape(size, padded_width(d), dtype=np.float32),
        Database(shape(size, width, dtype=dtype), columns),
    )


def nearest_first(
    keys: Float64[np.ndarray, "t c"], ids: Int[np.ndarray, "t c"], count: int
) -> tuple[Float64[np.ndarray, "t k"], Int[np.ndarray, "t k"]]:
    """The `count` best by (key descending, id ascending): the order of all neighbor lists."""
    order = np.argsort(-keys, axis=1)
    best = np.take_along_axis(keys, order, axis=1)
    ids = np.take_along_axis(ids, order, axis=1)
    # Equal keys are few: only their rows are sorted again, by id within key.
    tied = np.flatnonzero((best[:, 1:] == best[:, :-1]).any(axis=1))
    if len(tied):
        again = np.lexsort((ids[tied], -best[tied]), axis=1)
        ids[tied] = np.take_along_axis(ids[tied], again, axis=1)
    return best[:, :count], ids[:, :count]


def certain_rows(
    kth: Float64[np.ndarray, " t"],
    limits: Float32[np.ndarray, " t"],
    bounds: Bounds,
    queries: Int[np.ndarray, " t"],
    *,
    euclidean: bool,
) -> Bool[np.ndarray, " t"]:
    """Rows whose k-th ordering value beats everything that was not proposed, beyond all error."""
    queries = queries - bounds.first
    shift = bounds.shifts[queries]
    value = (shift + kth) / 2 if euclidean else kth - shift
    return (limits == -np.inf) | (value > limits + bounds.errors[queries])
