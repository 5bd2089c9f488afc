"""Errors of predicted energies beside the labels of a data set, as records."""

import numpy as np
import pandas as pd
import pytest

from jaxalign.analysis.relations.energy_error import element_counts, energy_errors
from jaxalign.launch.labeled_energies import energy_records
from jaxalign.structures.structure import Structure, StructureSet


def structures_of(rng, label):
    return StructureSet(
        Structure(
            id=f"s{i}",
            atomic_numbers=rng.choice([1, 6, 8], size=4 + i % 3).astype(np.int32),
            positions=np.zeros((4 + i % 3, 3)),
            labels={label: float(rng.normal())},
        )
        for i in range(20)
    )


def table_of(structures, rng, path):
    """What a run writes: predictions of two models beside the labels."""
    rows = [
        {"model": model, "id": s.id, "energy_ev": rng.normal(), **s.labels}
        for model in ("a", "b")
        for s in structures
    ]
    table = pd.DataFrame(rows)
    table.to_parquet(path)
    return table


def test_records_are_those_of_the_analysis(rng, tmp_path):
    structures = structures_of(rng, "u0_hartree")
    table = table_of(structures, rng, tmp_path / "e.parquet")
    found = energy_records(tmp_path / "e.parquet", structures)
    expected = energy_errors(table, element_counts(structures), label="u0_hartree")
    assert [record["mae_ev"] for record in found] == pytest.approx(expected["mae_ev"].tolist())
    assert [(r["model"], r["label"]) for r in found] == [("a", "u0_hartree"), ("b", "u0_hartree")]


def test_a_label_can_be_named_and_others_are_no_energies(rng, tmp_path):
    structures = structures_of(rng, "gap_hartree")
    table_of(structures, rng, tmp_path / "e.parquet")
    assert energy_records(tmp_path / "e.parquet", structures) == []
    assert energy_records(tmp_path / "e.parquet", structures, label="nosuch_ev") == []
    named = energy_records(tmp_path / "e.parquet", structures, label="gap_hartree")
    assert {record["label"] for record in named} == {"gap_hartree"}
