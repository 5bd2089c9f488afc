"""Models on columns of a mesh: how they are dealt out, and that graphs do not depend on it."""

import json

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import tests.oracles as oracles
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._pair import model_graphs
from jaxalign.pairwise import sweep
from jaxalign.parallel.columns import choose_columns, column_order, deal, with_columns
from jaxalign.parallel.mesh import check_mesh, choose_mesh, make_mesh
from jaxalign.parallel.torus import grid_ring, side_by_side
from tests.multiprocess.cluster import run_cluster

N, K = 701, 9
WIDTHS = (24, 70, 20, 24)


def anisotropic_models(rng):
    """Mean cosine .998, duplicates in different numbers, a crowd that float32 cannot resolve."""
    models = []
    for number, d in enumerate(WIDTHS):
        x = oracles.anisotropic(rng, N, d, 0.998).astype(np.float32)
        x[300 : 300 + 40 * number] = x[: 40 * number]
        x[500:560] = x[7] * (1 + 1e-6 * rng.normal(size=(60, d)))
        models.append(model_rows(x, "none"))
    return models


def graphs_of(models, mesh, *, gather=None, similarity="euclidean"):
    found = model_graphs(models, k=K, similarity=similarity, mesh=mesh, gather=gather)
    return {number: (graph, facts) for number, graph, facts in found}


def check(monkeypatch, rng, meshes, similarity="euclidean"):
    models = anisotropic_models(rng)
    host = graphs_of(models, make_mesh(jax.devices()[:1]), similarity=similarity)
    monkeypatch.setattr(sweep, "HOST_ROWS", 0)
    for mesh, gather in meshes:
        found = graphs_of(models, mesh, gather=gather, similarity=similarity)
        assert sorted(found) == sorted(host) == list(range(len(WIDTHS)))
        for number, (graph, facts) in found.items():
            assert facts["rows_searched_fully"] == 0
            assert facts["rows_rechecked_float64"] > 0 or similarity == "inner"
            assert facts["duplicate_rows_skipped"] == 40 * number
            for one, other in zip(graph, host[number][0], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_models_on_two_columns_get_the_graphs_of_the_host(rng, monkeypatch):
    check(monkeypatch, rng, [(make_mesh(jax.devices()[:4], models=2), False)])


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["inner", "euclidean"])
@pytest.mark.parametrize("gather", [False, True])
def test_no_grid_changes_a_graph(rng, monkeypatch, similarity, gather):
    # Three columns leave a model over; a grid of the user's own has its columns crosswise.
    crosswise = check_mesh(Mesh(np.array(jax.devices()).reshape(4, 2), ("rows", "models")))
    made = ((8, 1), (8, 2), (8, 4), (8, 8), (6, 3))
    meshes = [make_mesh(jax.devices()[:d], models=m) for d, m in made]
    check(monkeypatch, rng, [(mesh, gather) for mesh in (*meshes, crosswise)], similarity)


_SOURCE = """
import json, sys
import jax, numpy as np
from jax.sharding import Mesh
import tests.parallel.columns_test as columns
from jaxalign.pairwise import sweep
from jaxalign.parallel.mesh import check_mesh, make_mesh

models = columns.anisotropic_models(np.random.default_rng(int(sys.argv[1])))[:2]
sweep.HOST_ROWS = 0
grid = np.array(jax.devices()).reshape(2, 2)
inside, across = check_mesh(Mesh(grid, ("rows", "models"))), make_mesh(models=2)
assert [d.process_index for d in inside.devices[:, 0]] == [0, 1]
assert [d.process_index for d in across.devices[:, 0]] == [0, 0]
meshes = {"inside": inside, "across": across}
found = columns.graphs_of(models, meshes[sys.argv[2]], gather=False)
print(json.dumps([[part.tolist() for part in found[n][0]] for n in range(2)]))
"""


@pytest.mark.parametrize("layout", ["across", pytest.param("inside", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_columns_across_or_inside_processes_give_the_graphs_of_one(rng, layout):
    seed = int(rng.integers(2**31))
    models = anisotropic_models(np.random.default_rng(seed))[:2]
    host = graphs_of(models, make_mesh(jax.devices()[:1]))
    for result in run_cluster(_SOURCE, args=[seed, layout], timeout=150):
        for number, parts in enumerate(json.loads(result.stdout)):
            for one, other in zip(parts, host[number][0], strict=True):
                np.testing.assert_array_equal(np.array(one, other.dtype), other)


@pytest.mark.parametrize(
    ("n", "models", "shape"),
    [
        (100, 1, (1, 1)),  # one device suffices for the rows, and there is no other model
        (100, 3, (1, 2)),  # columns divide the devices
        (100, 60, (1, 8)),
        (1500, 60, (2, 4)),
        (4096, 60, (8, 1)),  # every device has 512 rows to do
    ],
)
def test_devices_that_rows_do_not_need_serve_further_models(n, models, shape):
    assert choose_columns(None, n, models=models).devices.shape == shape


def test_a_given_mesh_has_no_more_columns_than_models():
    mesh = make_mesh(jax.devices(), models=4)
    assert choose_columns(mesh, 9, models=60) is mesh
    assert [with_columns(mesh, m).devices.shape for m in (1, 2, 3, 9)] == [
        (8, 1), (4, 2), (2, 4), (2, 4)
    ]  # fmt: skip


def test_models_of_similar_width_are_searched_together():
    mesh = make_mesh(jax.devices(), models=4)
    dealt = deal(mesh, [64, 512, 32, 512, 64, 128])
    assert [group for group, _ in dealt] == [[2, 0, 4, 5], [1, 3]]
    assert [grid.devices.shape for _, grid in dealt] == [(2, 4), (4, 2)]


def test_stages_without_columns_take_all_devices():
    mesh = choose_mesh(make_mesh(jax.devices()[:6], models=3), 100)
    assert mesh.devices.tolist() == [[device] for device in jax.devices()[:6]]


def test_columns_are_boxes_of_chips_with_rings():
    places = [(x, y, 0) for y in range(16) for x in range(16)]
    boxes = side_by_side(places, 16)
    assert sorted(number for box in boxes for number in box) == list(range(256))
    for box in boxes:
        xs, ys = ({places[number][axis] for number in box} for axis in (0, 1))
        assert (len(xs), len(ys)) == (4, 4)
    assert grid_ring([4, 4]) is not None
    assert side_by_side(places, 3) is None


def test_cpu_devices_have_no_places():
    assert column_order(make_mesh(jax.devices(), models=2)) is None
