"""Score all pairs of embeddings: .npy, .npz or embedding stores.

    jaxalign align --embeddings=FOLDER --workdir=W
    jaxalign align --embeddings=a.npy,b.npy,c.npz --metrics=mutual_knn,cknna --k=10,25 --workdir=W
    jaxalign align --embeddings=FOLDER --metrics=all --memory_budget=8GiB --workdir=W
    jaxalign align --embeddings=FOLDER --permutations=999 --permute_within=labels.csv --workdir=W
    jaxalign align --embeddings=FOLDER --confidence=0.95 --score_curves --workdir=W
    jaxalign report --workdir=W

Labels are the file names. Rows are matched by sample ids: an `ids` array in .npz, or one id a line
in NAME.ids.txt or ids.txt beside .npy; without ids all files must have equal length. A models.csv
in the folder (id, family, modality, pretrained, …) colors the report. Results: W/alignment/
table.parquet, table.csv, matrices.nc. The same command again computes nothing that is finished;
with one more file in the folder it computes what concerns that file. Rows of .npy files and stores
stay on disk and are read in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from jaxalign import api
from jaxalign.alignment.start import DEFAULT_BUDGET
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.embeddings.preprocess import NORMALIZATIONS
from jaxalign.launch import distributed, folders, recipes, runtime, workflow
from jaxalign.launch.labels import read_labels
from jaxalign.launch.process import run_verb
from jaxalign.metrics import registry as metrics
from jaxalign.pairwise.search_arguments import SIMILARITIES
from jaxalign.parallel.multihost import is_primary_process

_EMBEDDINGS = flags.DEFINE_list("embeddings", None, "A folder, or files, comma separated.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and finished work.")
_METRICS = flags.DEFINE_list(
    "metrics",
    ["mutual_knn", "cknna", "cknna:platonic", "dcor"],
    f"Metric ids, or all. Known: {', '.join(metrics.METRICS)}.",
)
_K = flags.DEFINE_list(
    "k", None, "Neighbors per structure, one number or several; default: each metric's own."
)
_NORMALIZE = flags.DEFINE_string(
    "normalize", None, f"Rows: {', '.join(NORMALIZATIONS)}; default: each metric's own."
)
_SIMILARITY = flags.DEFINE_string(
    "similarity", None, f"Order of neighbors: {', '.join(SIMILARITIES)}; default: cosine."
)
_GROUPS = flags.DEFINE_string(
    "groups", None, "File id,label: structures of one group are never neighbors."
)
_PERMUTATIONS = flags.DEFINE_integer(
    "permutations", 0, "Most sampled permutations a score; 0: closed-form nulls alone."
)
_WITHIN = flags.DEFINE_string(
    "permute_within", None, "File id,label: only structures of one label change places."
)
_ENCODERS = flags.DEFINE_string(
    "encoders", None, "File model,encoder, where models are layers: encoders by their best layers."
)
_CONFIDENCE = flags.DEFINE_float(
    "confidence", None, "Intervals that cover as often, e.g. 0.95: 40 runs over half of the rows."
)
_INTERVALS = flags.DEFINE_enum(
    "interval_method", "subsample", ["subsample", "jackknife"], "How errors of scores are found."
)
_CURVES = flags.DEFINE_bool(
    "score_curves", False, "Scores against the number of structures: W/score_curves and report."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of random subsets and of permutations.")
_BUDGET = flags.DEFINE_string(
    "memory_budget", DEFAULT_BUDGET, "What a sweep may hold in memory, e.g. 500MB or 8GiB."
)
_NONFINITE = flags.DEFINE_enum(
    "on_nonfinite", "error", ["error", "drop", "nan"], "What to do with rows that hold NaN."
)
_TILE = flags.DEFINE_integer("tile_size", None, "Query rows per tile; bounds memory only.")
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["embeddings", "workdir"])


def main(words: Sequence[str]) -> None:
    """Aligns and prints the strongest pairs."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: separate files with commas")
    workdir = folders.folder(_WORKDIR.value)
    folders.require_same_files(_EMBEDDINGS.value)
    with runtime.session():
        collection = read_embedding_collection(_EMBEDDINGS.value, in_memory=False)
        settings = {
            "metrics": tuple(metrics.METRICS if _METRICS.value == ["all"] else _METRICS.value),
            "k": _neighbors(_K.value),
            "normalize": _NORMALIZE.value,
            "similarity": _SIMILARITY.value,
            "groups": read_labels(_GROUPS.value, flag="groups"),
            "seed": _SEED.value,
            "mesh": distributed.chosen_mesh(),
            "memory_budget": _BUDGET.value,
            "on_nonfinite": _NONFINITE.value,
            "tile_size": _TILE.value,
            "workdir": workdir,
            "progress": _PROGRESS.value and is_primary_process(),
        }
        alignment = api.align(
            collection,
            **settings,
            permutations=_PERMUTATIONS.value,
            permute_within=read_labels(_WITHIN.value, flag="permute_within"),
            encoders=read_labels(_ENCODERS.value, flag="encoders"),
            confidence=_CONFIDENCE.value,
            interval_method=_INTERVALS.value,
        )
        curves = api.score_curves(collection, **settings) if _CURVES.value else None
    paths = {label: found.info["location"] for label, found in collection.items()}
    alignment = alignment.with_facts(
        command=workflow.command_line(),
        unseen_inputs=workflow.unseen_inputs(collection),
        **recipes.source_facts(paths, workdir),
        score_curves=curves and curves.summary(),
    )
    folder = alignment.save(workdir)
    if not is_primary_process():
        return
    print(_strongest(alignment))
    print(workflow.describe_work(alignment.diagnostics["work"]))
    print(f"table: {folder / 'table.parquet'}\nlook at it: jaxalign report --workdir={workdir}")


def _strongest(alignment: api.Alignment, count: int = 5) -> str:
    table = alignment.table[alignment.table["model_a"] != alignment.table["model_b"]]
    lines = []
    for metric in alignment.metrics:
        facts = alignment.metadata(metric)
        if facts["of_single_models"]:
            lines += _models(alignment, metric)
            continue
        rows = table[table["metric"] == metric]
        rows = rows if facts["k"] is None else rows[rows["k"] == facts["k"]]
        best = (
            rows.nlargest(count, "value") if facts["similarity"] else rows.nsmallest(count, "value")
        )
        settings = f"n={alignment.diagnostics['n']}" + (f", k={facts['k']}" if facts["k"] else "")
        lines.append(f"{metric}, {settings}:")
        arrow = "–" if facts["symmetric"] else "→"
        lines += [
            f"  {row.value: .4f}  {row.model_a} {arrow} {row.model_b}" for row in best.itertuples()
        ]
    return "\n".join(lines)


def _models(alignment: api.Alignment, metric: str) -> list[str]:
    values = alignment.matrix(metric)
    estimates = [f"  {float(values.sel(model_a=m, model_b=m)): .2f}  {m}" for m in alignment.models]
    return [f"{metric}, n={alignment.diagnostics['n']}:", *estimates]


def _neighbors(words: Sequence[str] | None) -> int | tuple[int, ...] | None:
    if not words:
        return None
    try:
        numbers = tuple(int(word) for word in words)
    except ValueError:
        raise ValueError(f"--k must be whole numbers separated by commas: got {words}") from None
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.align")
