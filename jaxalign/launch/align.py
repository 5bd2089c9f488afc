"""Score all pairs of embeddings: .npy, .npz or embedding stores.

    jaxalign align --embeddings=FOLDER --workdir=W
    jaxalign align --embeddings=a.npy,b.npy,c.npz --metrics=mutual_knn,cknna --k=10 --workdir=W
    jaxalign report --workdir=W

Labels are the file names. Rows are matched by sample ids: an `ids` array in .npz, or one id a line
in NAME.ids.txt or ids.txt beside .npy; without ids all files must have equal length. A models.csv
in the folder (id, family, modality, pretrained, …) colors the report. Results: W/alignment/
table.parquet, table.csv, matrices.nc. The same command again computes nothing that is finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from jaxalign import api
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.launch import workflow
from jaxalign.launch.process import run_verb
from jaxalign.parallel.multihost import is_primary_process

_EMBEDDINGS = flags.DEFINE_list("embeddings", None, "A folder, or files, comma separated.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and finished work.")
_METRICS = flags.DEFINE_list("metrics", ["mutual_knn", "cknna", "cknna:platonic"], "Metric ids.")
_K = flags.DEFINE_integer("k", None, "Neighbors per structure; default: each metric's own.")
_NORMALIZE = flags.DEFINE_string(
    "normalize", None, "none, l2, max_abs_row or standardize; default: each metric's own (l2)."
)
_NONFINITE = flags.DEFINE_enum(
    "on_nonfinite", "error", ["error", "drop", "nan"], "What to do with rows that hold NaN."
)
_TILE = flags.DEFINE_integer("tile_size", None, "Query rows per tile; bounds memory only.")
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.mark_flags_as_required(["embeddings", "workdir"])


def main(words: Sequence[str]) -> None:
    """Aligns and prints the strongest pairs."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: separate files with commas")
    alignment = api.align(
        read_embedding_collection(_EMBEDDINGS.value),
        metrics=tuple(_METRICS.value),
        k=_K.value,
        normalize=_NORMALIZE.value,
        on_nonfinite=_NONFINITE.value,
        tile_size=_TILE.value,
        workdir=workflow.folder(_WORKDIR.value),
        progress=_PROGRESS.value and is_primary_process(),
    )
    alignment = alignment.with_facts(command=workflow.command_line())
    folder = alignment.save(_WORKDIR.value)
    print(_strongest(alignment))
    print(workflow.describe_work(alignment.diagnostics["work"]))
    print(
        f"table: {folder / 'table.parquet'}\nlook at it: jaxalign report --workdir={_WORKDIR.value}"
    )


def _strongest(alignment: api.Alignment, count: int = 5) -> str:
    table = alignment.table[alignment.table["model_a"] != alignment.table["model_b"]]
    lines = []
    for metric in alignment.metrics:
        best = table[table["metric"] == metric].nlargest(count, "value")
        lines.append(f"{metric}, n={alignment.diagnostics['n']}:")
        lines += [f"  {row.value: .4f}  {row.model_a} – {row.model_b}" for row in best.itertuples()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.align")
