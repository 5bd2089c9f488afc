"""Streamed exact k nearest neighbors: the same ids for every tile size, on every device."""

from __future__ import annotations

import dataclasses

from jax.sharding import Mesh

from jaxalign.embeddings.sources import model_rows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.model_neighbors import neighbors_of_rows
from jaxalign.pairwise.row_blocks import row_blocks
from jaxalign.pairwise.search_arguments import check_similarity
from jaxalign.parallel.mesh import check_mesh, choose_mesh, describe_mesh
from jaxalign.types import Labels, MatrixLike, Neighbors
from jaxalign.validation import check_finite, check_k, check_matrix


def neighbors(
    x: MatrixLike,
    *,
    k: int,
    similarity: str = "cosine",
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh | str | None = None,
) -> Neighbors:
    """Exact k nearest neighbors of every row, excluding the row itself.

    The ordering value of rows i and j is Σ x_i x_j (`"cosine"`, after L2 normalization, and
    `"inner"`) or Σ (x_i − x_j)² (`"euclidean"`), in float64 from the float32 rows, never rounded
    before it is compared. Equal values are ordered by row number. A matrix product only proposes
    candidates; rows whose error bound does not prove the result are compared with all others in
    float64. Equal rows are searched once.

    Args:
      x: `[n, d]` embeddings; cast to float32 (after normalization, for `"cosine"`).
      k: neighbors per row, 1 <= k < n.
      similarity: `"cosine"`, `"inner"` or `"euclidean"`.
      groups: one label a row; rows of equal label are never each other's neighbors. None is a
        group of its own.
      tile_size: query rows per tile; bounds memory, never changes the result.
      progress: label of a progress line (rows done, rate, time left); None prints nothing.
      mesh: devices that work: a `jax.sharding.Mesh` with axes `rows` and `models`, text such as
        `"rows:4"`, or None for the default. Never changes the result. Of several processes, all
        must call this, with the same arguments.

    Returns:
      `Neighbors`: int32 ids `[n, k]` and float32 scores `[n, k]`, nearest first.

    Raises:
      ValueError: k out of range, non-finite rows (named), unknown similarity, or a group so large
        that some row has fewer than k eligible neighbors; or a mesh of more devices than rows.
    """
    require_sound_jax()
    check_similarity(similarity)
    x = check_matrix(x)
    check_k(k, x.shape[0])
    check_finite(x)
    mesh = choose_mesh(check_mesh(mesh), x.shape[0])
    method = "l2" if similarity == "cosine" else "none"
    found = neighbors_of_rows(
        row_blocks(model_rows(x, method)),
        k=k,
        similarity=similarity,
        normalized=True,
        groups=groups,
        tile_size=tile_size,
        progress=progress,
        mesh=mesh,
    )
    return dataclasses.replace(found, diagnostics=found.diagnostics | describe_mesh(mesh))
