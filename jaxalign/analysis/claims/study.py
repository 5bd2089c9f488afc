"""A study: several runs in one folder, and the table of claims over all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jaxalign.alignment.results import Alignment, ResultError, load
from jaxalign.analysis.claims.claims_table import claims_markdown, claims_table
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.archives.atomic import atomic_write, write_json

RECORD = "study.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """The runs of a study with their claims.

    Attributes:
      alignments: data set → its alignment.
      claims: one row a test, as of `claims_table`.
      title: of the study.
      facts: how it was made: command, date, machine, seconds, data sets that failed.
    """

    alignments: Mapping[str, Alignment]
    claims: pd.DataFrame
    title: str
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, runs: StudyRuns, *, title: str, facts: Mapping[str, Any]) -> Study:
        """Tests the claims on finished runs.

        Args:
          runs: the runs.
          title: of the study.
          facts: plain values about how they were made.
        """
        stated = {
            "in_distribution_of": {d: list(m) for d, m in runs.in_distribution_of.items()},
            "training_data": dict(runs.training_data),
        }
        # Each run knows its place in the study: the report contrasts data sets by it.
        alignments = {
            name: found.with_facts(
                in_distribution_of=list(runs.in_distribution_of.get(name, ())),
                training_data=stated["training_data"],
            )
            for name, found in runs.alignments.items()
        }
        return cls(alignments, claims_table(runs), title, {**facts, **stated})

    def save(self, workdir: str | Path) -> Path:
        """Writes `claims.csv`, `claims.md` and, last, `study.json`; the runs have their folders.

        Args:
          workdir: the folder with one folder a data set.

        Returns:
          Path of `study.json`.
        """
        folder = Path(workdir)
        with atomic_write(folder / "claims.csv", mode="w") as file:
            self.claims.to_csv(file, index=False)
        with atomic_write(folder / "claims.md", mode="w") as file:
            file.write(f"# {self.title}\n\n{claims_markdown(self.claims)}")
        record = {"title": self.title, "datasets": list(self.alignments), **self.facts}
        write_json(folder / RECORD, record)
        return folder / RECORD


def load_study(workdir: str | Path) -> Study:
    """Reads a finished study; the claims are tested anew, by this version's rules.

    Args:
      workdir: the folder of `jaxalign run` with a config that has `regimes`.

    Returns:
      The study.

    Raises:
      ResultError: there is no finished study, or one of its runs is not there.
    """
    path = Path(workdir) / RECORD
    try:
        record = dict(json.loads(path.read_text()))
        names, title = list(record.pop("datasets")), str(record.pop("title"))
    except (FileNotFoundError, NotADirectoryError):
        raise ResultError(
            f"no finished study in {workdir} ({RECORD} is missing); run `jaxalign run "
            f"--config=configs/regimes.py --workdir={workdir}` first, or again to resume"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"{path} is damaged ({error}); run the same `jaxalign run` command again"
        ) from None
    runs = StudyRuns(
        {name: load(Path(workdir) / name) for name in names},
        record.get("in_distribution_of", {}),
        record.get("training_data", {}),
    )
    return Study.of(runs, title=title, facts=record)
