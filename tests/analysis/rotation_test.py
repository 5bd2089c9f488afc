"""Drifts of functions whose drift is known, of networks, and their cache."""

import dataclasses
import functools
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import pdist

import jaxalign as ja
from jaxalign.analysis import rotation_table as table
from jaxalign.analysis.copies import renumbered, rotated, stretched
from jaxalign.analysis.rotation import NO_COORDINATES, RotationDrift, rotation_drift
from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import (
    Encoder,
    HostEncoder,
    NodeFeatures,
    UnsupportedStructureError,
)
from jaxalign.models.registry import load_model
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure, StructureSet


@pytest.fixture
def molecules(rng):
    counts = rng.integers(2, 9, size=12)
    sites = 1.3 * np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    return StructureSet(
        [
            Structure(
                id=f"m{i}",
                atomic_numbers=rng.integers(1, 9, size=n).astype(np.int32),
                positions=rng.permutation(sites)[:n]
                + rng.uniform(-0.3, 0.3, size=(n, 3))
                + 3 * rng.normal(size=3),
                cell=4 * np.eye(3) + 0.1 * rng.normal(size=(3, 3)) if i % 2 else None,
                pbc=(bool(i % 2),) * 3,
            )
            for i, n in enumerate(counts)
        ]
    )


def card(**facts):
    facts = {"modality": "3d", "symmetry": "invariant", "pooling": "none"} | facts
    return ModelCard(id="own", name="own", family="", pretrained=False, **facts)


def encoder(row, **facts):
    return HostEncoder(card(**facts), lambda many: np.array([row(s) for s in many], np.float32))


def sorted_distances(s):
    d = np.sort(pdist(s.positions - s.positions.mean(axis=0)))[::-1]
    return np.append(np.pad(d, (0, 40))[:40], 0 if s.cell is None else np.linalg.norm(s.cell[0]))


def heights(s):
    return [s.positions[:, 2].mean(), s.positions[:, 2].std()]


def test_copies_are_the_same_structures(molecules):
    for one, turned, order, larger in zip(
        molecules,
        rotated(molecules, copy=1, seed=1),
        renumbered(molecules, copy=1, seed=1),
        stretched(molecules),
        strict=True,
    ):
        assert one.id == turned.id == order.id == larger.id
        np.testing.assert_allclose(pdist(turned.positions), pdist(one.positions), atol=1e-9)
        assert np.abs(turned.positions - one.positions).max() > 1e-3
        if one.cell is not None:  # fractional coordinates and handedness stay
            np.testing.assert_allclose(
                turned.positions @ np.linalg.inv(turned.cell),
                one.positions @ np.linalg.inv(one.cell),
                atol=1e-9,
            )
            assert np.linalg.det(turned.cell) > 0
            np.testing.assert_allclose(larger.cell, one.cell * [1.05, 1.08, 1.12])
        atoms, others = (
            sorted((int(z), *p) for z, p in zip(s.atomic_numbers, s.positions, strict=True))
            for s in (one, order)
        )
        assert atoms == others
        np.testing.assert_allclose(larger.positions, one.positions * [1.05, 1.08, 1.12])


def test_an_invariant_encoder_passes(molecules):
    drift = rotation_drift(encoder(sorted_distances), molecules)
    assert (drift.structures, drift.reason) == (12, "")
    assert drift.rotation_max < 1e-6
    assert drift.holds_under_rotations
    assert drift.holds_under_permutations


@pytest.mark.parametrize("claim", ["invariant", "equivariant", "none"])
def test_an_encoder_that_looks_at_one_axis_fails_if_it_claims_invariance(molecules, claim):
    drift = rotation_drift(encoder(heights, symmetry=claim), molecules)
    assert drift.rotation_median > 0.05
    assert drift.holds_under_rotations is (False if claim == "invariant" else None)
    assert drift.holds_under_permutations
    assert drift.worst in molecules.ids


def test_an_encoder_that_reads_the_first_atom_fails_under_permutations(molecules):
    first = encoder(lambda s: [np.linalg.norm(s.positions[0] - s.positions.mean(axis=0))])
    drift = rotation_drift(first, molecules)
    assert drift.holds_under_rotations
    assert drift.holds_under_permutations is False
    ordered = encoder(lambda s: [np.linalg.norm(s.positions[0])], modality="protein-structure")
    assert math.isnan(rotation_drift(ordered, molecules).permutation_max)


def test_the_numbers_are_those_of_the_definition(molecules):
    drift = rotation_drift(encoder(heights), molecules, rotations=3, permutations=0, seed=5)
    rows = np.array([heights(s) for s in molecules])
    copies = [rotated(molecules, copy=copy, seed=5) for copy in range(3)]
    moved = [np.linalg.norm([heights(s) for s in copy] - rows, axis=1) for copy in copies]
    spread = np.sqrt(np.sum(rows.var(axis=0)))
    wanted = np.max(moved, axis=0) / spread
    np.testing.assert_allclose(drift.spread, spread, rtol=1e-5)
    np.testing.assert_allclose(drift.rotation_median, np.median(wanted), rtol=1e-4)
    np.testing.assert_allclose(drift.rotation_max, wanted.max(), rtol=1e-4)
    assert drift.worst == molecules.ids[wanted.argmax()]
    assert drift.holds_under_permutations is None


def test_encoders_without_coordinates_are_told_so(molecules):
    flat = Structure(id="a", smiles="CCO"), Structure(id="b", smiles="C")
    assert rotation_drift(encoder(sorted_distances), flat).reason == NO_COORDINATES
    for name in ("composition", "gaussian-noise"):
        assert ja.rotation_drift(name, molecules).reason == NO_COORDINATES
    string = encoder(heights, modality="string")
    assert rotation_drift(string, molecules).reason == NO_COORDINATES


