"""The list of metrics: ids of the field, complete records, a page that says what the code does."""

import importlib.util
import math
from pathlib import Path

import pytest

from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import METRICS, metric_definition

ROOT = Path(__file__).parent.parent.parent
IDS = (
    *("mutual_knn", "cycle_knn", "jaccard_knn", "lcs_knn", "edit_knn", "cknna", "cknna:platonic"),
    *("cka", "cka:biased", "cka:rbf", "cka:rbf:biased", "dcor", "dcor:v", "rsa", "rsa:spearman"),
    *("information_imbalance", "procrustes", "procrustes:angular", "cca", "svcca", "pwcca"),
    *("reconstruction", "id:twonn", "id:mle", "id:gride", "idcor"),
)


def test_every_documented_id_exists_and_no_other():
    assert set(METRICS) == set(IDS)
    assert all(metric.id == name for name, metric in METRICS.items())


@pytest.mark.parametrize("name", IDS)
def test_records_are_complete(name):
    metric = METRICS[name]
    assert metric.title
    assert len(metric.definition) > 20
    assert metric.low < metric.high
    assert set(metric.invariances) <= {"rotation", "isotropic scaling", "translation", "affine"}
    assert metric.least_n >= 2
    if not isinstance(metric, ModelMetric):
        assert metric.best is None or metric.low <= metric.best <= metric.high
        if metric.null is not None and metric.default_k:
            assert math.isfinite(metric.null(1000, metric.default_k))
    if metric.default_k is not None:
        assert metric.default_k >= metric.least_k


def test_titles_tell_metrics_apart():
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)


def test_misspelled_ids_name_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'information_imbalance'"):
        metric_definition("information_imbalence")


def test_the_page_says_what_the_definitions_say():
    spec = importlib.util.spec_from_file_location(
        "metrics_table", ROOT / "scripts" / "metrics_table.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
