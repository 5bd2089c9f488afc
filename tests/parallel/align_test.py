"""The same scores, graphs and contributions on any mesh; who took part is said."""

import jax
import numpy as np
import pytest

import jaxalign as ja
from jaxalign.pairwise import sweep

N = 700  # beyond the largest stored k, so that thresholds are used too
METRICS = (
    *("mutual_knn", "cycle_knn", "cknna", "cknna:platonic", "cka", "cka:rbf", "dcor", "dcor:v"),
    *("information_imbalance", "rsa", "reconstruction", "id:twonn"),
)
K = {"mutual_knn": (9, 600), "cknna": (9, 600), "information_imbalance": 3}


@pytest.fixture(autouse=True)
def on_the_device(monkeypatch):
    """So few rows would be searched on the host."""
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)


def anisotropic_models(rng):
    """Mean cosine .998, duplicates, unequal widths; two models that agree in part."""
    z = rng.normal(size=(N, 9))
    models = {}
    for i, d in enumerate((12, 12, 70)):
        x = z @ rng.normal(size=(9, d)) + rng.normal(size=(N, d)) + 60 * rng.normal(size=d)
        models[f"m{i}"] = x.astype(np.float32)
        models[f"m{i}"][40:60] = models[f"m{i}"][:20]
    return models


def run(models, mesh, metrics=METRICS, **options):
    k = {metric: K[metric] for metric in metrics if metric in K}
    return ja.align(models, metrics=metrics, k=k, mesh=mesh, seed=3, **options)


def assert_same(one, other):
    assert one.table["metric"].tolist() == other.table["metric"].tolist()
    np.testing.assert_allclose(other.table["value"], one.table["value"], rtol=1e-6, atol=1e-7)
    exact = one.table["metric"].isin(["mutual_knn", "cycle_knn", "information_imbalance"])
    np.testing.assert_array_equal(other.table["value"][exact], one.table["value"][exact])
    for metric in ("mutual_knn", "information_imbalance"):
        rows = [a.contributions(metric, "m0", "m2") for a in (one, other)]
        np.testing.assert_array_equal(*rows)


# One metric of every kind of program; all of them on every other mesh in the slow tests.
KINDS = ("mutual_knn", "cknna", "cka", "dcor", "information_imbalance", "id:twonn")
MESHES = ["rows:2", "rows:3", "rows:4", "rows:8", "rows:2,models:4", "rows:1,models:3"]
MESHES += ["rows:4,models:2"]


@pytest.fixture(scope="module")
def reference():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    models = anisotropic_models(np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "HOST_ROWS", 0)
        return models, run(models, "rows:1")


def test_scores_do_not_depend_on_the_mesh(rng):
    models = anisotropic_models(rng)
    one, other = (run(models, mesh, KINDS) for mesh in ("rows:1", "rows:4,models:2"))
    assert_same(one, other)
    assert other.diagnostics["devices"] == [str(d) for d in jax.devices()[:8]]
    assert other.diagnostics["mesh"]["rows"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES)
def test_scores_of_all_metrics_do_not_depend_on_the_mesh(reference, mesh):
    models, one = reference
    other = run(models, mesh)
    assert_same(one, other)
    sizes = dict(part.split(":") for part in mesh.split(","))
    count = int(sizes["rows"]) * int(sizes.get("models", 1))
    assert other.diagnostics["devices"] == [str(d) for d in jax.devices()[:count]]
    assert other.diagnostics["mesh"]["rows"] == int(sizes["rows"])


@pytest.mark.slow
def test_work_of_one_mesh_serves_another(reference, tmp_path):
    models, one = reference
    run(dict(list(models.items())[:2]), "rows:2", workdir=tmp_path)
    more = run(models, "rows:8", workdir=tmp_path)
    assert more.diagnostics["work"]["graphs_reused"] > 0
    assert_same(one, more)


def test_more_devices_than_structures(rng):
    x = rng.normal(size=(5, 3))
    with pytest.raises(ValueError, match="8 devices for 5 structures"):
        ja.align({"a": x, "b": x}, metrics=("cka",), mesh="rows:8")
