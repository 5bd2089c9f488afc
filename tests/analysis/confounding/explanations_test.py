"""Best controls and paths against plain loops; all tables of a small run, and their cache."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import jaxalign as ja
from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import Alignment
from jaxalign.analysis.confounding import explained as module
from jaxalign.analysis.confounding.conditional import COLUMNS, ConditionalAlignment
from jaxalign.analysis.confounding.explained import default_confounders, default_strata, explain
from jaxalign.analysis.confounding.explained_summary import explanation_summary
from jaxalign.analysis.confounding.explanations import (
    explanations,
    pair_explanations,
    trivial_controls,
)
from jaxalign.analysis.confounding.strata import Strata
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure, StructureSet

KINDS = {
    "a": ("A", "3d", True),
    "b": ("B", "string", True),
    "b-random": ("B", "string", False),
    "size": ("atom count", "control", False),
    "soap": ("SOAP", "control", False),
    "noise": ("noise", "control", False),
}


def small_run(rng, structures, metrics):
    n = len(structures)
    shared, other = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    parts = {
        "a": (shared, other),
        "b": (shared, other),
        "b-random": (shared,),
        "size": (other,),
        "soap": (shared,),
        "noise": (),
    }
    models = {}
    for name, latent in parts.items():
        family, modality, pretrained = KINDS[name]
        card = ModelCard(name, name, family, modality, pretrained, width=8)
        rows = 0.5 * rng.normal(size=(n, 8))
        rows += sum(z @ rng.normal(size=(z.shape[1], 8)) for z in latent)
        models[name] = ja.Embeddings(rows.astype(np.float32), structures.ids, card)
    return models, ja.align(models, metrics=metrics)


def made_up(rng, metrics):
    """A result of random scores: what is concluded from scores does not ask where they are from."""
    names, rows = list(KINDS), []
    for metric in metrics:
        symmetric = metric_definition(metric).symmetric
        single = metric.startswith("id:")
        for i, a in enumerate(names):
            for b in names[i:] if symmetric else names:
                if a == b or not single:
                    value, calibrated, q = (0.0, np.nan, np.nan) if a == b else rng.random(3)
                    row = {"model_a": a, "model_b": b, "metric": metric, "value": value}
                    row |= {"calibrated": calibrated, "q": q, "null_mean": 0.1, "k": 5}
                    rows.append(row)
    cards = {m: ModelCard(m, m, *KINDS[m]) for m in names}
    known = {metric: {"k": 5, "normalization": "none"} for metric in metrics}
    return Alignment(pd.DataFrame(rows), cards, {"metrics": known}, GraphCache(None))


def line(n):
    """Molecules of carbon and hydrogen, some of equal composition."""
    return StructureSet(
        [
            Structure(id=f"m{i}", atomic_numbers=np.array([6] * (i % 7 + 1) + [1], np.int32))
            for i in range(n)
        ]
    )


def test_best_controls_and_paths_are_those_of_plain_loops(rng):
    metrics = ("mutual_knn", "information_imbalance", "id:twonn")
    result = made_up(rng, metrics)
    assert trivial_controls(result.cards) == ["size", "soap"]
    for metric, best, worst in (("mutual_knn", max, min), ("information_imbalance", min, max)):
        s = {(a, b): float(result.matrix(metric).sel(model_a=a, model_b=b))
             for a in KINDS for b in KINDS}  # fmt: skip
        table = explanations(result, metric)
        assert table["model"].tolist() == ["a", "b", "b-random", "noise"]
        for row in table.itertuples():
            assert row.value == best(s[c, row.model] for c in ("size", "soap"))
            assert s[row.control, row.model] == row.value
        pairs = pair_explanations(result, metric)
        assert len(pairs) == (6 if metric == "mutual_knn" else 12)
        for row in pairs.itertuples():
            paths = {c: worst(s[row.model_a, c], s[c, row.model_b]) for c in ("size", "soap")}
            assert row.through == best(paths.values()) == paths[row.control]
            assert row.value == s[row.model_a, row.model_b]
            assert row.beyond == pytest.approx(row.calibrated - row.through_calibrated)
    with pytest.raises(ValueError, match="single models"):
        explanations(result, "id:twonn")
    with pytest.raises(ValueError, match="was not computed"):
        explanations(result, "cka")


def test_without_controls_there_is_no_explanation(rng):
    result = made_up(rng, ("mutual_knn",))
    cards = {name: dataclasses.replace(card, modality="3d") for name, card in result.cards.items()}
    result = dataclasses.replace(result, cards=cards)
    table = explanations(result, "mutual_knn")
    assert table["control"].tolist() == [""] * 6
    assert table["value"].isna().all()
    pairs = pair_explanations(result, "mutual_knn")
    assert pairs["through"].isna().all()
    assert pairs["value"].notna().all()


def invented(models, given, *, metrics, permutations, **settings):
    """In place of conditional scores, whose draws take their time: the same columns."""
    method = "strata" if isinstance(given, Strata) else "residual"
    names = [name for name in models if method == "strata" or name not in given]
    random = np.random.default_rng(permutations)
    known = ("raw_calibrated", "conditional", "calibrated", "left_a")
    rows = [
        {"model_a": a, "model_b": b, "metric": metric, "k": pd.NA, "method": method, "reason": "",
         **dict(zip(known, random.random(len(known)), strict=True))}
        for metric in metrics for i, a in enumerate(names) for b in names[i + 1:]
    ]  # fmt: skip
    facts = {"given": given.by if method == "strata" else ", ".join(given), "method": method}
    facts |= {"n": len(models["a"]), "rank": 2}
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype({"k": "Int64"})
    return ConditionalAlignment(table, {}, facts)


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_all_tables_of_a_run_are_kept(rng, tmp_path, monkeypatch, real):
    if not real:
        monkeypatch.setattr(module, "conditional_alignment", invented)
    structures = line(70)
    models, result = small_run(rng, structures, ("cka",))
    asked = {"permutations": 19, "workdir": tmp_path}
    found = explain(models, result, structures, **asked)
    assert [f["method"] for f in found.facts] == ["residual", "strata"]
    assert found.facts[0]["given"] == "composition, atom-count"
    assert found.facts[0]["rank"] == 2
    assert found.facts[1]["n"] == 70
    assert set(found.conditional["method"]) == {"residual", "strata"}
    assert set(found.conditional["metric"]) == {"cka"}
    names = {p.name for p in (tmp_path / "explanations").iterdir()}
    assert names == {"explanations.json"} | {
        f"{t}.{kind}"
        for t in ("controls", "paths", "floors", "conditional")
        for kind in ("csv", "parquet")
    }
    summary = explanation_summary(found, result.cards)
    assert [row["model"] for row in summary["encoders"]] == ["a", "b"]
    rows = found.conditional.query("method == 'residual' and model_a == 'a' and model_b == 'b'")
    first = summary["encoders"][0]
    assert first["residual"] == rows["calibrated"].iloc[0] > 0  # random in composition
    assert first["left"] == rows["left_a"].iloc[0]
    assert first["control"] in ("soap", "size")
    twin = found.conditional.query(
        "method == 'residual' and model_a == 'a' and model_b == 'b-random'"
    )
    assert summary["encoders"][1]["twin"] == twin["raw_calibrated"].iloc[0]
    pairs = summary["pairs"]
    assert (pairs["model_a"], pairs["model_b"]) == (["a", "a"], ["b", "b"])
    assert pairs["conditional"][0] == rows["conditional"].iloc[0]

    monkeypatch.setattr(module, "noise_floors", lambda *a, **k: pytest.fail("computed again"))
    again = explain(models, result, structures, **asked)
    for name in ("controls", "paths", "floors", "conditional"):
        np.testing.assert_array_equal(
            getattr(again, name).select_dtypes("float").to_numpy(),
            getattr(found, name).select_dtypes("float").to_numpy(),
        )
    assert explanation_summary(again, result.cards) == summary
    with pytest.raises(pytest.fail.Exception):
        explain(models, result, structures, **asked, seed=1)
    (tmp_path / "explanations" / "floors.parquet").write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception):
        explain(models, result, structures, **asked)


def test_few_structures_that_may_change_places_say_nothing(rng, monkeypatch):
    monkeypatch.setattr(module, "conditional_alignment", invented)
    structures = line(40)
    models, result = small_run(rng, structures, ("cka",))
    found = explain(models, result, structures, permutations=19)
    assert "40 structures have another one of equal composition" in found.facts[1]["reason"]
    assert set(found.conditional["method"]) == {"residual"}
    summary = explanation_summary(found, result.cards)
    assert {row["strata"] for row in summary["encoders"]} == {None}
    assert set(summary["pairs"]["method"]) == {"residual"}


@pytest.mark.slow
def test_conditions_that_cannot_be_set_have_a_reason(rng):
    structures = StructureSet(
        [Structure(id=f"m{i}", atomic_numbers=np.array([6] * (i + 1) + [1])) for i in range(40)]
    )
    models, result = small_run(rng, structures, ("rsa",))
    models = {name: models[name] for name in "ab"}
    result = ja.align(models, metrics=("rsa",))
    found = explain(models, result, structures, permutations=19, k={"cknna": 5})
    assert "reason" not in found.facts[0]
    assert "no permutation is possible" in found.facts[1]["reason"]
    assert set(found.conditional["method"]) == {"residual"}
    summary = explanation_summary(found, result.cards)
    assert summary["encoders"][0]["strata"] is None
    with pytest.raises(ValueError, match="the run has not"):
        explain(models, result, structures, metrics=("cka",))


def test_chains_are_explained_by_residues():
    chains, molecules = load_dataset("proteins", n=3), load_dataset("qm9", n=3)
    assert default_confounders(chains) == ("residue-composition", "sequence-length")
    assert default_strata(chains) == "protein_family"
    assert default_confounders(molecules) == ("composition", "atom-count")
    assert default_strata(molecules) == "composition"
