"""A folder in the Hugging Face layout as transformers runs it: its tokenizer, batches by length.

    python benchmarks/originals/huggingface.py esm2-8m bert-12x384

makes folders of these names with random weights, to be measured as `hf:esm2-8m`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

from jaxalign.models.language.tokens import canonical_smiles
from jaxalign.structures.structure import Structure

TOKENS_PER_BATCH = 2048
_PROTEINS = ("esm", "esmc", "t5")


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean of the last hidden state, as our loader pools by default.

    Structures are sorted by length, so that batches hold little padding, and tokenized batch by
    batch by the fast tokenizer of the folder.

    Args:
      model_id: `"hf:FOLDER"`; the model must be an encoder.

    Returns:
      A function that embeds structures.
    """
    folder = Path(model_id.removeprefix("hf:"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>"
    )
    model = transformers.AutoModel.from_pretrained(folder).eval()
    protein = model.config.model_type in _PROTEINS

    @torch.no_grad()
    def embed(structures: Sequence[Structure]) -> np.ndarray:
        texts = [s.sequence if protein else canonical_smiles(s.smiles) for s in structures]
        order = np.argsort([-len(text) for text in texts], kind="stable")
        rows: dict[int, np.ndarray] = {}
        start = 0
        while start < len(order):
            count = max(TOKENS_PER_BATCH // (len(texts[order[start]]) + 2), 1)
            chosen = order[start : start + count].tolist()
            start += len(chosen)
            batch = tokenizer(
                [texts[row] for row in chosen],
                padding=True,
                return_tensors="pt",
                return_special_tokens_mask=True,
            )
            special = batch.pop("special_tokens_mask").bool()
            pooled = batch["attention_mask"].bool() & (~special if protein else True)
            states = model(**batch).last_hidden_state * pooled[..., None]
            means = states.sum(1) / pooled.sum(1, keepdim=True)
            rows |= dict(zip(chosen, means.numpy(), strict=True))
        return np.stack([rows[row] for row in range(len(texts))])

    return embed


def make(name: str) -> None:
    """A folder with random weights in the sizes of ESM-2 8M, or of a BERT of 12 layers of 384.

    Args:
      name: `"esm2-8m"` or `"bert-12x384"`.
    """
    common = {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32}
    if name == "esm2-8m":
        letters = "LAGVSERTIDPKQNFYMHWCXBUZO.-"
        sizes = {"hidden_size": 320, "num_hidden_layers": 6, "num_attention_heads": 20}
        config = transformers.EsmConfig(
            **common,
            **sizes,
            intermediate_size=1280,
            position_embedding_type="rotary",
            token_dropout=True,
        )
    else:
        letters = "CNOFSPIBclnosr()[]=#@H+-/\\12345"[:27]
        sizes = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12}
        config = transformers.BertConfig(**common, **sizes, intermediate_size=1536)
    transformers.AutoModel.from_config(config).save_pretrained(name)
    words = ["<cls>", "<pad>", "<eos>", "<unk>", *letters, "<mask>"]
    numbers = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, [], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 2)]
    )
    tokenizer.save(f"{name}/tokenizer.json")


if __name__ == "__main__":
    for folder_name in sys.argv[1:]:
        make(folder_name)
