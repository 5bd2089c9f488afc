"""The result of an alignment: a tidy table, labelled matrices, and where they came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.plan import GraphSettings
from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.embeddings.sources import Readable, model_rows
from jaxalign.metrics._definition import ModelMetric, RankMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.ranks import rank_rows
from jaxalign.pairwise.shared_edges import shared_edges
from jaxalign.parallel.multihost import is_primary_process, wait_for_all
from jaxalign.types import JaxalignError

COLUMNS = (
    *("dataset", "model_a", "model_b", "metric", "variant", "value"),
    *("calibrated", "null_mean", "z", "p", "q", "ci_low", "ci_high", "null"),
    *("n", "k", "normalization", "dtype", "precision", "seed", "versions"),
    "reason",
)
FOLDER = "alignment"


class ResultError(JaxalignError):
    """A stored result is absent, incomplete or damaged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """Scores of all pairs of models under several metrics.

    Attributes:
      table: one row a (model_a, model_b, metric), diagonal included; directed metrics have both
        orders. Columns: `COLUMNS`; NaN where a quantity was not computed.
      cards: facts about each model, by label.
      diagnostics: n, ids, per-model diagnostics, devices, tile size, precision, versions, work
        done and reused, seconds per stage.
      graphs: neighbor graphs, for `contributions`.
      rows: embeddings by model, for contributions that need them; empty in a loaded result.
      best_layers: pairs of encoders by their best layers, where `encoders` were named.
    """

    table: pd.DataFrame
    cards: Mapping[str, ModelCard]
    diagnostics: Mapping[str, Any]
    graphs: GraphCache = dataclasses.field(repr=False)
    rows: Mapping[str, Readable] = dataclasses.field(default_factory=dict, repr=False)
    best_layers: pd.DataFrame | None = dataclasses.field(default=None, repr=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metric ids in the order they were asked for."""
        return tuple(self.diagnostics["metrics"])

    @property
    def models(self) -> tuple[str, ...]:
        """Model labels in the order they came."""
        return tuple(self.cards)

    def matrix(self, metric: str, *, k: int | None = None, column: str = "value") -> xr.DataArray:
        """Scores as a labelled matrix; directed metrics read model_a → model_b.

        Args:
          metric: one of `metrics`.
          k: which k, of a metric that was computed for several; None means the first.
          column: a numeric column of the table: `"value"`, `"calibrated"`, `"z"`, `"q"`, …

        Returns:
          `[model_a, model_b]` float64; the diagonal is each model's score with itself. A metric of
          single models has its values on the diagonal, and NaN elsewhere.

        Raises:
          ValueError: the metric, or this k of it, was not computed, or there is no such column.
        """
        chosen = self._k(metric, k)
        table = self.table
        if column not in table.columns or not pd.api.types.is_float_dtype(table[column]):
            raise ValueError(
                f"column must be numeric, such as 'value' or 'calibrated': got {column!r} of "
                f"{list(table.columns)}"
            )
        rows = self.table[self.table["metric"] == metric]
        if chosen is not None:
            rows = rows[rows["k"] == chosen]
        place = {name: i for i, name in enumerate(self.models)}
        values = np.full((len(place), len(place)), np.nan)
        a, b = (rows[side].map(place).to_numpy() for side in ("model_a", "model_b"))
        values[a, b] = rows[column]
        if metric_definition(metric).symmetric:
            values[b, a] = rows[column]
        names = list(self.models)
        return xr.DataArray(
            values,
            coords={"model_a": names, "model_b": names},
            dims=("model_a", "model_b"),
            name=metric,
            attrs={"long_name": metric_definition(metric).title, "units": "1"}
            | ({} if chosen is None else {"k": chosen}),
        )

    def metadata(self, metric: str, *, k: int | None = None) -> dict[str, Any]:
        """What a reader of the scores must know: definition, range, settings, null, NaN reasons."""
        chosen = self._k(metric, k)
        definition = metric_definition(metric)
        settings = self.diagnostics["metrics"][metric]
        rows = self.table[(self.table["metric"] == metric) & (self.table["reason"] != "")]
        if chosen is not None:
            rows = rows[rows["k"] == chosen]
        reasons = {f"{r.model_a} – {r.model_b}": r.reason for r in rows.itertuples()}
        null = None
        if definition.null and not self.diagnostics["grouped"]:  # groups change what is possible
            null = definition.null(self.diagnostics["n"], chosen)
        return {
            "title": definition.title,
            "definition": definition.definition,
            "of_single_models": isinstance(definition, ModelMetric),
            "range": (definition.low, definition.high),
            "best": definition.best,
            "similarity": definition.is_similarity,
            "symmetric": definition.symmetric,
            "metric": definition.is_metric,
            "invariances": definition.invariances,
            "k": chosen,
            "normalization": settings["normalization"],
            "precision": settings.get("precision", ""),
            "null": null,
            "reasons": reasons,
        }

    def contributions(
        self, metric: str, a: str, b: str, *, k: int | None = None
    ) -> Float[np.ndarray, " n"]:
        """Per-structure contributions, whose mean is the score; order of `diagnostics["ids"]`.

        Args:
          metric: a metric whose definition is a mean over structures.
          a: first model.
          b: second model.
          k: which k, of a metric that was computed for several; None means the first.

        Raises:
          ValueError: unknown metric or model, or a metric that is no mean over rows.
          ResultError: the graph, or the embeddings that a rank metric needs, are not at hand.
        """
        chosen = self._k(metric, k)
        definition = metric_definition(metric)
        if getattr(definition, "rows", None) is None:
            raise ValueError(f"{metric} is not a mean over structures: it has no contributions")
        for name in (a, b):
            if name not in self.cards:
                raise ValueError(f"unknown model {name!r}: choose one of {list(self.cards)}")
        if isinstance(definition, RankMetric):
            return self._rank_contributions(definition, a, b, chosen)
        found = [self._graph(metric, name, chosen) for name in (a, b)]
        with jax.enable_x64(True):
            return np.asarray(jax.jit(_rows(definition))(*found))

    def _rank_contributions(self, definition: RankMetric, a: str, b: str, k: int) -> np.ndarray:
        if b not in self.rows:
            raise ResultError(
                f"contributions of {definition.id} need the embeddings of {b!r}, which a loaded "
                "result does not hold; call align with the embeddings and ask its result"
            )
        settings = self.diagnostics["metrics"][definition.id]
        ids = self._graph(definition.id, a, k).ids
        ranks = rank_rows(ids, model_rows(self.rows[b], settings["normalization"]))
        return definition.rows(ranks, len(ids), k)

    def _graph(self, metric: str, name: str, k: int) -> GraphStatistics:
        settings = self.diagnostics["metrics"][metric]
        label = GraphSettings(settings["normalization"], settings["similarity"]).label
        key = self.diagnostics["graph_keys"].get(name, {}).get(label)
        found = key and self.graphs.get(key, k=k)
        if not found:
            raise ResultError(f"no stored neighbor graph of {name!r}; run align again")
        return found[0]

    def with_facts(self, **facts: Any) -> Alignment:
        """The same result with further diagnostics (how the embeddings were made, the command)."""
        return dataclasses.replace(self, diagnostics={**self.diagnostics, **facts})

    def save(self, workdir: str | Path) -> Path:
        """Writes the result; readers see the old or the new one, never a mixture.

        Of several processes the first one writes, and the others wait for it.

        Args:
          workdir: folder; `alignment/` inside it holds table.parquet, table.csv, matrices.nc and
            alignment.json, which is written last and names the table by its hash.

        Returns:
          Path of the folder written.
        """
        folder = Path(workdir) / FOLDER
        if is_primary_process():
            self._write(folder)
        wait_for_all(f"result in {folder}")
        return folder

    def _write(self, folder: Path) -> None:
        parquet = self.table.to_parquet(index=False)
        with atomic_write(folder / "matrices.nc") as file:
            file.write(bytes(self._dataset().to_netcdf()))
        with atomic_write(folder / "table.csv", mode="w") as file:
            self.table.to_csv(file, index=False)
        _write_or_remove(folder / "best_layers.csv", self.best_layers)
        with atomic_write(folder / "table.parquet") as file:
            file.write(parquet)
        record = {
            "table_sha256": hashlib.sha256(parquet).hexdigest(),
            "cards": {name: card.to_json() for name, card in self.cards.items()},
            "diagnostics": dict(self.diagnostics),
        }
        write_json(folder / "alignment.json", record)

    def _dataset(self) -> xr.Dataset:
        # ":" separates a metric from its variant; netCDF readers want plain names.
        found = {}
        for metric in self.metrics:
            ks = self.diagnostics["metrics"][metric]["k"]
            for k in ks if isinstance(ks, list) else [None]:
                name = metric.replace(":", "_") + (f"_k{k}" if k is not None else "")
                found[name] = self.matrix(metric, k=k)
        return xr.Dataset(found)

    def _k(self, metric: str, k: int | None) -> int | None:
        """The k that is meant; None for metrics without."""
        if metric not in self.metrics:
            raise ValueError(f"{metric!r} was not computed: this result holds {self.metrics}")
        known = self.diagnostics["metrics"][metric]["k"]
        known = known if isinstance(known, list) else [known]
        if k is None:
            return known[0]
        if k not in known:
            raise ValueError(f"{metric} was computed for k={known}: got k={k}")
        return k


def _write_or_remove(path: Path, table: pd.DataFrame | None) -> None:
    """A table of an earlier run must not stand beside the scores of this one."""
    if table is None:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path, mode="w") as file:
        table.to_csv(file, index=False)


def _read_if_there(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path).astype({"k": "Int64"}) if path.exists() else None


def _rows(definition):
    return lambda a, b: definition.rows(a, b, shared_edges(a, b))


def load(workdir: str | Path) -> Alignment:
    """Reads a stored result.

    Args:
      workdir: the folder given to `align(workdir=…)` or `jaxalign run --workdir`.

    Returns:
      The alignment.

    Raises:
      ResultError: nothing stored there, or a run was interrupted while it wrote.
    """
    folder = Path(workdir) / FOLDER
    try:
        record = json.loads((folder / "alignment.json").read_text())
        parquet = (folder / "table.parquet").read_bytes()
    except ValueError as error:
        raise ResultError(
            f"{folder}/alignment.json is damaged ({error}); run the same align command again"
        ) from None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ResultError(
            f"no alignment in {workdir} ({error.filename} is missing); run "
            f"`jaxalign align --embeddings=… --workdir={workdir}` first"
        ) from None
    if hashlib.sha256(parquet).hexdigest() != record["table_sha256"]:
        raise ResultError(
            f"{folder}/table.parquet is not the table that alignment.json names: a run was "
            "interrupted or the file was changed; run the same align command again"
        )
    reuse = record["diagnostics"].get("reuse")
    return Alignment(
        table=pd.read_parquet(folder / "table.parquet"),
        cards={name: ModelCard.from_json(card) for name, card in record["cards"].items()},
        diagnostics=record["diagnostics"],
        graphs=GraphCache(folder / "graphs", beneath=reuse and Path(reuse) / FOLDER / "graphs"),
        best_layers=_read_if_there(folder / "best_layers.csv"),
    )
