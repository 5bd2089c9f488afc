"""Packed batches hold every structure once, padded on one ladder, and give each its own back."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.graph_packing import Field, GraphPacking, sum_atoms, unpack_atoms

LAYOUT = {
    "species": Field("atoms", dtype=np.int32),
    "centers": Field("edges", points_to="atoms", dtype=np.int32),
    "vectors": Field("edges", fill=(9.0, 0.0, 0.0)),
    "first": Field("angles", points_to="edges", dtype=np.int32),
    "charge": Field("graphs"),
}


def packing(atoms=64, edges=640, angles=1280):
    return GraphPacking(LAYOUT, {"atoms": atoms, "edges": edges, "angles": angles})


def example(rng, atoms):
    edges = int(rng.integers(0, 12 * atoms))
    angles = int(rng.integers(0, 2 * edges + 1)) if edges else 0
    return {
        "species": rng.integers(1, 90, atoms),
        "centers": np.sort(rng.integers(0, atoms, edges)),
        "vectors": rng.normal(size=(edges, 3)),
        "first": rng.integers(0, max(edges, 1), angles),
        "charge": np.float64(rng.normal()),
    }


@pytest.fixture
def examples(rng):
    return [example(rng, int(atoms)) for atoms in rng.integers(1, 13, 200)]


def test_every_example_comes_once_in_few_shapes(examples):
    plans = packing().plan(examples)
    assert sorted(np.concatenate([plan.rows for plan in plans]).tolist()) == list(range(200))
    assert all((np.diff(plan.rows) > 0).all() for plan in plans)
    usual = [plan for plan in plans if len(plan.rows) > 1]
    assert len({plan.shape for plan in usual}) == 1
    for plan in plans:
        total = np.sum([list(packing().counts(examples[i]).values()) for i in plan.rows], axis=0)
        room = dict(plan.shape)
        assert (total < [room["atoms"], room["edges"], room["angles"]]).all()  # and one to spare
        assert plan.real <= plan.computed


def test_little_is_padding(rng):
    # 1,500 like structures: each axis wastes a step of the ladder and what the deal leaves uneven.
    examples = [example(rng, int(atoms)) for atoms in rng.integers(4, 13, 1500)]
    plans = packing(512, 3_000, 3_000).plan(examples)
    assert 1 - sum(p.real for p in plans) / sum(p.computed for p in plans) < 0.25


def test_an_example_above_the_budget_runs_alone(examples, rng):
    large = example(rng, 500)
    plans = packing().plan([*examples, large])
    assert plans[-1].rows.tolist() == [200]
    batch = packing().collate([large], plans[-1].shape)
    np.testing.assert_array_equal(batch["species"][:500], large["species"])


def test_collated_arrays_hold_the_examples(examples):
    plan = packing().plan(examples)[0]
    chosen = [examples[i] for i in plan.rows]
    batch = packing().collate(chosen, plan.shape)
    atom = edge = angle = 0
    for number, one in enumerate(chosen):
        atoms, edges, angles = packing().counts(one).values()
        here = slice(atom, atom + atoms)
        np.testing.assert_array_equal(batch["species"][here], one["species"])
        np.testing.assert_array_equal(batch["graph"][here], number)
        np.testing.assert_array_equal(batch["slots"][number, :atoms], np.arange(atoms) + atom)
        np.testing.assert_array_equal(batch["slots"][number, atoms:], -1)
        near = slice(edge, edge + edges)
        np.testing.assert_array_equal(batch["centers"][near], one["centers"] + atom)
        np.testing.assert_array_equal(batch["vectors"][near], one["vectors"].astype(np.float32))
        np.testing.assert_array_equal(batch["first"][angle : angle + angles], one["first"] + edge)
        assert batch["charge"][number] == np.float32(one["charge"])
        atom, edge, angle = atom + atoms, edge + edges, angle + angles
    room = dict(plan.shape)
    assert (batch["atoms_mask"].sum(), batch["edges_mask"].sum()) == (atom, edge)
    # Padding points to the last slot of its axis, and so to nothing real.
    assert (batch["centers"][edge:] == room["atoms"] - 1).all()
    assert (batch["first"][angle:] == room["edges"] - 1).all()
    assert (batch["vectors"][edge:] == [9, 0, 0]).all()
    assert (batch["graph"][atom:] == room["graphs"]).all()
    assert (np.diff(batch["centers"]) >= 0).all()


def test_atoms_return_to_their_structures(examples, rng):
    plan = packing().plan(examples)[0]
    batch = packing().collate([examples[i] for i in plan.rows], plan.shape)
    values = rng.normal(size=(len(batch["graph"]), 3)).astype(np.float32)
    values[~batch["atoms_mask"]] = np.nan
    features = unpack_atoms(jnp.asarray(values), batch)
    sums = sum_atoms(jnp.asarray(values[:, 0]), batch)
    for number in range(len(plan.rows)):
        own = values[batch["graph"] == number]
        np.testing.assert_array_equal(features.values[number][features.mask[number]], own)
        np.testing.assert_allclose(sums[number], own[:, 0].sum(), rtol=1e-4, atol=1e-4)
    assert not np.asarray(features.mask)[len(plan.rows) :].any()
    assert not np.asarray(sums)[len(plan.rows) :].any()


def test_an_empty_batch_is_padding_alone():
    batch = packing().collate([], packing().smallest)
    assert not batch["atoms_mask"].any()
    assert batch["vectors"].shape[1:] == (3,)
    assert packing().plan([]) == ()
