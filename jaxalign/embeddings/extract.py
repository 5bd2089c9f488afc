"""Structures × encoder → rows: under `jit`, in few shapes, resumable chunk by chunk.

Several processes divide the chunks, the making of inputs included; the devices of a process divide
its batches. Neither changes which structures share a batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxalign.embeddings.chunk_work import ChunkWork
from jaxalign.embeddings.chunk_work import NonFiniteEmbeddingError as NonFiniteEmbeddingError
from jaxalign.embeddings.heads import PooledLayer
from jaxalign.embeddings.host_rows import HostRows
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.manifest import is_store
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.request import Request, make_request
from jaxalign.embeddings.rows import NetworkRows
from jaxalign.embeddings.sources import StoredEmbeddings, StoreRows
from jaxalign.embeddings.store import EmbeddingStore, create_store, open_store
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.mesh import choose_mesh, local_mesh, make_mesh
from jaxalign.parallel.multihost import (
    all_true,
    exchange_objects,
    from_primary,
    my_share,
    require_agreement,
)
from jaxalign.structures.structure import SkippedStructure, Structure

# Structures a device, below which a further one costs more than it saves where nobody asked for it.
_LEAST_ROWS = 512


def embed_structures(
    encoder: Encoder | HostEncoder,
    structures: Sequence[Structure],
    *,
    layer: str | None = None,
    pooling: str | None = None,
    store_path: str | Path | None = None,
    on_error: str = "raise",
    chunk_rows: int = 1024,
    progress: bool = True,
    mesh: Mesh | None = None,
    in_memory: bool = True,
) -> Embeddings | StoredEmbeddings:
    """Embeds structures, one row each, in their order.

    Structures of one chunk are grouped by size into batches of fixed shape; which others share a
    batch changes a row by float32 rounding at most. All processes of a run must call this together,
    with the same structures: each computes and writes its share of the chunks, and an error of one
    is raised on all.

    Args:
      encoder: a network (`load_model`) or a host function (`as_encoder`).
      structures: what to embed; ids must be unique.
      layer: layer name; None for the card's default.
      pooling: pooling of node features; None for the card's default. Host encoders have neither.
      store_path: directory or URL (`gs://bucket/path`, `s3://bucket/path`) of a store that is
        written chunk by chunk. If an earlier call began it, only missing chunks are computed,
        whatever the number of processes then and now; if it is complete, nothing is.
      on_error: `"raise"` to name all structures that the encoder cannot represent, `"skip"` to
        leave them out and list them in `info["skipped"]`.
      chunk_rows: rows of a chunk, the unit of committing; a process computes as many chunks at
        once as it has devices.
      progress: whether to show progress on standard error (of process 0, of its own share).
      mesh: devices that run a network, each its own batches; None means all devices of this process
        that have 512 structures each to do.
      in_memory: False leaves the rows in the store, to be read in blocks. Otherwise every process
        returns, and holds, all of them.

    Returns:
      float32 embeddings. `info` holds layer, pooling, data set, content hash, skipped structures;
      and of this call `rows_computed`, `compilations` and `padding_waste` (share of the computed
      work) of all processes together, `seconds`, `input_seconds` (time that threads spent making
      inputs) and `input_wait_share` (share of the time in which devices waited for these).

    Raises:
      ValueError: for an unknown layer, pooling or option, no structures, or fewer than devices.
      UnsupportedStructureError: if structures cannot be represented and `on_error` is `"raise"`.
      NonFiniteEmbeddingError: if rows are not finite.
      EmbeddingStoreError: if `store_path` holds something else.
      DisagreementError: if the processes of a run were given different structures or settings.
    """
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1: got {chunk_rows}")
    if store_path is None and not in_memory:
        raise ValueError("rows that are not held in memory need a store: pass store_path")
    request = make_request(
        encoder.card,
        structures,
        layer=layer,
        pooling=pooling,
        on_error=on_error,
    )
    begin = time.monotonic()
    finished = _finished(store_path, request, in_memory=in_memory)
    if finished is not None:
        return _with_counters(finished, None, computed=0, begin=begin)
    rows: NetworkRows | HostRows
    if isinstance(encoder, Encoder):
        devices = _local_devices(mesh, len(request.structures))
        head = PooledLayer(encoder.apply, request.layer, request.pooling)
        rows = NetworkRows(encoder, head, mesh=devices)
    else:
        rows = HostRows(encoder, chunk_rows=chunk_rows)
    with contextlib.closing(rows):
        result, computed = _embed(
            rows,
            request,
            store_path,
            chunk_rows=chunk_rows,
            progress=progress,
            in_memory=in_memory,
        )
    return _with_counters(result, rows, computed=computed, begin=begin)


def _embed(
    rows: NetworkRows | HostRows,
    request: Request,
    store_path: str | Path | None,
    *,
    chunk_rows: int,
    progress: bool,
    in_memory: bool,
) -> tuple[Embeddings | StoredEmbeddings, int]:
    """All rows, and how many of them this process computed."""
    skipped = _prepare(rows, request)
    ids = request.kept_ids({record.where for record in skipped})
    info = request.settings | _facts(rows, skipped)
    work = ChunkWork(rows, ids, request.card, progress=progress)
    if store_path is None:
        chunks = [(i, min(i + chunk_rows, len(ids))) for i in range(0, len(ids), chunk_rows)]
        return Embeddings(work.gather(chunks), ids, request.card, info), work.computed
    with stop_together():
        width = rows.width()
    store = create_store(
        store_path,
        ids=ids,
        width=width,
        card=request.card,
        info=info,
        chunk_rows=chunk_rows,
    )
    work.fill(store)
    return _content(store, in_memory=in_memory), work.computed


def stored_embeddings(
    card: ModelCard,
    structures: Sequence[Structure],
    *,
    layer: str | None = None,
    pooling: str | None = None,
    store_path: str | Path,
    on_error: str = "raise",
    in_memory: bool = True,
) -> Embeddings | StoredEmbeddings | None:
    """Finished embeddings, from the store alone: no weights are fetched or opened.

    All processes of a run must call this together.

    Args:
      card: card of the encoder.
      structures: what was to be embedded.
      layer: as in `embed_structures`; must be None for host functions.
      pooling: as in `embed_structures`; must be None for host functions.
      store_path: the store.
      on_error: as in `embed_structures`.
      in_memory: as in `embed_structures`.

    Returns:
      The embeddings if the store holds exactly what is asked for, whole and undamaged; else None.
    """
    request = make_request(
        card,
        structures,
        layer=layer,
        pooling=pooling,
        on_error=on_error,
    )
    begin = time.monotonic()
    finished = _finished(store_path, request, in_memory=in_memory)
    if finished is None:
        return None
    return _with_counters(finished, None, computed=0, begin=begin)


def _local_devices(mesh: Mesh | None, n: int) -> Mesh:
    """Devices of this process that run batches."""
    local = local_mesh(choose_mesh(mesh, n))
    useful = max(1, n // (jax.process_count() * _LEAST_ROWS))
    return local if mesh is not None else make_mesh(local.devices.ravel().tolist()[:useful])


def _finished(
    path: str | Path | None, request: Request, *, in_memory: bool
) -> Embeddings | StoredEmbeddings | None:
    """The content of a store that holds what is asked for; None if rows may have to be computed."""
    require_agreement(
        encoder=request.card.id,
        store=str(path),
        **{name: str(value) for name, value in request.settings.items()},
    )
    if path is None:
        return None
    with stop_together():
        found = is_store(Location(path))
    if not from_primary(found):
        return None
    with stop_together():
        store = open_store(path)
    if not all_true(request.is_answered_by(store)):
        return None
    if not in_memory:
        return None if store.damaged_chunks() else _content(store, in_memory=False)
    try:
        loaded = store.load()
    except EmbeddingStoreError:
        loaded = None  # a damaged chunk: resuming computes it again
    return loaded if all_true(loaded is not None) else None


def _content(store: EmbeddingStore, *, in_memory: bool) -> Embeddings | StoredEmbeddings:
    """What a store holds whose chunks were just written or checked."""
    if not in_memory:
        return StoredEmbeddings(StoreRows(store), store.ids, store.card, store.info)
    with stop_together():
        loaded = store.load()
    return loaded


def _prepare(rows: NetworkRows | HostRows, request: Request) -> list[SkippedStructure]:
    """Each process looks at its share of the structures; all learn which are left out."""
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


def _facts(rows: NetworkRows | HostRows, skipped: Sequence[SkippedStructure]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "skipped": [{"id": record.where, "reason": record.reason} for record in skipped]
    }
    if unknown := sum(exchange_objects(rows.unknown_tokens)):
        facts["unknown_tokens"] = unknown
    return facts


def _with_counters(
    result: Embeddings | StoredEmbeddings,
    rows: NetworkRows | HostRows | None,
    *,
    computed: int,
    begin: float,
) -> Embeddings | StoredEmbeddings:
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