def test_what_cannot_be_measured_has_a_reason(molecules):
    def refuse(s):
        if s.id != "m3":
            raise UnsupportedStructureError("too odd")
        return heights(s)

    drift = rotation_drift(encoder(refuse), molecules)
    assert drift.reason.startswith("1 of 12 structures can be embedded")
    assert "too odd" in drift.reason
    assert drift.holds_under_rotations is drift.holds_under_permutations is None

    def size(s):  # depends on coordinates, and not on the structure
        return [1.0 if s.positions[0, 0] == known[s.id] else 2.0]

    known = {s.id: s.positions[0, 0] for s in molecules}
    assert "same embedding" in rotation_drift(encoder(size), molecules).reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotations": 0}, "at least 1"),
        ({"permutations": -1}, "at least 0"),
        ({"layer": "aev"}, "no layers"),
    ],
)
def test_bad_requests(molecules, options, message):
    with pytest.raises(ValueError, match=message):
        rotation_drift(encoder(heights), molecules, **options)


def _apply(power, params, batch, layer):
    values = jnp.abs(jnp.asarray(batch["x"])) ** power if power else jnp.asarray(batch["x"])
    norm = jnp.sqrt(jnp.sum(values**2, axis=-1, keepdims=True))
    return NodeFeatures(norm if power is None else values, jnp.asarray(batch["mask"]))


INVARIANT, NOT = functools.partial(_apply, None), functools.partial(_apply, 2)


@pytest.mark.parametrize("apply", [INVARIANT, NOT], ids=["distance", "squares"])
def test_networks(molecules, apply):
    def pad(examples, bucket, rows):
        batch = {
            "x": np.zeros((rows, bucket, 3), np.float32),
            "mask": np.zeros((rows, bucket), bool),
        }
        for row, example in enumerate(examples):
            batch["x"][row, : len(example["x"])] = example["x"]
            batch["mask"][row, : len(example["x"])] = True
        return batch

    def featurize(s):
        if s.id.endswith("m0"):
            raise UnsupportedStructureError("foreign element")
        return {"x": s.positions - s.positions.mean(axis=0)}

    network = Encoder(
        card=card(pooling="mean", layer="a", layers=("a",)),
        params={},
        featurize=featurize,
        batching=RowBuckets(lambda e: len(e["x"]), (8,), lambda bucket: 16, pad),
        apply=apply,
    )
    drift = rotation_drift(network, molecules, pooling="sum")
    assert (drift.structures, drift.layer, drift.pooling) == (11, "a", "sum")
    assert drift.holds_under_permutations
    assert drift.holds_under_rotations is (apply is INVARIANT)


def test_drifts_survive_json(molecules):
    for function in (sorted_distances, heights):
        drift = rotation_drift(encoder(function), molecules, permutations=0)
        stored = json.loads(json.dumps(drift.to_json()))
        assert stored["permutation_max"] is None
        again = RotationDrift.from_json(stored | {"later": 1})
        assert repr(again) == repr(drift)  # NaN is not equal to itself


def test_finished_drifts_are_read_back(molecules, tmp_path, monkeypatch):
    models = ("coulomb-matrix", "composition", "sine-matrix")
    first = table.rotation_table(models, molecules, count=10, workdir=tmp_path)
    assert [d.model for d in first] == list(models)
    assert [d.structures for d in first] == [5, 0, 5]
    assert first[0].holds_under_rotations
    lines = (tmp_path / "rotation" / "rotation.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[2].endswith("no coordinates,,")
    monkeypatch.setattr(table, "load_model", lambda model: pytest.fail("computed again"))
    again = table.rotation_table(models, molecules, count=10, workdir=tmp_path)
    assert repr(again) == repr(first)
    with pytest.raises(pytest.fail.Exception):
        table.rotation_table(models, molecules, count=9, workdir=tmp_path)


def test_a_model_that_fails_does_not_stop_the_others(molecules, monkeypatch):
    def fail(model):
        raise ja.types.JaxalignError("no weights")

    monkeypatch.setattr(table, "load_model", fail)
    (drift,) = table.rotation_table(("composition",), molecules, count=4)
    assert drift.reason == "no weights"


def test_the_number_of_structures_is_checked(molecules):
    assert table.rotation_table(("composition",), molecules, count=0) == ()
    with pytest.raises(ValueError, match="at least 2"):
        table.rotation_table(("composition",), molecules, count=1)


def test_backbones_are_turned_and_have_no_other_order():
    chains = load_dataset("proteins", n=6, seed=1)
    for one, turned in zip(chains, rotated(chains, copy=0, seed=2), strict=True):
        flat = [s.backbone[:20].reshape(-1, 3) for s in (one, turned)]
        np.testing.assert_allclose(pdist(flat[1]), pdist(flat[0]), atol=1e-9)
        assert np.abs(flat[1] - flat[0]).max() > 1e-3
        assert turned.sequence == one.sequence
    for name in ("backbone-distances", "backbone-torsions", "contact-density"):
        drift = rotation_drift(load_model(name), chains)
        assert drift.holds_under_rotations is True
        assert drift.rotation_max < 1e-5
        assert (drift.structures, drift.permutations) == (6, 0)
        assert drift.holds_under_permutations is None
    for name in ("residue-composition", "gaussian-noise"):
        assert rotation_drift(load_model(name), chains).reason == NO_COORDINATES

    def first_atom(structures):
        return np.array([s.backbone[0, 0] for s in structures], np.float32)

    card = dataclasses.replace(load_model("backbone-distances").card, width=3)
    broken = rotation_drift(HostEncoder(card, first_atom), chains)
    assert broken.holds_under_rotations is False
