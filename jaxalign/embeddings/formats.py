"""Embedding files in and out: of one model, or of many with facts from a `models.csv`."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxalign.embeddings.array_files import (
    EXTENSIONS,
    EmbeddingFileError,
    read_embeddings,
    write_embeddings,
)
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.manifest import MANIFEST, is_store
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.sources import StoredEmbeddings

__all__ = [
    "EmbeddingFileError",
    "read_embedding_collection",
    "read_embeddings",
    "write_embeddings",
]

TABLE = "models.csv"

# Column of models.csv (case, blanks and underscores do not matter) → field of the model card, but
# for the color, which is kept in `info`.
_FIELDS = {
    "label": "name",
    "family": "family",
    "modality": "modality",
    "training data": "training_data",
    "pretrained": "pretrained",
    "color": "color",
    "colour": "color",
}
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_embedding_collection(
    paths: Sequence[str | Path] | str | Path, *, in_memory: bool = True
) -> dict[str, Embeddings | StoredEmbeddings]:
    """Reads the embeddings of many models.

    A directory stands for all its `.npy` and `.npz` files and embedding stores, sorted by name. A
    `models.csv` beside the files adds facts to their cards: columns `id` (the label) and any of
    `label`, `family`, `modality`, `training data`, `pretrained`, `color`; other columns and rows of
    other models are left alone.

    Args:
      paths: files, store directories, or directories of such; stores and folders of stores may be
        remote (`gs://bucket/path`, `s3://bucket/path`), files and `models.csv` are local.
      in_memory: see `read_embeddings`.

    Returns:
      label → embeddings; the label is the file's stem or the store's directory name, and the id of
      the card. A color goes into `info["color"]`, path or URL into `info["location"]`.

    Raises:
      EmbeddingFileError: for an unreadable file, a directory without embeddings, two files of one
        label, or a malformed `models.csv`.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[str, Location] = {}
    for place in (member for given in paths for member in _members(Location(given))):
        label = _label(place)
        if label in found:
            raise EmbeddingFileError(
                f"two inputs have the label {label!r}: {found[label]} and {place}; rename one"
            )
        found[label] = place
    if not found:
        raise EmbeddingFileError("no embeddings were given; pass files or a directory of files")
    folders = {Path(place.path).parent for place in found.values() if not place.remote}
    tables = {folder: _read_table(folder / TABLE) for folder in folders}
    return {
        label: _describe(
            read_embeddings(place.path, in_memory=in_memory),
            place,
            label,
            {} if place.remote else tables[Path(place.path).parent].get(label, {}),
        )
        for label, place in found.items()
    }


def _label(place: Location) -> str:
    if place.remote or Path(place.path).is_dir():
        return place.name
    return Path(place.path).stem


def _members(place: Location) -> Iterator[Location]:
    if place.remote:
        yield from _remote_members(place)
        return
    path = Path(place.path)
    if not path.is_dir() or is_store(place):
        yield place
        return
    entries = sorted(path.iterdir())
    pickles = [entry.name for entry in entries if entry.suffix.lower() in _PICKLES]
    if pickles:
        raise EmbeddingFileError(
            f"{path}: {pickles[:5]} are pickles, and opening a pickle runs whatever code it holds; "
            "save their arrays with numpy.save, or move them away"
        )
    members = [
        Location(entry)
        for entry in entries
        if (entry.is_dir() and is_store(Location(entry)))
        or (entry.is_file() and entry.suffix.lower() in EXTENSIONS)
    ]
    if not members:
        raise EmbeddingFileError(
            f"{path}: holds no {' or '.join(EXTENSIONS)} file and no embedding store; pass the "
            "directory that does"
        )
    yield from members


def _remote_members(place: Location) -> Iterator[Location]:
    if is_store(place):
        yield place
        return
    members = [name for name in place.entries() if is_store(place / name)]
    if not members:
        raise EmbeddingFileError(
            f"{place}: no embedding store (no {MANIFEST}) is there or in a folder there; files "
            f"like {EXTENSIONS[0]} are read from local paths alone"
        )
    yield from (place / name for name in members)


def _describe(embeddings: Any, place: Location, label: str, row: Mapping[str, Any]) -> Any:
    facts = dict(row)
    info = {**embeddings.info, "location": str(place)}
    info |= {"color": facts.pop("color")} if "color" in facts else {}
    card = dataclasses.replace(embeddings.card, **{**facts, "id": label})
    return dataclasses.replace(embeddings, card=card, info=info)


def _read_table(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of a `models.csv` by id, empty cells left out; no file is an empty table."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmbeddingFileError(f"{path}: not a readable csv file ({error})") from error
    table: dict[str, dict[str, Any]] = {}
    for number, raw in enumerate(rows):
        row = _parse_row(path, number, raw)
        identifier = row.pop("id")
        if identifier in table:
            raise EmbeddingFileError(f"{path}: two rows have the id {identifier!r}; drop one")
        table[identifier] = row
    return table


def _parse_row(path: Path, number: int, raw: Mapping[str, Any]) -> dict[str, Any]:
    cells = {
        " ".join(column.lower().replace("_", " ").split()): text.strip()
        for column, text in raw.items()
        if isinstance(text, str)  # surplus cells come as a list
    }
    if not cells.get("id"):
        raise EmbeddingFileError(
            f"{path}: row {number} has no id; the columns are {sorted(cells)}, and 'id' must hold "
            "the name of the embedding file without its extension"
        )
    row: dict[str, Any] = {"id": cells["id"]}
    row |= {field: cells[name] for name, field in _FIELDS.items() if cells.get(name)}
    if "pretrained" in row:
        if row["pretrained"].lower() not in _TRUTH:
            raise EmbeddingFileError(
                f"{path}: pretrained of {row['id']!r} must be true or false: {row['pretrained']!r}"
            )
        row["pretrained"] = _TRUTH[row["pretrained"].lower()]
    return row
