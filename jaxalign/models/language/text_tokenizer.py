"""Structure → token ids through a tokenizer of the package `tokenizers`.

tokenizer = TextTokenizer.from_json(data, view="smiles", max_tokens=512)
example = tokenizer.featurize(structure)     # ids, special, unknown, truncated
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.models.language.text_views import VIEWS, check_view, strings_module
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

MAX_TOKENIZER_BYTES = 2**26  # the largest in common use have 35 MB
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")
_BLANKS = frozenset(" ĠĊ▁\n")  # also as byte-level and SentencePiece vocabularies write them


class TextTokenizer:
    """Turns one view of a structure into token ids.

    Cutting and padding that a tokenizer has stored with it are switched off: a SMILES is never cut
    (half a molecule is another molecule), a sequence is cut at its end if it has more than
    `max_tokens` tokens, and the number of tokens that this costs is stated.

    Args:
      tokenizer: a `tokenizers.Tokenizer`.
      view: what is read: a key of `text_views.VIEWS`.
      max_tokens: positions that the network has, special tokens included; None for no limit.
      prompt: text around the view, which stands in it as `{view}` (`{smiles}`, `{sequence}` or
        `{selfies}`); None for the view alone.
      separator: text between the letters of the view.

    Raises:
      ValueError: for an unknown view, or a prompt without it.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        view: str,
        max_tokens: int | None = None,
        prompt: str | None = None,
        separator: str = "",
    ):
        self._view, self._max_tokens, self._separator = check_view(view), max_tokens, separator
        self._before, self._after = _split_prompt(prompt, view)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._unknown = _unknown_id(tokenizer)
        self._drops = getattr(tokenizer.model, "unk_token", "") is None
        # Brackets only separate the symbols of SELFIES; a vocabulary may leave them out.
        bare = view == "selfies" and not any("[" in token for token in tokenizer.get_vocab())
        self._ignored = frozenset("[]" if bare else "")
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(n for n, t in added.items() if t.special and n != self._unknown)

    @classmethod
    def from_json(cls, data: bytes, *, view: str, **settings: Any) -> TextTokenizer:
        """Reads a tokenizer.json.

        Args:
          data: content of the file.
          view: as for the class.
          **settings: further arguments of the class.

        Returns:
          The tokenizer.

        Raises:
          JaxalignError: if the data are too long or no tokenizer, or `tokenizers` is missing.
        """
        return cls(parse_tokenizer(data), view=view, **settings)

    def encode(self, text: str) -> Example:
        """Token ids of one text, which must not be cut.

        Args:
          text: the view of a structure.

        Returns:
          `ids` `[tokens]` int32 with special tokens; `special` `[tokens]`, which of them are such;
          `unknown`, the number of tokens outside the vocabulary and of letters without any token;
          `truncated`, the number of tokens that were cut off at the end.

        Raises:
          UnsupportedStructureError: if it has more tokens than the network has positions and must
            not be cut, or none at all.
        """
        whole = self._before + self._separator.join(text) + self._after
        encoding = self._tokenizer.encode(whole, add_special_tokens=False)
        lost = self._dropped(whole, encoding.tokens)
        truncated = self._cut(encoding)
        encoding = self._tokenizer.post_process(encoding)
        ids = np.array(encoding.ids, np.int32)
        if not len(ids):
            raise UnsupportedStructureError(
                f"the tokenizer of this model finds no token in {text!r}"
            )
        named = [i in self._special for i in encoding.ids]
        unknown = lost + (0 if self._unknown is None else int((ids == self._unknown).sum()))
        return {
            "ids": ids,
            "special": np.array(encoding.special_tokens_mask, bool) | np.array(named, bool),
            "unknown": np.array(unknown, np.int32),
            "truncated": np.array(truncated, np.int32),
        }

    def featurize(self, structure: Structure) -> Example:
        """Token ids of a structure; see `encode`.

        Raises:
          UnsupportedStructureError: if it lacks the view, or `encode` refuses it.
        """
        return self.encode(VIEWS[self._view](structure))

    def _cut(self, encoding: Any) -> int:
        """Cuts tokens off that have no position; says how many."""
        if self._max_tokens is None:
            return 0
        room = self._max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        excess = len(encoding.ids) - room
        if excess <= 0:
            return 0
        if self._view != "sequence":
            raise UnsupportedStructureError(
                f"{self._view} of {len(encoding.ids)} tokens: the limit of this model is {room}; "
                "leave the structure out (on_error='skip')"
            )
        encoding.truncate(room)
        return excess

    def _dropped(self, text: str, tokens: list[str]) -> int:
        """Letters that a vocabulary without an unknown token lost.

        Its offsets are no help: they are counted without what was dropped.
        """
        if not self._drops:
            return 0
        letters = sum(not letter.isspace() and letter not in self._ignored for letter in text)
        covered = sum(letter not in _BLANKS for token in tokens for letter in token)
        return max(letters - covered, 0)


def parse_tokenizer(data: bytes) -> Any:
    """A `tokenizers.Tokenizer` from the content of a tokenizer.json.

    Args:
      data: content of the file.

    Returns:
      The tokenizer.

    Raises:
      JaxalignError: if the data are too long or no tokenizer, or `tokenizers` is missing.
    """
    if len(data) > MAX_TOKENIZER_BYTES:
        raise JaxalignError(
            f"a tokenizer of {len(data):,} bytes is above the limit of {MAX_TOKENIZER_BYTES:,}"
        )
    try:
        return strings_module("tokenizers").Tokenizer.from_buffer(data)
    except JaxalignError:
        raise
    except Exception as error:  # the package raises bare exceptions
        raise JaxalignError(
            f"cannot read the tokenizer ({error}); it must be the tokenizer.json that the "
            "package `tokenizers` writes"
        ) from error


def _split_prompt(prompt: str | None, view: str) -> tuple[str, str]:
    """What stands before and after the view."""
    if prompt is None:
        return "", ""
    parts = prompt.split(f"{{{view}}}")
    if len(parts) != 2:
        raise ValueError(
            f"the prompt {prompt!r} holds {{{view}}} {len(parts) - 1} times; once is wanted"
        )
    return parts[0], parts[1]


def _unknown_id(tokenizer: Any) -> int | None:
    own = getattr(tokenizer.model, "unk_token", None)
    names = (own,) if own is not None else _UNKNOWN_TOKENS
    known = (tokenizer.token_to_id(name) for name in names)
    return next((number for number in known if number is not None), None)
