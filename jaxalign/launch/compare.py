"""Place a model among those of a finished run: who is nearest, how surely, where in the tree.

    jaxalign compare mine.npy --against=W
    jaxalign compare mine.npz --against=W --name="my model" --metric=mutual_knn
    jaxalign compare sevennet-l3i5 --against=W
    jaxalign compare mace:weights.model --against=W

What is compared is a file of embeddings (.npy, .npz or a store, as `jaxalign align` reads them), an
encoder (a registry id, ARCHITECTURE:FILE or hf:FOLDER, which embeds the run's structures first), or
the label of a model that the run has. W is the workdir of `jaxalign run` or `jaxalign align`.

Rows are matched by sample ids: an `ids` array in .npz, or one id a line in NAME.ids.txt. Without
ids there must be one row a structure, in the order of the run: its ids are in W/alignment/
alignment.json, and of a data set with a seed, `jaxalign.load_dataset(name, n=…, seed=…)` gives
the same order. A model that covers fewer structures is compared over these, with all others anew.

Only what concerns the new model is computed: one neighbor search, its pairs, one sweep for kernels.
W/compare/NAME/ gets index.html and table.csv; the results of the run are left as they were. The
same command again computes no score again. Runs in one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from jaxalign import api
from jaxalign.alignment.start import DEFAULT_BUDGET
from jaxalign.analysis.comparison.beyond import DRAWS
from jaxalign.analysis.comparison.compare import FOLDER, folder_name
from jaxalign.analysis.halves import check_halves
from jaxalign.embeddings.array_files import EXTENSIONS
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.embeddings.location import Location
from jaxalign.launch import folders, recipes, runtime, workflow
from jaxalign.launch.process import run_verb
from jaxalign.models.registry import model_entry
from jaxalign.models.user_weights import is_user_model
from jaxalign.significance.permutations import require_permutations

_AGAINST = flags.DEFINE_string("against", None, "Workdir of `jaxalign run` or `jaxalign align`.")
_NAME = flags.DEFINE_string("name", None, "Label of the new model; default: file name or id.")
_METRIC = flags.DEFINE_string(
    "metric", None, "Metric that leads; default: cknna, mutual_knn, or the run's first one."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results; default: W/compare/NAME.")
_CONFIDENCE = flags.DEFINE_float(
    "confidence",
    None,
    "Intervals by resampling, which serve all metrics, e.g. 0.95: 40 runs of all models over half "
    "of the rows. Without it intervals come from contributions of structures and cost nothing.",
)
_DRAWS = flags.DEFINE_integer(
    "draws",
    DRAWS,
    "Null draws of what remains with the 3 nearest models when composition is given; 0: not asked.",
)
_HALVES = flags.DEFINE_integer(
    "halves",
    0,
    "Runs of the leading metric over halves of the structures, e.g. 20, which tell how well the "
    "branches of the tree are supported; 0: not asked.",
)
_LAYER = flags.DEFINE_string("layer", None, "Of an encoder: hidden layer; default: the card's.")
_POOLING = flags.DEFINE_string("pooling", None, "Of an encoder: default: the card's.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "raise", ["raise", "skip"], "Structures that an encoder cannot represent."
)
_NONFINITE = flags.DEFINE_enum(
    "on_nonfinite", "error", ["error", "drop"], "What to do with rows that hold NaN."
)
_BUDGET = flags.DEFINE_string(
    "memory_budget", DEFAULT_BUDGET, "What a sweep may hold in memory, e.g. 500MB or 8GiB."
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["against"])


def main(words: Sequence[str]) -> None:
    """Compares, prints the short answer and writes the page."""
    if len(words) != 1:
        raise ValueError(
            f"name one model to compare, a file or an encoder: got {list(words)}; e.g. jaxalign "
            "compare mine.npy --against=W"
        )
    if jax.process_count() > 1:
        raise ValueError("compare runs in one process: start it once")
    require_permutations(_DRAWS.value)
    check_halves(_HALVES.value)
    against = _run_folder(folders.folder(_AGAINST.value, flag="against"))
    result = api.load(against)
    with runtime.session():
        new, name = _newcomer(words[0], result, against)
        output = Path(_OUTPUT.value) if _OUTPUT.value else against / FOLDER / folder_name(name)
        found = api.compare(
            new,
            against,
            name=name,
            metric=_METRIC.value,
            workdir=output,
            confidence=_CONFIDENCE.value,
            draws=_DRAWS.value,
            halves=_HALVES.value,
            on_nonfinite=_NONFINITE.value,
            memory_budget=_BUDGET.value,
            progress=_PROGRESS.value,
        )
    _tell(found, output)


def _tell(found: api.Comparison, output: Path) -> None:
    # The report needs an extra, and only this last step does.
    from jaxalign.report.comparison.comparison_page import write_comparison
    from jaxalign.report.comparison.comparison_words import findings, top_table

    page = write_comparison(found, output)
    print(top_table(found))
    print("\n".join(["", *findings(found), *found.notes, ""]))
    print(workflow.describe_work(found.alignment.diagnostics["work"]))
    print(f"table: {output / 'table.csv'}\npage: {page.resolve()}")


def _run_folder(against: Path) -> Path:
    """The workdir of one run; of a study of several data sets the user names one."""
    if not (against / "alignment").is_dir():
        inside = sorted(place.parent.name for place in against.glob("*/alignment"))
        if inside:
            places = " or ".join(f"--against={against / name}" for name in inside)
            raise ValueError(f"{against} holds results in folders of their own: pass {places}")
    return against


def _newcomer(word: str, result: api.Alignment, against: Path) -> tuple[Any, str]:
    """What is compared, and its label: a model of the run, a file, or an encoder that is run."""
    if word in result.cards:
        if _NAME.value:
            raise ValueError(f"{word!r} is a model of the run and keeps its label: drop --name")
        return word, word
    if _is_file(word):
        found = read_embedding_collection(word, in_memory=False)
        if len(found) > 1:
            raise ValueError(
                f"{word} holds {len(found)} embeddings ({', '.join(found)}): compare one at a time"
            )
        ((label, embeddings),) = found.items()
        return embeddings, _NAME.value or label
    entry = model_entry(word)
    name = _NAME.value or entry.card.id
    structures = recipes.structures_of(result)
    logging.info("%d structures of %s", len(structures), structures.name)
    output = Path(_OUTPUT.value) if _OUTPUT.value else against / FOLDER / folder_name(name)
    (model,) = workflow.model_ids([word])
    embedded = workflow.embed_models(
        [model],
        structures,
        output,
        layer=_LAYER.value,
        pooling=_POOLING.value,
        on_error=_ON_ERROR.value,
        progress=_PROGRESS.value,
    )
    if embedded.failed:
        raise ValueError(f"{word} cannot be embedded: {embedded.failed[model]}")
    logging.info("%d rows computed", embedded.rows_computed)
    return embedded.embeddings[model], name


def _is_file(word: str) -> bool:
    place = Location(word)
    named = Path(word).suffix.lower() in EXTENSIONS and not is_user_model(word)
    return place.remote or Path(word).exists() or named


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.compare")
