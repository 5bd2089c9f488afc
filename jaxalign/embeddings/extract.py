"""Structures × encoder → rows: under `jit`, in few shapes, resumable chunk by chunk.

Several processes divide the chunks, the making of inputs included; the devices of a process divide
its batches. Neither changes which structures share a batch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from jax.sharding import Mesh

from jaxalign.embeddings.chunk_work import ChunkWork
from jaxalign.embeddings.chunk_work import NonFiniteEmbeddingError as NonFiniteEmbeddingError
from jaxalign.embeddings.heads import Head, PooledLayer
from jaxalign.embeddings.host_rows import HostRows
from jaxalign.embeddings.input_counts import describe_counts
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.manifest import is_store
from jaxalign.embeddings.preparation import facts, local_devices, prepare_rows, with_counters
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.request import Request, make_request
from jaxalign.embeddings.rows import NetworkRows
from jaxalign.embeddings.sources import StoredEmbeddings, StoreRows
from jaxalign.embeddings.store import EmbeddingStore, create_store, open_store
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import all_true, from_primary, require_agreement
from jaxalign.structures.structure import Structure


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
      float32 embeddings. `info` holds layer, pooling, data set, content hash, skipped structures,
      and, where they are not 0, `unknown_tokens` (tokens or residues that the network does not
      know), `truncated_structures` and `truncated_tokens` (cut off for want of positions);
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
    chosen = {"layer": layer, "pooling": pooling, "on_error": on_error}
    request = make_request(encoder.card, structures, **chosen)
    head = None
    if isinstance(encoder, Encoder):
        head = PooledLayer(encoder.apply, request.layer, request.pooling)
    return answer_request(
        encoder,
        request,
        head,
        store_path=store_path,
        chunk_rows=chunk_rows,
        progress=progress,
        mesh=mesh,
        in_memory=in_memory,
    )


def answer_request(
    encoder: Encoder | HostEncoder,
    request: Request,
    head: Head | None,
    *,
    store_path: str | Path | None,
    chunk_rows: int,
    progress: bool,
    mesh: Mesh | None,
    in_memory: bool,
) -> Embeddings | StoredEmbeddings:
    """Rows that a head of a network, or a function on the host, gives for structures.

    Args:
      encoder: a network or a host function.
      request: what is asked for.
      head: of a network; None for a host function.
      store_path: as in `embed_structures`, and so are the others.
      chunk_rows: rows of a chunk.
      progress: whether to show progress.
      mesh: devices, or None.
      in_memory: whether to return the rows themselves.

    Returns:
      The rows, read back if the store holds them already.
    """
    begin = time.monotonic()
    finished = _finished(store_path, request, in_memory=in_memory)
    if finished is not None:
        return with_counters(finished, None, computed=0, begin=begin)
    rows: NetworkRows | HostRows
    if isinstance(encoder, Encoder):
        rows = NetworkRows(encoder, head, mesh=local_devices(mesh, len(request.structures)))
    else:
        rows = HostRows(encoder, chunk_rows=chunk_rows)
    with contextlib.closing(rows):
        skipped = prepare_rows(rows, request)
        ids = request.kept_ids({record.where for record in skipped})
        info = request.settings | facts(rows, skipped)
        if unseen := describe_counts(info):
            logging.warning("%s does not see %s", request.card.id, unseen)
        work = ChunkWork(rows, ids, request.card, progress=progress)
        if store_path is None:
            chunks = [(i, min(i + chunk_rows, len(ids))) for i in range(0, len(ids), chunk_rows)]
            result = Embeddings(work.gather(chunks), ids, request.card, info)
        else:
            result = _fill(store_path, rows, work, info=info, chunk_rows=chunk_rows)
            result = _content(result, in_memory=in_memory)
    return with_counters(result, rows, computed=work.computed, begin=begin)


def _fill(
    path: str | Path,
    rows: NetworkRows | HostRows,
    work: ChunkWork,
    *,
    info: Mapping[str, Any],
    chunk_rows: int,
) -> EmbeddingStore:
    with stop_together():
        width = rows.width()
    store = create_store(
        path, ids=work.ids, width=width, card=work.card, info=info, chunk_rows=chunk_rows
    )
    work.fill(store)
    return store


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
    chosen = {"layer": layer, "pooling": pooling, "on_error": on_error}
    request = make_request(card, structures, **chosen)
    begin = time.monotonic()
    finished = _finished(store_path, request, in_memory=in_memory)
    if finished is None:
        return None
    return with_counters(finished, None, computed=0, begin=begin)


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
