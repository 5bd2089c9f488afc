"""The pieces of a SentencePiece unigram model, from the file's own encoding (protocol buffers)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PIECES, _TRAINER = 1, 2  # fields of the model
_TEXT, _SCORE = 1, 2  # fields of a piece
_KIND = 3  # field of the trainer: 1 is unigram, the default
_UNIGRAM = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_pieces(data: bytes) -> list[tuple[str, float]]:
    """Pieces and their log probabilities, in the order of their ids.

    Args:
      data: content of a `spiece.model`.

    Returns:
      (piece, score) of each id.

    Raises:
      ValueError: if the data are no unigram model.
    """
    pieces = []
    for field, value in _fields(data):
        if field == _PIECES and isinstance(value, bytes):
            facts = dict(_fields(value))
            text, score = facts.get(_TEXT), facts.get(_SCORE, b"\0\0\0\0")
            if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4:
                raise ValueError("a piece has no text")
            pieces.append((text.decode("utf-8"), struct.unpack("<f", score)[0]))
        elif field == _TRAINER and isinstance(value, bytes):
            kind = dict(_fields(value)).get(_KIND, _UNIGRAM)
            if kind != _UNIGRAM:
                raise ValueError(f"it is a model of kind {kind}, no unigram model")
    if not pieces:
        raise ValueError("it holds no pieces")
    return pieces


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message."""
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _number(data, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, place = _number(data, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"it has a field of the unknown kind {kind}")
        if place + length > len(data):
            raise ValueError("it is cut off")
        yield key >> 3, data[place : place + length]
        place += length


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        value |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return value, place
    raise ValueError("it is cut off")
