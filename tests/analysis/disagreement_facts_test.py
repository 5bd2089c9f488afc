"""Facts of disagreement: which pairs, plain values, drawings that RDKit made and kept."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.plan import GraphSettings
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.analysis.disagreement import disputed_structures
from jaxalign.analysis.disagreement_facts import compact, disagreement_facts, telling_pairs
from jaxalign.analysis.drawings import draw_molecules
from jaxalign.models.card import ModelCard
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.structures.structure import Structure

N, K = 16, 3
KINDS = {"s1": "string", "s2": "string", "g": "graph", "x": "3d", "noise": "control"}


def alignment(rng, kinds=KINDS, scores=None, metric="mutual_knn"):
    cards = {
        m: ModelCard(id=m, name=m, family=m[0], modality=kind, pretrained=kind != "control")
        for m, kind in kinds.items()
    }
    cache, keys, names = GraphCache(None), {}, list(cards)
    for name in names:
        ids = np.stack([rng.permutation(np.delete(np.arange(N), i))[:K] for i in range(N)])
        reverse = np.full((N, K), -1, np.int16)
        values = np.zeros((N, K), np.float32)
        graph = GraphStatistics(ids.astype(np.int32), reverse, values, values, np.zeros(N))
        cache.put(name, graph, {})
        keys[name] = {GraphSettings("l2", "inner").label: name}
    scores = rng.uniform(size=(len(names),) * 2) if scores is None else scores
    rows = [
        (a, b, metric, float(scores[i, i + j]), K)
        for i, a in enumerate(names)
        for j, b in enumerate(names[i:])
    ]
    table = pd.DataFrame(rows, columns=["model_a", "model_b", "metric", "value", "k"])
    settings = {metric: {"k": K, "normalization": "l2", "similarity": "inner"}}
    ids = [f"s{i:02d}" for i in range(N)]
    facts = {"metrics": settings, "graph_keys": keys, "ids": ids, "n": N, "grouped": True}
    return Alignment(table.reindex(columns=list(COLUMNS)), cards, facts, cache)


def structures(smiles="CCO"):
    return [Structure(id=f"s{i:02d}", smiles=smiles if i % 2 else None) for i in range(N)]


def test_pairs_are_the_best_of_every_two_modalities(rng):
    scores = np.zeros((5, 5))
    scores[0, 2], scores[1, 2], scores[1, 3], scores[2, 3] = 0.3, 0.6, 0.5, 0.4
    scores[0, 4] = 0.9  # with noise
    found = telling_pairs(alignment(rng, scores=scores), "mutual_knn")
    assert found == [("s2", "g"), ("s2", "x"), ("g", "x")]
    scores[0, 1] = 0.7
    of_one = {"s1": "string", "s2": "string", "t": "string"}
    scores[0, 2], scores[1, 2] = 0.1, 0.2
    assert telling_pairs(alignment(rng, of_one, scores), "mutual_knn") == [("s2", "t")]
    assert telling_pairs(alignment(rng, {"s1": "string"}), "mutual_knn") == []


def test_records_are_plain_and_those_of_the_disputed_structures(rng):
    result = alignment(rng)
    found = disagreement_facts(result, structures(), pairs=[("s1", "x")], count=4)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    table = disputed_structures(result, "s1", "x", count=4)
    assert [s["id"] for s in found[0]["structures"]] == list(table["structure"])
    assert found[0]["score"] == pytest.approx(float(result.matrix("mutual_knn").loc["s1", "x"]))
    for drawn in found[0]["structures"]:
        assert bool(drawn["svg"]) == (int(drawn["id"][1:]) % 2 == 1)
        assert drawn["shared"] == [n for n in drawn["neighbors_a"] if n in drawn["neighbors_b"]]


def test_unreadable_molecules_and_other_metrics_have_no_drawing(rng):
    found = disagreement_facts(alignment(rng), structures("C1CC"), pairs=[("s1", "x")])
    assert [s["svg"] for s in found[0]["structures"]] == [""] * 3
    assert disagreement_facts(alignment(rng, metric="cka"), structures()) == []


def test_a_compact_drawing_has_the_same_strokes():
    svg = draw_molecules(["CC(=O)Oc1ccccc1C(=O)O"], legends=["a b"])
    small = compact(svg)
    assert len(small) < 0.8 * len(svg)
    before, after = (ElementTree.fromstring(text).iter() for text in (svg, small))
    for old, new in zip(before, after, strict=True):
        if old.tag.endswith("path"):
            assert old.get("d").split() == new.get("d").split()
            style = old.get("style") or ""
            assert not style or f"stroke:{new.get('stroke') or ''}" in style
