"""The public verbs, composed from the rooms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jaxalign.alignment.align import align as align
from jaxalign.alignment.results import Alignment
from jaxalign.alignment.results import load as load
from jaxalign.embeddings.extract import as_encoder, embed_structures, stored_embeddings
from jaxalign.embeddings.formats import read_embeddings as read_embeddings
from jaxalign.embeddings.record import Embeddings as Embeddings
from jaxalign.guard import require_sound_jax
from jaxalign.models.card import ModelCard as ModelCard
from jaxalign.models.registry import load_model, model_entry
from jaxalign.pairwise.neighbors import neighbors as neighbors
from jaxalign.structures.datasets import load_dataset as load_dataset
from jaxalign.structures.readers import read_structures as read_structures
from jaxalign.structures.structure import Structure as Structure
from jaxalign.structures.structure import StructureSet as StructureSet
from jaxalign.types import Neighbors as Neighbors
from jaxalign.types import Score as Score


def embed(
    model: str | Callable,
    structures: StructureSet,
    *,
    layer: str | None = None,
    pooling: str | None = None,
    card: ModelCard | None = None,
    store: str | Path | None = None,
    on_error: str = "raise",
    progress: bool = False,
) -> Embeddings:
    """Embeds structures with a registered encoder, or with one's own function.

    Args:
      model: registry id (`jaxalign models list`), or a function from a list of structures to an
        `[n, d]` array whose row i depends on structure i alone.
      structures: what to embed; `jaxalign.read_structures` or `jaxalign.load_dataset`.
      layer: hidden layer by name; None for the card's default.
      pooling: `"mean"`, `"sum"`, `"max"`, `"cls"` or `"cumulants"`; None for the card's default.
      card: facts about one's own function.
      store: folder for the embeddings; an interrupted call resumes there, and a finished one is
        read back without fetching or opening weights.
      on_error: `"raise"`, or `"skip"` structures that the encoder cannot represent (they are listed
        in `info["skipped"]`).
      progress: print progress lines to standard error.

    Returns:
      `Embeddings` with values `[n, d]` float32, ids and card.

    Raises:
      ValueError: unknown model, layer or pooling, close matches named.
      UnsupportedStructureError: an encoder cannot represent some structures (named).
      ArchiveError: weights can neither be found in the cache nor fetched.
    """
    require_sound_jax()
    if isinstance(model, str) and store is not None:
        finished = stored_embeddings(
            model_entry(model).card,
            structures,
            layer=layer,
            pooling=pooling,
            store_path=store,
            on_error=on_error,
        )
        if finished is not None:
            return finished
    encoder = load_model(model) if isinstance(model, str) else as_encoder(model, card=card)
    return embed_structures(
        encoder,
        structures,
        layer=layer,
        pooling=pooling,
        store_path=store,
        on_error=on_error,
        progress=progress,
    )


def write_report(
    alignment: Alignment | str | Path, folder: str | Path, *, title: str | None = None
) -> Path:
    """Writes the HTML report of an alignment.

    Args:
      alignment: an `Alignment`, or a workdir that holds one.
      folder: where `index.html` and its pictures go.
      title: heading of the page.

    Returns:
      Path of `index.html`.

    Raises:
      MissingExtraError: the `report` extra is not installed.
    """
    # The report needs matplotlib and jinja2, which are an extra: imported where they are used.
    from jaxalign.report import page

    loaded = alignment if isinstance(alignment, Alignment) else load(alignment)
    return page.write_report(loaded, folder, title=title)
