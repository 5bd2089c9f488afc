"""Models as they come from the user → arrays over the same structures in the same order."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.embeddings.record import Embeddings, order_hash
from jaxalign.embeddings.sources import (
    ArrayRows,
    Readable,
    SelectedRows,
    StoredEmbeddings,
    scan,
)
from jaxalign.models.card import ModelCard
from jaxalign.parallel.multihost import require_agreement
from jaxalign.types import Labels
from jaxalign.validation import check_matrix, name_nonfinite

_COMPARED_ROWS = 32  # of every model, that all processes of a run must see alike
NONFINITE = ("error", "drop", "nan")


@dataclasses.dataclass(frozen=True, eq=False)
class ModelInput:
    """One model's embeddings of the common structures.

    Attributes:
      name: label in results.
      rows: `[n, d]` in the dtype that came; read in blocks.
      digest: SHA-256 of dtype, shape and bytes: part of the key of everything derived.
      card: facts about the model.
      reason: why this model cannot be scored; "" if it can.
    """

    name: str
    rows: Readable
    digest: str
    card: ModelCard
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """All models over common ids.

    Attributes:
      models: one entry a model.
      ids: common sample ids, in the order of the first model.
      groups: one label a structure, or None.
      strata: one label a structure within which permutations are restricted, or None.
      dataset: name of the data set where the embeddings state one common name.
      matching: what was dropped or reordered to get here.
    """

    models: tuple[ModelInput, ...]
    ids: tuple[str, ...]
    groups: tuple | None
    dataset: str
    matching: dict[str, Any]
    strata: tuple | None = None


def collect_inputs(
    models: Mapping[Any, Any],
    *,
    ids: Labels | None,
    groups: Labels | Mapping[str, Any] | None,
    on_nonfinite: str,
    strata: Labels | Mapping[str, Any] | None = None,
) -> Inputs:
    """Matches models by sample id and settles what happens to non-finite rows.

    Args:
      models: label → array `[n, d]` or `Embeddings`.
      ids: ids of the rows of plain arrays.
      groups: one label a row of the first model, or id → label.
      on_nonfinite: `"error"`, `"drop"` (the rows, from all models) or `"nan"` (the model's scores).
      strata: likewise, for restricted permutations.

    Returns:
      Arrays over the common ids.

    Raises:
      ValueError: too few models, unequal lengths without ids, no common id, non-finite rows.
      DisagreementError: the processes of one run do not see the same embeddings.
    """
    if on_nonfinite not in NONFINITE:
        raise ValueError(f"on_nonfinite must be one of {NONFINITE}: got {on_nonfinite!r}")
    if not isinstance(models, Mapping):
        raise ValueError(f"models must map labels to arrays: got {type(models).__name__}")
    if len({str(name) for name in models}) < len(models):
        raise ValueError(f"labels must differ as text: got {list(models)}")
    if len(models) < 2:
        raise ValueError(f"align needs at least 2 models: got {len(models)} ({list(models)})")
    records = {str(name): _as_record(str(name), x, ids) for name, x in models.items()}
    require_agreement(
        **{f"embeddings of {name!r}": _fingerprint(record) for name, record in records.items()}
    )
    _check_implicit(records)
    common, matching = _common_ids(records)
    first = next(iter(records.values()))
    labels = {
        name: _match_labels(name, given, first, common)
        for name, given in (("groups", groups), ("permute_within", strata))
    }
    rows = {name: _reorder(record, common) for name, record in records.items()}
    common, labels, rows, digests, reasons = _settle_nonfinite(
        rows, common, labels, matching, on_nonfinite
    )
    inputs = tuple(
        ModelInput(name, rows[name], digests[name], records[name].card, reasons.get(name, ""))
        for name in records
    )
    groups, strata = labels.values()
    return Inputs(inputs, common, groups, _dataset_name(records), matching, strata)


def _as_record(name: str, x: Any, ids: Labels | None) -> StoredEmbeddings:
    if isinstance(x, StoredEmbeddings):
        return x
    if isinstance(x, Embeddings):
        values = check_matrix(x.values, name=f"embeddings of {name!r}")
        return StoredEmbeddings(ArrayRows(values), x.ids, x.card, x.info)
    values = check_matrix(x, name=f"embeddings of {name!r}")
    implicit = ids is None
    names = tuple(map(str, range(len(values)) if implicit else ids))
    card = ModelCard(id=name, name=name, family="", modality="", pretrained=True)
    if not implicit:
        Embeddings(values, names, card)  # one id a row, each once
    return StoredEmbeddings(ArrayRows(values), names, card, {"implicit_ids": implicit})


def _fingerprint(record: StoredEmbeddings) -> str:
    """What processes compare before they work: ids and shape, and the bytes of a few rows."""
    n, d = record.raw.shape
    few = np.unique(np.linspace(0, n - 1, _COMPARED_ROWS).astype(np.int64)) if n else np.arange(0)
    values = np.ascontiguousarray(record.raw.take(few))
    state = hashlib.sha256(f"{n}x{d} {values.dtype.str} {record.order_hash}".encode())
    state.update(values.tobytes())
    return state.hexdigest()[:16]


def _check_implicit(records: Mapping[str, StoredEmbeddings]) -> None:
    """Rows without ids can only be matched by position, so all lengths must agree."""
    unnamed = {n: len(r) for n, r in records.items() if r.info.get("implicit_ids")}
    if not unnamed:
        return
    if len(unnamed) < len(records):
        named = sorted(set(records) - set(unnamed))
        raise ValueError(
            f"models {sorted(unnamed)} have no sample ids, but {named} have: their rows cannot be "
            "matched; give ids to all (ids=…, an 'ids' array in .npz, or a .ids.txt file)"
        )
    if len(set(unnamed.values())) > 1:
        raise ValueError(
            f"arrays without ids must have equal length: got {unnamed}; pass Embeddings with ids, "
            "and models are compared on the ids they have in common"
        )


def _common_ids(records: Mapping[str, StoredEmbeddings]) -> tuple[tuple[str, ...], dict[str, Any]]:
    first = next(iter(records.values()))
    shared = set(first.ids).intersection(*(r.ids for r in records.values()))
    common = tuple(i for i in first.ids if i in shared)
    if not common:
        sizes = {name: len(r) for name, r in records.items()}
        raise ValueError(
            f"the models have no sample id in common (rows: {sizes}; first ids: "
            f"{ {n: r.ids[0] for n, r in records.items()} }); embed the same structures, or rename"
        )
    target = order_hash(common)
    dropped = {n: len(r) - len(common) for n, r in records.items() if len(r) > len(common)}
    reordered = [n for n, r in records.items() if n not in dropped and r.order_hash != target]
    if dropped:
        warnings.warn(
            f"models are compared on the {len(common)} ids they share; rows left out: {dropped}",
            stacklevel=4,
        )
    return common, {"n_common": len(common), "dropped_rows": dropped, "reordered": reordered}


def _match_labels(
    name: str, labels, first: StoredEmbeddings, common: tuple[str, ...]
) -> tuple | None:
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        if len(labels) != len(first):
            raise ValueError(
                f"{name} must hold one label a row of the first model: got {len(labels)}, wanted "
                f"{len(first)}; or pass a mapping from id to label"
            )
        labels = dict(zip(first.ids, labels, strict=True))
    missing = [i for i in common if i not in labels]
    if missing:
        raise ValueError(f"{name} names no label for {len(missing)} ids, e.g. {missing[:3]}")
    return tuple(labels[i] for i in common)


def _reorder(record: StoredEmbeddings, common: tuple[str, ...]) -> Readable:
    if record.ids == common:
        return record.raw
    row = {identifier: i for i, identifier in enumerate(record.ids)}
    return SelectedRows(record.raw, np.array([row[i] for i in common]))


def _settle_nonfinite(rows, common, labels, matching, on_nonfinite):
    digests, bad = {}, {}
    for name, source in rows.items():
        digests[name], bad[name] = scan(source)
    matching["nonfinite_rows"] = {name: int(b.sum()) for name, b in bad.items() if b.any()}
    reasons: dict[str, str] = {}
    if not matching["nonfinite_rows"]:
        return common, labels, rows, digests, reasons
    if on_nonfinite == "error":
        for name, found in bad.items():
            name_nonfinite(found, name=f"embeddings of {name!r}", ids=common)
    elif on_nonfinite == "nan":
        reasons = {n: f"{c} non-finite rows" for n, c in matching["nonfinite_rows"].items()}
    else:
        keep = ~np.any(list(bad.values()), axis=0)
        if not keep.any():
            raise ValueError("every structure is non-finite in some model: nothing is left")
        common = tuple(i for i, kept in zip(common, keep, strict=True) if kept)
        labels = {
            name: given and tuple(g for g, kept in zip(given, keep, strict=True) if kept)
            for name, given in labels.items()
        }
        rows = {name: SelectedRows(source, np.flatnonzero(keep)) for name, source in rows.items()}
        digests = {name: scan(source)[0] for name, source in rows.items()}
        matching["dropped_nonfinite"] = int((~keep).sum())
    return common, labels, rows, digests, reasons


def _dataset_name(records: Mapping[str, StoredEmbeddings]) -> str:
    names = {str(r.info.get("dataset", "")) for r in records.values()}
    return names.pop() if len(names) == 1 else ""
