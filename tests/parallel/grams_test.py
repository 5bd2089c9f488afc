"""The tile sweep over several devices and processes: the same terms as dense float64 matrices."""

import jax
import numpy as np
import pytest

import tests.oracles_gram as dense
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.gram_ring import accumulate_arguments, sharded_accumulate
from jaxalign.pairwise.gram_schedule import choose_layout, tile_table
from jaxalign.pairwise.grams import gram_terms
from jaxalign.pairwise.kernels import KERNELS
from jaxalign.parallel.mesh import make_mesh
from tests.multiprocess.cluster import run_cluster
from tests.oracles import anisotropic

# With this budget blocks are single tiles of 64 rows: three blocks a device, or more.
N, BLOCKS = 1101, 1000


def models(rng, n=N, width=70):
    """Mean cosine .998, an offset of a thousand deviations, another width; with duplicates."""
    z = rng.normal(size=(n, 16))
    xs = [
        anisotropic(rng, n, 16, 0.998),
        (z + 1e3).astype(np.float32),
        (z @ rng.normal(size=(16, width)) + 3).astype(np.float32),
    ]
    for x in xs:
        x[n // 2 : n // 2 + n // 10] = x[: n // 10]
    return xs


def sweep(xs, mesh, **settings):
    rows = [model_rows(x, "none") for x in xs]
    settings = {"kernels": KERNELS, "tile_size": 64, "memory_budget": BLOCKS} | settings
    return gram_terms(rows, route="tiles", precision="float32", mesh=mesh, **settings)


def check(found, xs, rows=slice(None), tolerance=1e-6):
    for kernel, terms in found.items():
        matrices = [dense.matrix(x, kernel) for x in xs]
        for how in dense.CENTERINGS:
            wanted = dense.terms(matrices, how)
            scale = np.sqrt(np.diag(wanted))
            error = (getattr(terms, how) - wanted[rows]) / np.outer(scale[rows], scale)
            assert np.abs(error).max() < tolerance, (kernel, how)


def mesh_of(devices, columns=1):
    return make_mesh(jax.devices()[:devices], models=columns)


@pytest.mark.parametrize(
    ("devices", "columns", "gather", "kernels", "width"),
    [
        pytest.param(2, 1, False, ("rbf", "linear"), 70, marks=pytest.mark.slow),
        pytest.param(3, 1, True, ("euclidean",), 40, marks=pytest.mark.slow),
        (8, 2, False, ("rbf",), 40),
    ],
)
def test_terms_do_not_depend_on_devices(rng, devices, columns, gather, kernels, width):
    xs, mesh = models(rng, width=width), mesh_of(devices, columns)
    check(sweep(xs, mesh, gather=gather, kernels=kernels), xs)
    if devices == 8:  # two of them have no rows; the program is the same
        few = [x[:: N // 11][:11] for x in xs]
        check(sweep(few, mesh, gather=gather, kernels=kernels), few)


@pytest.mark.slow
@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize(
    ("devices", "columns"), [(2, 1), (3, 1), (4, 1), (4, 2), (5, 1), (8, 1), (8, 2)]
)
def test_ring_and_gathered_blocks_give_the_same_terms(rng, devices, columns, gather):
    xs, mesh = models(rng), mesh_of(devices, columns)
    alone, found = sweep(xs, mesh_of(1)), sweep(xs, mesh, gather=gather)
    whole = sweep(xs, mesh, gather=gather, memory_budget=None)
    check(found, xs)
    check(whole, xs)
    for kernel in KERNELS:
        for how in dense.CENTERINGS:
            wanted = getattr(alone[kernel], how)
            scale = np.sqrt(np.diag(wanted))
            error = (getattr(found[kernel], how) - wanted) / np.outer(scale, scale)
            assert np.abs(error).max() < 1e-6, (kernel, how)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_new_models_alone(rng, devices):
    xs = models(rng)
    check(sweep(xs, mesh_of(devices), new=[2, 0]), xs, rows=[2, 0])


@pytest.mark.parametrize("devices", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("n", [9, 64, 700, 1101])
def test_every_pair_of_rows_is_met_once(rng, devices, n):
    if devices > n:
        return
    order = tuple(rng.permutation(devices).tolist())
    layout = choose_layout(
        n,
        np.array([64]),
        devices=devices,
        local=devices,
        dtype="float32",
        tile_size=16,
        budget=devices * 150_000,
        gather=False,
    )
    tile, seen = layout.tile, np.zeros((n, n), int)

    def rows(device, start, number):
        first, stop = layout.rows(device, start)
        return slice(min(stop, first + number * tile), min(stop, first + (number + 1) * tile))

    for left in layout.starts:
        for right in (s for s in layout.starts if s >= left):
            table, spans = tile_table(layout, left, right, order=order)
            for device, steps in enumerate(spans.tolist()):
                for step, (first, count) in enumerate(steps):
                    for i, j, weight in table[first : first + count].tolist():
                        a = rows(device, left, i)
                        b = rows(order[(order.index(device) + step) % devices], right, j)
                        seen[a, b] += 1
                        if weight == 2:
                            seen[b, a] += 1
    assert (seen == 1).all()


def test_the_budget_decides_between_ring_and_gathered_blocks():
    def gather(budget):
        return choose_layout(
            4096,
            np.array([64, 64]),
            devices=4,
            local=4,
            dtype="float32",
            tile_size=None,
            budget=budget,
            gather=None,
        ).gather

    assert gather(2**30)
    assert not gather(8 * 2**20)


def test_the_program_is_described_without_data():
    mesh, shape = mesh_of(4), {"tile": 64, "kernels": ("euclidean",), "own": True}
    arguments = accumulate_arguments(mesh, widths=[64, 64, 128], length=128, **shape)
    with jax.enable_x64(True):
        program = sharded_accumulate(mesh, **shape).lower(*arguments)
    (sums,) = program.out_info
    assert sums.products.shape == (3, 3)
    assert sums.left.shape == sums.right.shape == (3, 4 * 128)
    text = program.as_text()
    assert "collective_permute" in text
    assert "all_gather" not in text


TWO = """
    import sys, numpy as np
    from jaxalign.embeddings.sources import model_rows
    from jaxalign.pairwise.feature_grams import linear_feature_terms
    from jaxalign.pairwise.grams import gram_terms
    from jaxalign.pairwise.pair_ranks import spearman_terms

    stored = np.load(sys.argv[1])
    rows = [model_rows(stored[name], "none") for name in stored]
    tiles = gram_terms(rows, kernels=("euclidean", "rbf"), memory_budget=2_000_000, tile_size=64)
    terms = [*tiles.values(), linear_feature_terms(rows)]
    found = [getattr(t, how) for t in terms for how in ("biased", "debiased", "pairs")]
    found += spearman_terms(rows, pairs=5000)[:2]
    np.save(f"{sys.argv[2]}/{jax.process_index()}.npy", np.stack(found))
"""


@pytest.mark.slow
def test_two_processes_and_one_find_the_same(rng, tmp_path):
    xs = models(rng, 4500)  # more rows than one block of the survey
    np.savez(tmp_path / "x.npz", **{str(i): x for i, x in enumerate(xs)})
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        run_cluster(
            TWO, processes=processes, devices=4 // processes, args=[tmp_path / "x.npz", folder]
        )
        found += [np.load(folder / f"{i}.npy") for i in range(processes)]
    alone, first, second = found
    np.testing.assert_array_equal(first, second)
    scale = np.sqrt(np.stack([np.diag(term) for term in alone]).clip(1e-300))
    error = (first - alone) / (scale[:, :, None] * scale[:, None, :])
    assert np.abs(error[:-1]).max() < 1e-6
    np.testing.assert_allclose(first[-1], alone[-1], rtol=1e-9)
