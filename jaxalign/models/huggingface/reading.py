"""How a structure becomes the text of a model: defaults of its architecture, settings of the user.

What the files of a model do not tell may be stated, in `config` or behind a `?` in the id:

    input           smiles, selfies or sequence: what of a structure is read. Without it ESM, ESM C
                    and T5 read the sequence, a small vocabulary with the symbols of SELFIES is fed
                    with these, and all others are fed with SMILES.
    prompt          text around the input, which stands in it as {smiles}, {selfies} or {sequence}.
    special_tokens  keep or drop: whether pooling runs over special tokens too. Protein networks
                    drop them, as their authors do; then pooling "cls" finds no token.
    separator       text between the letters of a sequence: a blank for BERT, ALBERT and T5, as the
                    protein networks of these kinds were trained, and nothing for the others.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign.models.huggingface.architectures import Architecture
from jaxalign.models.huggingface.tokenizer import reads_selfies
from jaxalign.models.language.text_views import VIEWS
from jaxalign.models.weight_files.weights import WeightsError

_SETTINGS = ("input", "prompt", "special_tokens", "separator")
_FOLD_TOKEN = "<AA2fold>"  # tells ProstT5 that residues follow, and no letters of its structures


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is read, and which tokens are pooled.

    Attributes:
      view: key of `text_views.VIEWS`.
      prompt: text around it, or None.
      keep_special: whether pooling runs over special tokens too.
      separator: text between its letters.
    """

    view: str
    prompt: str | None
    keep_special: bool
    separator: str

    def notes(self) -> str:
        """For the card."""
        names = {"smiles": "RDKit's canonical SMILES", "selfies": "SELFIES of the canonical SMILES"}
        text = f"Input: {names.get(self.view, 'the residue sequence')}"
        if self.separator:
            text += f", letters joined by {self.separator!r}"
        if self.prompt is not None:
            text += f", in the prompt {self.prompt!r}"
        pooled = (
            "all tokens, special ones included"
            if self.keep_special
            else "the tokens that are no special ones, so that pooling 'cls' finds none (NaN)"
        )
        return f"{text}. Pooling runs over {pooled}."


def read_settings(config: Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    """Settings as they are given: by name, as the path of a JSON file, or not at all.

    Raises:
      WeightsError: if the file cannot be read, or holds no object.
    """
    if config is None or isinstance(config, Mapping):
        return dict(config or {})
    try:
        content = json.loads(Path(config).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read the settings {config}: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"the settings {config} hold a {type(content).__name__}, no object")
    return content


def choose_reading(
    config: Mapping[str, Any], architecture: Architecture, tokenizer: Any
) -> Reading:
    """Settings of the user, and defaults where nothing is said.

    Args:
      config: settings; see the module's text.
      architecture: with its defaults.
      tokenizer: a `tokenizers.Tokenizer`, whose vocabulary may tell more.

    Returns:
      The reading.

    Raises:
      WeightsError: if a setting is unknown or makes no sense.
    """
    unknown = [str(name) for name in config if name not in _SETTINGS]
    if unknown or not all(isinstance(value, str) for value in config.values()):
        raise WeightsError(
            f"the settings {dict(config)!r:.200} are not understood; known are "
            f"{', '.join(_SETTINGS)}, each with a text"
        )
    guessed = architecture.view
    if guessed == "smiles" and reads_selfies(tokenizer):
        guessed = "selfies"
    view = _one_of(VIEWS, "input", config.get("input", guessed))
    kept = "keep" if architecture.special_tokens else "drop"
    kept = _one_of(("keep", "drop"), "special_tokens", config.get("special_tokens", kept))
    prompt = config.get("prompt")
    if prompt is None and view == "sequence" and tokenizer.token_to_id(_FOLD_TOKEN) is not None:
        prompt = f"{_FOLD_TOKEN} {{sequence}}"
    if prompt is not None and prompt.count(f"{{{view}}}") != 1:
        raise WeightsError(f"the prompt {prompt!r:.200} must hold {{{view}}} once")
    usual = architecture.separator if view == "sequence" else ""
    return Reading(view, prompt, kept == "keep", config.get("separator", usual))


def _one_of(known: Any, name: str, value: str) -> str:
    if value not in known:
        raise WeightsError(f"{name} = {value!r:.80} is not understood; pass {' or '.join(known)}")
    return value
