"""Writes a data file together with a sidecar that says where it comes from and what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.archives.fetch import Archive


def field(meaning: str, *, unit: str | None = None) -> dict[str, str | None]:
    return {"meaning": meaning, "unit": unit}


def write_with_sidecar(
    path: Path,
    columns: Mapping[str, np.ndarray],
    *,
    archive: Archive,
    entries: Sequence[str],
    selection: str,
    script: str,
    fields: Mapping[str, Mapping[str, str | None]],
) -> None:
    with atomic_write(path) as file:
        np.savez_compressed(file, **columns)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar = {
        "file": path.name,
        "sha256": digest,
        "source": {
            "package": archive.package,
            "version": archive.version,
            "archive": archive.filename,
            "archive_sha256": archive.sha256,
            "entries": list(entries),
        },
        "selection": selection,
        "licence": archive.licence,
        "citation": archive.citation,
        "script": script,
        "fields": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape), **fields[name]}
            for name, array in columns.items()
        },
    }
    write_json(path.with_suffix(".json"), sidecar)
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {digest}")
