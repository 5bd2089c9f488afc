"""The public verbs, composed from the rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxalign.alignment.align import align as align
from jaxalign.alignment.results import Alignment
from jaxalign.alignment.results import load as load
from jaxalign.alignment.start import start_run
from jaxalign.analysis.claims.study import RECORD as STUDY
from jaxalign.analysis.claims.study import load_study
from jaxalign.analysis.comparison.compare import Comparison as Comparison
from jaxalign.analysis.comparison.compare import compare as compare
from jaxalign.analysis.confounding.conditional import ConditionalAlignment as ConditionalAlignment
from jaxalign.analysis.confounding.conditional import conditional_alignment as conditional_alignment
from jaxalign.analysis.confounding.explanations import explanations as explanations
from jaxalign.analysis.confounding.strata import Strata as Strata
from jaxalign.analysis.confounding.strata import strata as strata
from jaxalign.analysis.precision.nearest_models import nearest_models as nearest_models
from jaxalign.analysis.precision.paired_scores import compare_scores as compare_scores
from jaxalign.analysis.precision.sample_size import DRAWS
from jaxalign.analysis.precision.sample_size import score_curves as _score_curves
from jaxalign.analysis.precision.sample_size_table import ScoreCurves as ScoreCurves
from jaxalign.analysis.rotation import RotationDrift as RotationDrift
from jaxalign.analysis.rotation import rotation_drift as _rotation_drift
from jaxalign.embeddings.energies import Energies as Energies
from jaxalign.embeddings.energies import structure_energies
from jaxalign.embeddings.extract import embed_structures, stored_embeddings
from jaxalign.embeddings.formats import read_embeddings as read_embeddings
from jaxalign.embeddings.nodes import NodeEmbeddings as NodeEmbeddings
from jaxalign.embeddings.nodes import node_embeddings
from jaxalign.embeddings.own_function import as_encoder
from jaxalign.embeddings.record import Embeddings as Embeddings
from jaxalign.embeddings.sources import StoredEmbeddings as StoredEmbeddings
from jaxalign.guard import require_sound_jax
from jaxalign.models.card import ModelCard as ModelCard
from jaxalign.models.registry import load_model, model_entry
from jaxalign.models.user_weights import load_weights as load_weights
from jaxalign.pairwise.neighbors import neighbors as neighbors
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.mesh import check_mesh
from jaxalign.structures.datasets import load_dataset as load_dataset
from jaxalign.structures.perturb import perturb as perturb
from jaxalign.structures.readers import read_structures as read_structures
from jaxalign.structures.structure import Structure as Structure
from jaxalign.structures.structure import StructureSet as StructureSet
from jaxalign.types import Neighbors as Neighbors
from jaxalign.types import Score as Score


def embed(
    model: str | Callable,
    structures: StructureSet,
    *,
    layer: str | None = None,
    pooling: str | None = None,
    card: ModelCard | None = None,
    store: str | Path | None = None,
    on_error: str = "raise",
    progress: bool = False,
    mesh: Any = None,
    in_memory: bool = True,
) -> Embeddings | StoredEmbeddings:
    """Embeds structures with a registered encoder, or with one's own function.

    In a run of several processes all of them call this with the same arguments: each computes and
    writes its share, and an error of one is raised on all.

    Args:
      model: registry id (`jaxalign models list`), `"architecture:path"` or an encoder of
        `load_weights` for weights of one's own, or a function from a list of structures to an
        `[n, d]` array whose row i depends on structure i alone.
      structures: what to embed; `jaxalign.read_structures` or `jaxalign.load_dataset`.
      layer: hidden layer by name; None for the card's default.
      pooling: `"mean"`, `"sum"`, `"max"`, `"cls"`, `"last"` or `"cumulants"`; None for the card's
        default.
      card: facts about one's own function.
      store: folder for the embeddings, or its URL (`gs://bucket/path`, `s3://bucket/path`); an
        interrupted call resumes there, and a finished one is read back without fetching or opening
        weights.
      on_error: `"raise"`, or `"skip"` structures that the encoder cannot represent (they are listed
        in `info["skipped"]`).
      progress: print progress lines to standard error.
      mesh: devices that run a network, each its own batches: a `jax.sharding.Mesh`, devices, or
        text such as `"rows:4"`; None means all that have 512 structures each to do.
      in_memory: False leaves the rows in `store`, as `StoredEmbeddings` that are read in blocks;
        otherwise every process holds all of them.

    Returns:
      `Embeddings` with values `[n, d]` float32, ids and card.

    Raises:
      ValueError: unknown model, layer or pooling, close matches named; more devices in `mesh` than
        structures.
      UnsupportedStructureError: an encoder cannot represent some structures (named).
      ArchiveError: weights can neither be found in the cache nor fetched.
    """
    require_sound_jax()
    devices = check_mesh(mesh)
    if isinstance(model, str) and store is not None:
        finished = stored_embeddings(
            model_entry(model).card,
            structures,
            layer=layer,
            pooling=pooling,
            store_path=store,
            on_error=on_error,
            in_memory=in_memory,
        )
        if finished is not None:
            return finished
    with stop_together():
        encoder = load_model(model) if isinstance(model, str) else as_encoder(model, card=card)
    return embed_structures(
        encoder,
        structures,
        layer=layer,
        pooling=pooling,
        store_path=store,
        on_error=on_error,
        progress=progress,
        mesh=devices,
        in_memory=in_memory,
    )


def embed_nodes(
    model: str,
    structures: StructureSet,
    *,
    layer: str | None = None,
    on_error: str = "raise",
    progress: bool = False,
    mesh: Any = None,
) -> NodeEmbeddings:
    """Features of every node (atom, token, residue) of structures; they are held in memory.

    Args:
      model: registry id of a network.
      structures: what to embed.
      layer: hidden layer by name; None for the card's default.
      on_error: `"raise"`, or `"skip"` structures that the encoder cannot represent.
      progress: print progress lines to standard error.
      mesh: devices that run the network; None means those with enough to do.

    Returns:
      `NodeEmbeddings`: `values` `[nodes, d]`, `starts` of the structures in it, `of(id)`, and
      `save(path)` as npz.

    Raises:
      ValueError: unknown model or layer, or a model without nodes.
      UnsupportedStructureError: an encoder cannot represent some structures (named).
    """
    require_sound_jax()
    devices = check_mesh(mesh)
    with stop_together():
        encoder = load_model(model)
    return node_embeddings(
        encoder, structures, layer=layer, on_error=on_error, progress=progress, mesh=devices
    )


def predict_energies(
    model: str,
    structures: StructureSet,
    *,
    store: str | Path | None = None,
    on_error: str = "raise",
    progress: bool = False,
    mesh: Any = None,
) -> Energies:
    """Energies that an interatomic potential predicts for structures, in eV.

    Zero points differ between potentials: compare them after a fit of the composition.

    Args:
      model: registry id of an interatomic potential.
      structures: what to predict energies of.
      store: folder where an interrupted call resumes.
      on_error: `"raise"`, or `"skip"` structures that the potential cannot represent.
      progress: print progress lines to standard error.
      mesh: devices that run the network; None means those with enough to do.

    Returns:
      `Energies`: `total` `[n]` and `interaction` `[n]` (without the atoms' own) in eV, `atoms`,
      `ids`, and `table()` as a pandas frame.

    Raises:
      NoEnergyError: if the model predicts no energies.
      UnsupportedStructureError: the potential cannot represent some structures (named).
    """
    require_sound_jax()
    devices = check_mesh(mesh)
    with stop_together():
        encoder = load_model(model)
    return structure_energies(
        encoder,
        structures,
        store_path=store,
        on_error=on_error,
        progress=progress,
        mesh=devices,
    )


def score_curves(
    models: Mapping[Any, Any],
    *,
    sizes: Sequence[int] | None = None,
    draws: int = DRAWS,
    workdir: str | Path | None = None,
    **settings: Any,
) -> ScoreCurves:
    """Measures scores against the number of structures, at fixed k and at fixed k/N.

    Args:
      models: label → embeddings, as in `align`.
      sizes: numbers of structures; None halves all of them until 32 or four times k are left.
      draws: disjoint random subsets of each size, at most.
      workdir: folder of the run: what it has finished is not computed again, and
        `score_curves/points|limits|orders.parquet|csv` inside it get the tables.
      settings: `metrics`, `k`, `normalize`, `seed` and whatever else decides scores, as in `align`.

    Returns:
      `ScoreCurves`: `table` (points), `limits` of many structures with errors, `orders` (whether
      the order of pairs depends on N), `to_xarray()`.

    Raises:
      ValueError: too few structures, sizes that are none, or what `align` refuses.
    """
    state, plans = start_run(models, workdir=workdir, **settings)
    curves = _score_curves(state, plans, sizes=sizes, draws=draws)
    if workdir is not None:
        curves.save(workdir)
    return curves


def write_report(
    alignment: Alignment | Mapping[str, Alignment] | str | Path,
    folder: str | Path,
    *,
    title: str | None = None,
    claims: Any = None,
    figures: Sequence[str] = (),
) -> Path:
    """Writes the HTML report of an alignment, or of a study of several data sets.

    Args:
      alignment: an `Alignment`; name of the data set → `Alignment`; or a workdir that holds either.
      folder: where `index.html`, `table.csv` and `table.parquet` go.
      title: heading of the page; None for that of the run.
      claims: table of claims, shown first; None for that of a study in the workdir, if any.
      figures: formats of figures for papers, of "pdf", "svg" and "png"; they go to
        `folder/figures`.

    Returns:
      Path of `index.html`.

    Raises:
      ResultError: there is no alignment in the workdir.
      ValueError: nothing to show, or an unknown format.
      MissingExtraError: the `report` extra is not installed.
    """
    # The report needs matplotlib, jinja2 and plotly, which are an extra: imported where used.
    from jaxalign.report import page

    if isinstance(alignment, str | Path):
        if (Path(alignment) / STUDY).is_file():
            study = load_study(alignment)
            alignment = study.alignments
            claims = study.claims if claims is None else claims
            title = title or study.title
        else:
            alignment = load(alignment)
    return page.write_report(alignment, folder, title=title, claims=claims, figures=figures)


def rotation_drift(
    model: str | Callable,
    structures: StructureSet,
    *,
    layer: str | None = None,
    pooling: str | None = None,
    card: ModelCard | None = None,
    rotations: int = 4,
    permutations: int = 2,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> RotationDrift:
    """Measures how far rotations and other orders of the atoms move embeddings.

    Args:
      model: registry id, or a function from a list of structures to an `[n, d]` array.
      structures: at least two with positions; some dozens are enough.
      layer: hidden layer by name; None for the card's default.
      pooling: as in `embed`; None for the card's default.
      card: facts about one's own function; its `symmetry` is the claim that is checked.
      rotations: random rotations of each structure.
      permutations: random orders of the atoms of each structure.
      seed: of rotations and orders.
      tolerance: largest drift of an invariant embedding, as a share of the embeddings' spread.

    Returns:
      Median and largest drifts, and whether the card's claim holds.

    Raises:
      ValueError: unknown model, layer or pooling, or an impossible number of copies.
      ArchiveError: weights can neither be found in the cache nor fetched.
    """
    require_sound_jax()
    with stop_together():
        encoder = load_model(model) if isinstance(model, str) else as_encoder(model, card=card)
    return _rotation_drift(
        encoder,
        structures,
        layer=layer,
        pooling=pooling,
        rotations=rotations,
        permutations=permutations,
        seed=seed,
        tolerance=tolerance,
    )
