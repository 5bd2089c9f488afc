"""The SCEPTR variants as their own package runs them on torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources

import numpy as np
import torch
from libtcrlm.config_reader import ConfigReader
from libtcrlm.schema.tcr import Tcr, Tcrv
from torch.nn.utils.rnn import pad_sequence

from jaxalign.models.sceptr.catalog_sceptr import VARIANTS
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 512  # the default of the package
_SAVES = "sceptr._model_saves"


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → [CLS] of the last layer, or mean of the last but one.

    As its `Sceptr` class does it, but without the check that the sequence is a loop of a receptor,
    and without scaling rows to length one.

    Args:
      model_id: a variant, e.g. `"sceptr-cdr3-only"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    known = {variant.id: variant for variant in VARIANTS}
    if model_id not in known:
        raise ValueError(f"SCEPTR has no model {model_id!r} with an original: {', '.join(known)}")
    variant = known[model_id]
    folder = resources.files(_SAVES) / variant.folder
    reader = ConfigReader(json.loads((folder / "config.json").read_text()))
    model, tokeniser = reader.get_bert().eval(), reader.get_tokeniser()
    with (folder / "state_dict.pt").open("rb") as file:
        model.load_state_dict(torch.load(file, weights_only=True))
    limit, pools = variant.config.positions, variant.config.pools_residues
    nothing = Tcrv(None, None)

    def receptor(structure: Structure) -> Tcr:
        letters = structure.sequence[:limit].replace("X", "*")
        alpha, beta = (letters, None) if variant.chain == "alpha" else (None, letters)
        return Tcr(nothing, alpha, nothing, beta)

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        rows = []
        for start in range(0, len(structures), STRUCTURES_PER_BATCH):
            chosen = structures[start : start + STRUCTURES_PER_BATCH]
            tokens = pad_sequence(
                [tokeniser.tokenise(receptor(s)) for s in chosen], batch_first=True
            )
            x, padding = model._embed(tokens), model._get_padding_mask(tokens)
            stack = model._self_attention_stack
            if not pools:
                rows.append(stack.forward(x, padding)[:, 0].numpy())
                continue
            states = stack.get_token_embeddings_at_penultimate_layer(x, padding)[:, 1:]
            mask = ~padding[:, 1:, None]
            rows.append(((states * mask).sum(1) / mask.sum(1)).numpy())
        return np.concatenate(rows)

    return embed
