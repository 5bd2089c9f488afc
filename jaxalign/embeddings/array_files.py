"""One model's embeddings in a file: npy, npz, or a store (a directory, `gs://…`, `s3://…`).

| path            | values                                | ids                              |
|-----------------|---------------------------------------|----------------------------------|
| `NAME.npy`      | the array `[n, d]`                    | lines of `NAME.ids.txt` or       |
|                 |                                       | `ids.txt` beside it              |
| `NAME.npz`      | array `values`, or the only 2-D array | array `ids`, or as for npy       |
| store directory | `values/`                             | `ids.json`                       |

Without ids rows are called "0", "1", … and `info["implicit_ids"]` is True: such arrays can only be
compared row by row. float16, float32 and float64 are taken as they are; NaN rows too, since it is
for the alignment to refuse or drop them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.archives.atomic import atomic_write
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.manifest import MANIFEST, as_json, is_store
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.sources import StoredEmbeddings, stored_embeddings
from jaxalign.embeddings.store import open_store
from jaxalign.models.card import ModelCard
from jaxalign.types import JaxalignError

EXTENSIONS = (".npy", ".npz")

_FLOATS = ("float16", "float32", "float64")
_SHARED_IDS = "ids.txt"


class EmbeddingFileError(JaxalignError, ValueError):
    """A file cannot be read as embeddings."""


def read_embeddings(
    path: str | Path, *, ids: Sequence[str] | None = None, in_memory: bool = True
) -> Embeddings | StoredEmbeddings:
    """Reads the embeddings of one model.

    Args:
      path: a `.npy` or `.npz` file, or the directory or URL (`gs://…`, `s3://…`) of an embedding
        store.
      ids: ids of the rows, in place of those that the file brings.
      in_memory: False leaves the rows of `.npy` files (mapped) and of stores (`StoredEmbeddings`)
        where they are, to be read in blocks. All processes of a run must then call this together:
        each checks its share of a store.

    Returns:
      Embeddings. A file without a card gets one that names it after the file and states nothing
      else. `info` holds `source`, `dtype` and `implicit_ids`.

    Raises:
      EmbeddingFileError: with what came, what was wanted and how to mend it.
      EmbeddingStoreError: for a damaged or incomplete store.
    """
    location = Location(path)
    if location.remote or os.path.isdir(location.path):
        return _read_store(location, ids, in_memory=in_memory)
    path = Path(location.path)
    if path.suffix.lower() not in EXTENSIONS:
        raise EmbeddingFileError(
            f"{path}: embeddings are read from {', '.join(EXTENSIONS)} files and store "
            "directories; save the array with numpy.save(..., allow_pickle=False)"
        )
    arrays = _load_arrays(path, mapped=not in_memory and path.suffix.lower() == ".npy")
    values = _check_values(path, _pick_values(path, arrays))
    own = ids if ids is not None else _own_ids(path, arrays)
    info = {
        **_json_field(path, arrays, "info"),
        "source": path.name,
        "dtype": values.dtype.name,
        "implicit_ids": own is None,
    }
    card = _json_field(path, arrays, "card")
    return Embeddings(
        values=values,
        ids=_check_ids(path, own, len(values)),
        card=ModelCard.from_json(card) if card else unknown_card(path.stem),
        info=info,
    )


def write_embeddings(path: str | Path, embeddings: Embeddings) -> None:
    """Writes embeddings so that `read_embeddings` and plain NumPy can read them.

    Args:
      path: `.npz` keeps values, ids, card and info (the last two as JSON text); `.npy` keeps the
        values, and the ids in `<stem>.ids.txt` beside it.
      embeddings: what to write; values keep their dtype.

    Raises:
      ValueError: for another extension, or ids that a text file cannot hold.
      StorageError: if the place cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        text = {"card": embeddings.card.to_json(), "info": dict(embeddings.info)}
        notes = {key: np.array(json.dumps(as_json(value))) for key, value in text.items()}
        with atomic_write(path) as file:
            ids = np.array(embeddings.ids, dtype=np.str_)
            np.savez(file, values=embeddings.values, ids=ids, **notes)
    elif path.suffix.lower() == ".npy":
        lines = "".join(f"{identifier}\n" for identifier in embeddings.ids)
        if _split_ids(lines) != list(embeddings.ids):
            raise ValueError(f"{path}: ids with line breaks or outer blanks need the .npz format")
        # The ids first: values never stand beside the ids of an older file under a new name.
        with atomic_write(path.with_suffix(".ids.txt"), mode="w") as file:
            file.write(lines)
        with atomic_write(path) as file:
            np.save(file, embeddings.values, allow_pickle=False)
    else:
        raise ValueError(f"{path}: write to one of {EXTENSIONS}, got {path.suffix!r}")


