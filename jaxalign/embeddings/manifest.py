"""The manifest of an embedding store: what is in it, and which rows of it can be trusted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxalign.embeddings.commits import read_commits
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.record import order_hash
from jaxalign.models.card import ModelCard

FORMAT = "jaxalign-embeddings"
# 1: commits stand in the manifest alone. 2: unfinished stores have them in files of their own.
VERSION = 2
MANIFEST = "manifest.json"
IDS = "ids.json"

_SHOWN = 60  # characters of a differing value in messages


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Everything about a store but the numbers and the ids.

    Attributes:
      rows: number of structures.
      width: embedding width d.
      dtype: NumPy name of the stored type.
      chunk_rows: rows a chunk, the unit of committing.
      order_hash: hash of the ids in order.
      card: the encoder's card, as JSON.
      info: layer, pooling, data set and its content hash, skipped structures, …
      commits: first row of a chunk → SHA-256 of its bytes.
    """

    rows: int
    width: int
    dtype: str
    chunk_rows: int
    order_hash: str
    card: Mapping[str, Any]
    info: Mapping[str, Any]
    commits: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every chunk is committed."""
        return len(self.commits) == len(range(0, self.rows, self.chunk_rows))

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Row ranges `(start, stop)` of all chunks."""
        for start in range(0, self.rows, self.chunk_rows):
            yield start, min(start + self.chunk_rows, self.rows)

    def to_json(self) -> dict[str, Any]:
        """Content of the manifest file."""
        fields = dataclasses.asdict(self)
        fields["commits"] = {str(start): self.commits[start] for start in sorted(self.commits)}
        return {"format": FORMAT, "version": VERSION, "complete": self.complete, **fields}

    def differences(self, other: Manifest) -> list[str]:
        """How another store's identity differs: `field: mine, not theirs`, commits aside."""
        found = []
        for field in ("rows", "width", "dtype", "chunk_rows", "order_hash"):
            found += _compare(field, getattr(self, field), getattr(other, field))
        for field in ("card", "info"):
            mine, theirs = getattr(self, field), getattr(other, field)
            for key in sorted({*mine, *theirs}):
                found += _compare(f"{field}.{key}", mine.get(key), theirs.get(key))
        return found


def new_manifest(
    ids: Sequence[str],
    *,
    width: int,
    dtype: str,
    chunk_rows: int,
    card: ModelCard,
    info: Mapping[str, Any],
) -> Manifest:
    """Manifest of an empty store; card and info take the form they will have after reading."""
    return Manifest(
        rows=len(ids),
        width=int(width),
        dtype=dtype,
        chunk_rows=int(chunk_rows),
        order_hash=order_hash(ids),
        card=as_json(card.to_json()),
        info=as_json(info),
    )


def as_json(value: Any) -> Any:
    """What `value` becomes when it is written as JSON and read again (tuples → lists, …).

    Raises:
      ValueError: for values that JSON cannot hold.
    """
    try:
        return json.loads(json.dumps(value, default=_plain))
    except TypeError as error:
        raise ValueError(f"info must hold plain values: {error}") from error


def write_manifest(location: Location, manifest: Manifest) -> None:
    """Replaces the manifest file atomically."""
    location.write(MANIFEST, _encode(manifest.to_json()))


def read_manifest(location: Location) -> Manifest:
    """Reads the manifest file, and the commits that are not in it yet.

    Raises:
      EmbeddingStoreError: if there is none, it is damaged, or a newer version wrote it.
    """
    # The files first: once they move into the manifest, it has what they held.
    commits = read_commits(location)
    where = _where(location, MANIFEST)
    content = _read_json(location, MANIFEST)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EmbeddingStoreError(f"{where}: not the manifest of an embedding store")
    _check_version(where, content.get("version"))
    names = [field.name for field in dataclasses.fields(Manifest)]
    try:
        fields = {name: content[name] for name in names}
        listed = {int(start): digest for start, digest in fields["commits"].items()}
        chunks = range(0, fields["rows"], fields["chunk_rows"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(location, MANIFEST, error) from error
    commits = {start: digest for start, digest in commits.items() if start in chunks}
    return Manifest(**{**fields, "commits": listed | commits})


def write_ids(location: Location, ids: Sequence[str]) -> None:
    """Writes the ids beside the manifest, once, so that commits need not rewrite them."""
    location.write(IDS, _encode(list(ids)))


def read_ids(location: Location, expected_hash: str) -> tuple[str, ...]:
    """Reads the ids and checks them against the manifest.

    Raises:
      EmbeddingStoreError: if they are missing or not the ones the store was made for.
    """
    ids = _read_json(location, IDS)
    if not isinstance(ids, list) or not all(isinstance(entry, str) for entry in ids):
        raise _damaged(location, IDS, "not a list of ids")
    if order_hash(ids) != expected_hash:
        reason = "the ids are not those that the manifest was written for"
        raise _damaged(location, IDS, reason)
    return tuple(ids)


def is_store(location: Location) -> bool:
    """Whether a location is an embedding store."""
    return location.read(MANIFEST) is not None


def _check_version(where: str, version: Any) -> None:
    if version in range(1, VERSION + 1):
        return
    if isinstance(version, int) and version > VERSION:
        raise EmbeddingStoreError(
            f"{where}: a store written by a newer version of jaxalign (store version {version}, "
            f"this program reads up to {VERSION}); upgrade jaxalign, or embed again into another "
            "directory"
        )
    raise EmbeddingStoreError(
        f"{where}: unknown store version {version!r}, this program reads 1 to {VERSION}; embed "
        "again into another directory"
    )


def _encode(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _read_json(location: Location, name: str) -> Any:
    content = location.read(name)
    if content is None:
        raise EmbeddingStoreError(
            f"{location}: not an embedding store (there is no {name}); "
            "pass a directory that `embed` has written"
        )
    try:
        return json.loads(content)
    except ValueError as error:
        raise _damaged(location, name, error) from error


def _where(location: Location, name: str) -> str:
    return f"{location}/{name}"


def _damaged(location: Location, name: str, reason: object) -> EmbeddingStoreError:
    return EmbeddingStoreError(
        f"{_where(location, name)}: damaged ({reason}); delete the directory {location} and embed "
        "again"
    )


def _plain(value: Any) -> Any:
    # NumPy scalars and arrays have tolist, paths and other objects do not.
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a plain value")


def _compare(field: str, mine: Any, theirs: Any) -> list[str]:
    if mine == theirs or json.dumps(mine) == json.dumps(theirs):  # NaN equals NaN as text
        return []
    return [f"{field} is {_short(mine)} there, {_short(theirs)} now"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
