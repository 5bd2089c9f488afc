"""The sharded programs compile for TPU, fit, and send while they multiply; no TPU is needed."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.pairwise.row_keys import fixed_point
from jaxalign.pairwise.row_products import _pack
from jaxalign.pairwise.row_ranks import _device_ranks
from jaxalign.parallel.mesh import make_mesh, split, whole

pytest.importorskip("libtpu", reason="the TPU compiler is not installed: pip install '.[tpu]'")

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tpu_figures import examine
from tpu_programs import encoder_case, search_case, sweep_case, tpu_mesh

pytestmark = pytest.mark.tpu_compile
# The smallest slice on which only chips beside each other are reached while others compute.
TOPOLOGY, CHIPS = "v5e:4x8", 32
ROWS, WIDTH, MODELS, TILE = 1024, 128, 3, 256
SMALL = 0.05  # share of the memory of a chip


@pytest.fixture(scope="module")
def mesh():
    return tpu_mesh(TOPOLOGY)


def permutations(row, part):
    """Messages of one part of a program between neighbors of the ring, the largest first."""
    found = [m for m in row["messages"] if m["kind"] == "collective-permute" and part in m["scope"]]
    return sorted(found, key=lambda m: -m["times"] * m["mb"])


def test_search_sends_blocks_while_it_multiplies(mesh):
    case = search_case(mesh, rows=ROWS, width=WIDTH, k=10, gather=False)
    row = examine(case, TOPOLOGY)
    assert row["memory_share"] < SMALL
    assert row["over_floor"] == pytest.approx(1)
    assert row["passes"] == 1  # bfloat16 proposes
    operands, *_ = permutations(row, "propose")
    assert operands["times"] == CHIPS - 1
    assert operands["mb"] == pytest.approx(ROWS * WIDTH * 2 / 1e6)
    assert operands["gflop_meanwhile"] == pytest.approx(2 * ROWS**2 * WIDTH / 1e9)
    rows, *_ = permutations(row, "decide")
    assert (rows["times"], rows["mb"]) == (CHIPS - 1, pytest.approx(ROWS * WIDTH * 4 / 1e6))


def test_gathered_search_sends_the_same_bytes_at_once(mesh):
    case = search_case(mesh, rows=ROWS, width=WIDTH, k=10, gather=True)
    row = examine(case, TOPOLOGY)
    assert row["memory_share"] < SMALL
    assert {m["kind"] for m in row["messages"]} == {"all-gather"}
    least = (CHIPS - 1) * ROWS * WIDTH * (2 + 4) / 1e9
    assert least <= row["gb_sent"] < 1.1 * least


def test_columns_of_models_send_along_their_columns_alone(mesh):
    grid = make_mesh(mesh.devices.ravel().tolist(), models=4)
    settings = {"rows": ROWS, "width": WIDTH, "k": 10, "gather": False, "models": 4}
    row = examine(search_case(grid, **settings), TOPOLOGY)
    assert row["over_floor"] == pytest.approx(1)
    operands, *_ = permutations(row, "propose")
    assert operands["times"] == CHIPS // 4 - 1
    assert operands["mb"] == pytest.approx(ROWS * WIDTH * 2 / 1e6)
    # Chips of a column lie in a box, each beside the next: messages are not waited for.
    assert operands["gflop_meanwhile"] == pytest.approx(2 * ROWS**2 * WIDTH / 1e9)


def test_programs_in_pairs_of_float32_compile(mesh):
    """Ranks and thresholds: keys in fixed point, since pairs have no bits to sort by."""
    one, keys = make_mesh(mesh.devices.ravel().tolist()[:1]), fixed_point(512, 9.0)

    def shape(*sizes, dtype=np.float64):
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=split(one) if sizes else whole(one))

    columns = (shape(512), shape(512, dtype=np.int32), None)
    lists = shape(2, 64, 5, dtype=np.int32), shape(512, dtype=np.int64)
    with jax.enable_x64(True):
        products = [shape(64, 512)]
        own = shape(64), shape(64, dtype=np.int32)
        _pack(one, keys).lower(products, *own, *columns).compile()
        ranked = shape(64, 512, dtype=np.int64), *lists, shape(64), shape()
        _device_ranks.lower(*ranked, form=keys).compile()


def test_sweep_sends_blocks_while_it_multiplies(mesh):
    case = sweep_case(mesh, rows=ROWS, width=WIDTH, models=MODELS, tile=TILE)
    row = examine(case, TOPOLOGY)
    assert row["memory_share"] < SMALL
    assert row["passes"] == 6  # float32 at precision HIGHEST
    # A tile on the diagonal is computed whole, where half would do.
    assert 1 < row["over_floor"] < 1.1
    blocks, *_ = permutations(row, "")
    assert blocks["times"] == CHIPS // 2
    assert blocks["mb"] == pytest.approx(MODELS * ROWS * WIDTH * 4 / 1e6)
    assert blocks["gflop_meanwhile"] > 0
    assert row["exposed_s"] < row["exchange_s"]


def test_encoder_sends_nothing(mesh):
    row = examine(encoder_case(mesh, rows=32), TOPOLOGY)
    assert row["memory_share"] < SMALL
    assert row["passes"] == 6
    assert row["over_floor"] == pytest.approx(1)
    assert not row["messages"]