def unknown_card(name: str) -> ModelCard:
    """Card of a file that tells nothing but its name; taken for a pretrained model of a user."""
    return ModelCard(id=name, name=name, family="", modality="", pretrained=True)


def _read_store(
    location: Location, ids: Sequence[str] | None, *, in_memory: bool
) -> Embeddings | StoredEmbeddings:
    if not is_store(location):
        raise EmbeddingFileError(
            f"{location}: this directory is not an embedding store (no {MANIFEST}); pass a store, "
            "or the files themselves"
        )
    store = open_store(location.path)
    facts = {"source": location.name, "dtype": store.dtype.name, "implicit_ids": False}
    if in_memory:
        found = store.load()
        found = dataclasses.replace(found, info={**found.info, **facts})
    else:
        found = stored_embeddings(store, **facts)
    return (
        found
        if ids is None
        else dataclasses.replace(found, ids=_check_ids(location.path, ids, len(found)))
    )


def _load_arrays(path: Path, *, mapped: bool) -> dict[str, np.ndarray]:
    try:
        if mapped:
            return {"values": np.load(path, mmap_mode="r", allow_pickle=False)}
        # allow_pickle=False: opening a pickled array runs whatever code it holds.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"values": loaded}
            with loaded:  # members that are no arrays come as bytes
                return {name: x for name, x in loaded.items() if isinstance(x, np.ndarray)}
    except FileNotFoundError as error:
        raise EmbeddingFileError(
            f"{path}: no such file (looked in {path.parent.resolve()})"
        ) from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise EmbeddingFileError(
                f"{path}: holds pickled objects, or is no {path.suffix} file at all; opening a "
                "pickle runs whatever code it holds, so none is opened: save a plain numeric "
                "array, e.g. np.stack(rows).astype(np.float32)"
            ) from error
        raise EmbeddingFileError(
            f"{path}: not a readable {path.suffix} file ({error}); write it again with NumPy"
        ) from error


def _pick_values(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if "values" in arrays:
        return arrays["values"]
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    if len(matrices) == 1:
        return arrays[matrices[0]]
    shapes = {name: array.shape for name, array in arrays.items()}
    raise EmbeddingFileError(
        f"{path}: expected one array named 'values', or exactly one 2-D array, among {shapes}; "
        "save it with np.savez(path, values=x, ids=ids)"
    )


def _check_values(path: Path, values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or 0 in values.shape:
        raise EmbeddingFileError(
            f"{path}: expected a non-empty array of shape [structures, width], got shape "
            f"{values.shape}; pool node features or reshape it first"
        )
    if values.dtype.newbyteorder("=").name not in _FLOATS:
        raise EmbeddingFileError(
            f"{path}: expected floating-point numbers ({', '.join(_FLOATS)}), got dtype "
            f"{values.dtype}; convert the array, e.g. x.astype(np.float32)"
        )
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def _own_ids(path: Path, arrays: dict[str, np.ndarray]) -> Sequence[str] | None:
    if "ids" in arrays:
        found = arrays["ids"]
        if found.ndim != 1 or found.dtype.kind not in "USiu":
            raise EmbeddingFileError(
                f"{path}: ids must be a 1-D array of strings or integers, got shape {found.shape} "
                f"of {found.dtype}"
            )
        return [
            entry.decode() if isinstance(entry, bytes) else str(entry) for entry in found.tolist()
        ]
    for beside in (path.with_suffix(".ids.txt"), path.parent / _SHARED_IDS):
        if beside.is_file():
            return _split_ids(beside.read_text(encoding="utf-8-sig"))
    return None


def _split_ids(text: str) -> list[str]:
    return [line.strip() for line in text.rstrip().splitlines()]


def _check_ids(path: str | Path, ids: Sequence[str] | None, rows: int) -> tuple[str, ...]:
    if ids is None:
        return tuple(str(row) for row in range(rows))
    if len(ids) != rows:
        raise EmbeddingFileError(
            f"{path}: {rows} rows but {len(ids)} ids; give one id a row, in the order of the rows"
        )
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if not identifier or identifier in first:
            what = (
                f"{identifier!r} names rows {first[identifier]} and" if identifier else "empty in"
            )
            raise EmbeddingFileError(
                f"{path}: ids must be unique and not empty, but one is: {what} row {row}; "
                "rename or drop one"
            )
        first[identifier] = row
    return tuple(ids)


def _json_field(path: Path, arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    if name not in arrays or arrays[name].dtype.kind != "U" or arrays[name].ndim:
        return {}
    try:
        return dict(json.loads(str(arrays[name])))
    except (ValueError, TypeError) as error:
        raise EmbeddingFileError(
            f"{path}: {name!r} is not a JSON object ({error}); leave it out"
        ) from error
