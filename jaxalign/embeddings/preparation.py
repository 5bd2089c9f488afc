"""What surrounds the computing of rows: devices, structures left out, counters."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxalign.embeddings.host_rows import HostRows
from jaxalign.embeddings.input_counts import total_counts
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.request import Request
from jaxalign.embeddings.rows import NetworkRows
from jaxalign.embeddings.sources import StoredEmbeddings
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.mesh import choose_mesh, local_mesh, make_mesh
from jaxalign.parallel.multihost import exchange_objects, my_share
from jaxalign.structures.structure import SkippedStructure

# Structures a device, below which a further one costs more than it saves where nobody asked for it.
_LEAST_ROWS = 512


def local_devices(mesh: Mesh | None, n: int) -> Mesh:
    """Devices of this process that run batches.

    Args:
      mesh: what was asked for; None means as many as have enough to do.
      n: number of structures.

    Returns:
      A mesh of devices of this process.
    """
    local = local_mesh(choose_mesh(mesh, n))
    useful = max(1, n // (jax.process_count() * _LEAST_ROWS))
    return local if mesh is not None else make_mesh(local.devices.ravel().tolist()[:useful])


def prepare_rows(rows: NetworkRows | HostRows, request: Request) -> list[SkippedStructure]:
    """Each process looks at its share of the structures; all learn which are left out.

    Args:
      rows: what will compute; it is given the structures that remain.
      request: what is asked for.

    Returns:
      The structures left out, with reasons.

    Raises:
      UnsupportedStructureError: if structures must not be left out.
    """
    structures = request.structures
    mine: list[SkippedStructure] = []
    with stop_together():
        share = [structures[row] for row in my_share(range(len(structures)))]
        mine = rows.prepare(share, keep_going=request.skip)
    stated = exchange_objects([[record.where, record.reason] for record in mine])
    skipped = [SkippedStructure(where=w, reason=r) for part in stated for w, r in part]
    request.require_supported(skipped)
    refused = {record.where for record in skipped}
    rows.choose([structure for structure in structures if structure.id not in refused])
    return skipped


def facts(rows: NetworkRows | HostRows, skipped: Sequence[SkippedStructure]) -> dict[str, Any]:
    """What was found out before computing, for the info of the rows.

    Args:
      rows: after `prepare_rows`.
      skipped: structures left out.

    Returns:
      `skipped` (id and reason of each), and those of `input_counts.COUNTS` that are not 0.
    """
    found: dict[str, Any] = {
        "skipped": [{"id": record.where, "reason": record.reason} for record in skipped]
    }
    return found | total_counts(exchange_objects(dict(rows.input_counts)))


def with_counters(
    result: Embeddings | StoredEmbeddings,
    rows: NetworkRows | HostRows | None,
    *,
    computed: int,
    begin: float,
) -> Embeddings | StoredEmbeddings:
    """Adds what this call did to the info of its result.

    Args:
      result: the rows.
      rows: what computed them; None if they were read back.
      computed: rows that this process computed.
      begin: `time.monotonic()` at the beginning of the call.

    Returns:
      The rows with the counters that `embed_structures` names.
    """
    seconds = time.monotonic() - begin
    counts = [computed, rows.compilations if rows else 0]
    work = [rows.real_work, rows.computed_work, *rows.input_seconds] if rows else [0.0] * 4
    computed, compilations = np.sum(exchange_objects(counts), axis=0).tolist()
    real, padded, made, waited = np.sum(exchange_objects(work), axis=0).tolist()
    counters = {
        "rows_computed": computed,
        "compilations": compilations,
        "padding_waste": 1 - real / padded if padded else 0.0,
        "seconds": seconds,
        "input_seconds": made,
        "input_wait_share": waited / (seconds * jax.process_count()) if seconds else 0.0,
    }
    return dataclasses.replace(result, info={**result.info, **counters})
