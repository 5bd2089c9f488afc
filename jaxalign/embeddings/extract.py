"""Structures × encoder → rows: under `jit`, in few shapes, resumable chunk by chunk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.embeddings.manifest import MANIFEST
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.request import SHOWN_IDS, Request, make_request
from jaxalign.embeddings.rows import HostRows, NetworkRows
from jaxalign.embeddings.store import EmbeddingStoreError, create_store, open_store
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.progress import Progress
from jaxalign.structures.structure import SkippedStructure, Structure
from jaxalign.types import JaxalignError


class NonFiniteEmbeddingError(JaxalignError):
    """An encoder gave NaN or infinity for some structures."""


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
) -> Embeddings:
    """Embeds structures, one row each, in their order.

    Structures of one chunk are grouped by size into batches of fixed shape; which others share a
    batch changes a row by float32 rounding at most.

    Args:
      encoder: a network (`load_model`) or a host function (`as_encoder`).
      structures: what to embed; ids must be unique.
      layer: layer name; None for the card's default.
      pooling: pooling of node features; None for the card's default. Host encoders have neither.
      store_path: directory of a store that is written chunk by chunk. If an earlier call began it,
        only missing chunks are computed; if it is complete, nothing is.
      on_error: `"raise"` to name all structures that the encoder cannot represent, `"skip"` to
        leave them out and list them in `info["skipped"]`.
      chunk_rows: rows between two commits to the store.
      progress: whether to show progress on standard error.

    Returns:
      float32 embeddings. `info` holds layer, pooling, data set, content hash, skipped structures;
      and of this call `rows_computed`, `compilations`, `padding_waste` and `seconds`.

    Raises:
      ValueError: for an unknown layer, pooling or option, or no structures.
      UnsupportedStructureError: if structures cannot be represented and `on_error` is `"raise"`.
      NonFiniteEmbeddingError: if rows are not finite.
      EmbeddingStoreError: if `store_path` holds something else.
    """
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1: got {chunk_rows}")
    request = make_request(
        encoder.card,
        structures,
        layer=layer,
        pooling=pooling,
        on_error=on_error,
    )
    begin = time.monotonic()
    if store_path is not None and (finished := _finished(Path(store_path), request)) is not None:
        return _with_counters(finished, None, computed=0, begin=begin)
    if isinstance(encoder, Encoder):
        rows = NetworkRows(encoder, layer=request.layer, pooling=request.pooling)
    else:
        rows = HostRows(encoder, chunk_rows=chunk_rows)
    skipped = rows.prepare(request.structures, keep_going=request.skip)
    request.require_supported(skipped)
    ids = request.kept_ids({record.where for record in skipped})
    info = request.settings | _facts(rows, skipped)
    label = f"embed {encoder.card.id}"
    with Progress(label, total=len(ids), unit="structures", enabled=progress) as bar:
        if store_path is None:
            pending = [(i, min(i + chunk_rows, len(ids))) for i in range(0, len(ids), chunk_rows)]
            parts = [part for _, part in _chunks(rows, pending, ids, encoder.card, bar)]
            result = Embeddings(np.concatenate(parts), ids, encoder.card, info)
        else:
            store = create_store(
                store_path,
                ids=ids,
                width=rows.width(),
                card=encoder.card,
                info=info,
                chunk_rows=chunk_rows,
            )
            pending = store.pending()
            bar.skip(len(ids) - _count(pending))
            for start, part in _chunks(rows, pending, ids, encoder.card, bar):
                store.write(start, part)
            result = store.load()
    return _with_counters(result, rows, computed=_count(pending), begin=begin)


def stored_embeddings(
    card: ModelCard,
    structures: Sequence[Structure],
    *,
    layer: str | None = None,
    pooling: str | None = None,
    store_path: str | Path,
    on_error: str = "raise",
) -> Embeddings | None:
    """Finished embeddings, from the store alone: no weights are fetched or opened.

    Args:
      card: card of the encoder.
      structures: what was to be embedded.
      layer: as in `embed_structures`; must be None for host functions.
      pooling: as in `embed_structures`; must be None for host functions.
      store_path: the store.
      on_error: as in `embed_structures`.

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
    finished = _finished(Path(store_path), request)
    if finished is None:
        return None
    return _with_counters(finished, None, computed=0, begin=begin)


def as_encoder(function: Any, card: ModelCard | None = None) -> Encoder | HostEncoder:
    """Makes an encoder of a user's own function.

    Args:
      function: structures → array-like `[n, d]` whose row i depends on structure i alone. An
        encoder is returned as it is.
      card: facts about it; None makes a card with the function's name and nothing else.

    Returns:
      An encoder for `embed_structures`.

    Raises:
      ValueError: if `function` is not callable, or a card is given for an encoder that has one.
    """
    if isinstance(function, Encoder | HostEncoder):
        if card is not None:
            raise ValueError(
                f"encoder {function.card.id!r} has a card already; do not pass another"
            )
        return function
    if not callable(function):
        raise ValueError(
            f"an encoder must be a function of a list of structures: got {type(function).__name__}"
        )
    if card is None:
        name = getattr(function, "__name__", type(function).__name__)
        card = ModelCard(id=name, name=name, family="", modality="", pretrained=True)
    # A card that a user wrote need not know that functions have no pooling.
    card = dataclasses.replace(card, pooling="none")
    return HostEncoder(card=card, embed=lambda structures: _as_rows(function(structures)))


def _as_rows(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an encoder must return an array of numbers [n, d]: {error}") from error


def _finished(path: Path, request: Request) -> Embeddings | None:
    """The content of a store that holds what is asked for; None if rows may have to be computed."""
    if not (path / MANIFEST).exists():
        return None
    store = open_store(path)
    try:
        return store.load() if request.is_answered_by(store) else None
    except EmbeddingStoreError:
        return None  # a damaged chunk: resuming computes it again


def _facts(rows: NetworkRows | HostRows, skipped: Sequence[SkippedStructure]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "skipped": [{"id": record.where, "reason": record.reason} for record in skipped]
    }
    if rows.unknown_tokens:
        facts["unknown_tokens"] = rows.unknown_tokens
    return facts


def _count(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)


def _chunks(
    rows: NetworkRows | HostRows,
    pending: Sequence[tuple[int, int]],
    ids: Sequence[str],
    card: ModelCard,
    bar: Progress,
) -> Iterator[tuple[int, np.ndarray]]:
    for start, stop in pending:
        values = rows.compute(start, stop, bar.advance)
        bad = [ids[start + row] for row in np.flatnonzero(~np.isfinite(values).all(axis=1))]
        if bad:
            raise NonFiniteEmbeddingError(
                f"encoder {card.id!r} gave NaN or infinity for {len(bad)} structures "
                f"({', '.join(bad[:SHOWN_IDS])}{', …' if len(bad) > SHOWN_IDS else ''}); "
                "leave them out, or choose another layer or pooling"
            )
        yield start, values


def _with_counters(
    result: Embeddings, rows: NetworkRows | HostRows | None, *, computed: int, begin: float
) -> Embeddings:
    counters = {
        "rows_computed": computed,
        "compilations": rows.compilations if rows else 0,
        "padding_waste": rows.padding_waste if rows else 0.0,
        "seconds": time.monotonic() - begin,
    }
    return dataclasses.replace(result, info={**result.info, **counters})
