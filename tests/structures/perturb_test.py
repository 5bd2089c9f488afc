import dataclasses
import itertools

import numpy as np
import pytest

from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.perturb import KINDS, perturb, perturb_structure
from jaxalign.structures.structure import Structure, StructureSet


@pytest.fixture(scope="module")
def crystals():
    return load_dataset("crystals", n=12, seed=4)


@pytest.fixture(scope="module")
def molecules():
    return load_dataset("qm9", n=6, seed=4)


def _same(x, y):
    return (
        np.array_equal(x.positions, y.positions)
        and np.array_equal(x.atomic_numbers, y.atomic_numbers)
        and ((x.cell is None and y.cell is None) or np.array_equal(x.cell, y.cell))
    )


def test_ids_groups_and_order_of_a_sweep(crystals):
    sweep = perturb(crystals, kind="rattle", amplitudes=(0.1, 0.125), copies=2)
    assert sweep.name == "crystals~rattle"
    assert len(sweep) == 48
    first, last = crystals.ids[0], crystals.ids[-1]
    assert sweep.ids[0] == f"{first}~rattle0.10#0"
    assert sweep.ids[12] == f"{first}~rattle0.10#1"
    assert sweep.ids[-1] == f"{last}~rattle0.125#1"
    assert [s.group for s in sweep] == list(crystals.ids) * 4
    assert {s.labels["rattle_angstrom"] for s in sweep} == {0.1, 0.125}


@pytest.mark.parametrize("kind", KINDS)
def test_amplitude_zero_is_the_parent(kind, molecules):
    sweep = perturb(molecules, kind=kind, amplitudes=(0,), copies=3)
    assert len(sweep) == len(molecules)
    for parent, copy in zip(molecules, sweep, strict=True):
        assert _same(parent, copy)
        assert copy.smiles == parent.smiles
        assert parent.labels.items() <= copy.labels.items()
        renamed = dataclasses.replace(copy, id=parent.id, group=parent.group)
        assert renamed.digest() == parent.digest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_depends_on_its_parent_alone(kind, crystals):
    strengths = (1,) if kind in ("rotation", "permutation") else (0.2,)
    sweep = perturb(crystals, kind=kind, amplitudes=strengths, copies=2, seed=3)
    reverse = StructureSet(tuple(crystals)[::-3], name="others")
    others = {s.id: s for s in perturb(reverse, kind=kind, amplitudes=strengths, copies=2, seed=3)}
    by_id = {s.id: s for s in sweep}
    assert all(_same(by_id[name], copy) for name, copy in others.items())
    reseeded = perturb(crystals, kind=kind, amplitudes=strengths, copies=2, seed=4)
    assert reseeded.content_hash != sweep.content_hash
    assert sum(_same(x, y) for x, y in zip(sweep[:12], sweep[12:], strict=True)) < 6
    alone = perturb_structure(crystals[3], kind, amplitude=strengths[0], copy=1, seed=3)
    assert alone.digest() == sweep[15].digest()


def test_rattling_has_the_stated_size_and_goes_one_way(crystals):
    sweep = perturb(crystals, kind="rattle", amplitudes=(0.05, 0.5), copies=20)
    parents = {s.id: s for s in crystals}
    shifts = [s.positions - parents[s.group].positions for s in sweep]
    half = len(shifts) // 2
    small, large = (np.concatenate(part) for part in (shifts[:half], shifts[half:]))
    np.testing.assert_allclose(large, 10 * small, atol=1e-12)
    assert abs(small.std() / 0.05 - 1) < 0.1  # thousands of draws: six deviations away
    assert all(np.array_equal(s.cell, parents[s.group].cell) for s in sweep)


def test_strain_is_symmetric_with_the_stated_principal_value(crystals):
    for parent, copy in zip(
        crystals, perturb(crystals, kind="strain", amplitudes=(0.07,)), strict=True
    ):
        matrix = np.linalg.solve(parent.cell, copy.cell) - np.eye(3)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        assert np.abs(np.linalg.eigvalsh(matrix)).max() == pytest.approx(0.07)
        scaled = np.linalg.solve(copy.cell.T, copy.positions.T)
        np.testing.assert_allclose(
            scaled, np.linalg.solve(parent.cell.T, parent.positions.T), atol=1e-10
        )


def test_rotations_are_proper_and_uniform():
    points = np.eye(3)
    parents = StructureSet(
        Structure(id=str(row), atomic_numbers=np.ones(3, np.int32), positions=points, cell=points)
        for row in range(500)
    )
    turned = perturb(parents, kind="rotation")
    matrices = np.stack([s.positions for s in turned])
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(points, (500, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    assert all(np.array_equal(s.cell, s.positions) for s in turned)
    # Uniform over SO(3): entries have mean 0 and mean square 1/3, the trace has mean 0, variance 1.
    assert np.abs(matrices.mean(axis=0)).max() < 0.15
    assert np.abs((matrices**2).mean(axis=0) - 1 / 3).max() < 0.08
    assert abs(np.trace(matrices, axis1=1, axis2=2).var() - 1) < 0.4


def test_permutations_reorder_atoms_and_what_they_are(molecules):
    copies = perturb(molecules, kind="permutation")
    for parent, copy in zip(molecules, copies, strict=True):
        rows = [*zip(parent.atomic_numbers.tolist(), parent.positions.tolist(), strict=True)]
        assert rows != (
            moved := [*zip(copy.atomic_numbers.tolist(), copy.positions.tolist(), strict=True)]
        )
        assert sorted(rows) == sorted(moved)


def test_what_no_longer_holds_is_dropped(molecules):
    for kind in KINDS:
        copy = perturb_structure(molecules[0], kind, amplitude=1 if kind != "strain" else 0.5)
        keeps = kind in ("rotation", "permutation")
        assert (copy.smiles is not None) == keeps
        assert ("u0_hartree" in copy.labels) == keeps


def test_vacancies_are_nested_and_leave_an_atom(crystals, rng):
    parent = crystals[int(np.argmax([len(s.positions) for s in crystals]))]
    atoms = len(parent.positions)
    left = [
        {tuple(p) for p in perturb_structure(parent, "vacancies", amplitude=a).positions.tolist()}
        for a in (0, 1, 0.3, 0.6, 0.99, 1000)
    ]
    assert [len(kept) for kept in left] == [
        *(atoms, atoms - 1, atoms - round(0.3 * atoms), atoms - round(0.6 * atoms)),
        *(max(1, atoms - round(0.99 * atoms)), 1),
    ]
    assert all(later <= earlier for earlier, later in itertools.pairwise(left))
    alone = Structure(id="x", atomic_numbers=np.array([1], np.int32), positions=rng.random((1, 3)))
    copy = perturb_structure(alone, "vacancies", amplitude=1)
    assert copy.id == "x~vacancies1#0"
    assert np.array_equal(copy.positions, alone.positions)


def test_copies_of_copies_stay_in_the_group(crystals):
    twice = perturb(perturb(crystals, kind="strain", amplitudes=(0.1,)), kind="rotation")
    assert twice.ids[0] == f"{crystals.ids[0]}~strain0.10#0~rotation1#0"
    assert [s.group for s in twice] == list(crystals.ids)
    assert twice[0].labels == {"strain": 0.1, "rotation": 1.0}


def test_bad_arguments(crystals):
    with pytest.raises(ValueError, match="unknown perturbation 'shake'; choose one of rattle"):
        perturb(crystals, kind="shake")
    for kind, amplitude in (
        *(("rattle", -0.1), ("rattle", float("nan")), ("rattle", float("inf"))),
        *(("strain", 1.0), ("rotation", 0.5), ("permutation", 2), ("vacancies", 1.5)),
    ):
        with pytest.raises(ValueError, match=f"amplitude of {kind} must not be negative, and"):
            perturb(crystals, kind=kind, amplitudes=(amplitude,))
    for amplitudes in ((), (0.1, 0.1)):
        with pytest.raises(ValueError, match="each named once"):
            perturb(crystals, amplitudes=amplitudes)
    for copies in (0, True):
        with pytest.raises(ValueError, match="copies must be a positive integer"):
            perturb(crystals, copies=copies)
    with pytest.raises(ValueError, match=r"'moses-scaffolds/.* has no atoms to perturb"):
        perturb(load_dataset("moses-scaffolds", n=2))


@pytest.fixture(scope="module")
def chains():
    return load_dataset("proteins", n=3, seed=4)


def test_backbones_are_rattled_strained_and_turned(chains):
    for kind, amplitude in (("rattle", 0.1), ("strain", 0.05), ("rotation", 1)):
        for parent, copy in zip(
            chains, perturb(chains, kind=kind, amplitudes=(amplitude,)), strict=True
        ):
            assert copy.backbone.shape == parent.backbone.shape
            assert copy.group == parent.group
            moved = copy.backbone - parent.backbone
            assert np.abs(moved).max() > 1e-3
            if kind == "rattle":
                assert abs(moved.std() / amplitude - 1) < 0.15
            else:  # one matrix for all
                matrix = np.linalg.lstsq(
                    parent.backbone.reshape(-1, 3), copy.backbone.reshape(-1, 3), rcond=None
                )[0]
                np.testing.assert_allclose(copy.backbone, parent.backbone @ matrix, atol=1e-9)
                singular = np.linalg.svd(matrix, compute_uv=False)
                assert np.abs(singular - 1).max() == pytest.approx(
                    0 if kind == "rotation" else amplitude, abs=1e-9
                )
            assert copy.sequence == (parent.sequence if kind == "rotation" else None)


def test_missing_backbone_atoms_stay_missing(chains):
    holes = chains[0].backbone.copy()
    holes[4, 1:] = np.nan
    parent = dataclasses.replace(chains[0], backbone=holes)
    for kind, amplitude in (("rattle", 0.1), ("strain", 0.05), ("rotation", 1)):
        copy = perturb_structure(parent, kind, amplitude=amplitude)
        np.testing.assert_array_equal(np.isnan(copy.backbone), np.isnan(holes))


@pytest.mark.parametrize("kind", ["permutation", "vacancies"])
def test_residues_have_an_order(kind, chains):
    with pytest.raises(ValueError, match=r"has a backbone but no atoms.*rattle, strain, rotation"):
        perturb_structure(chains[0], kind, amplitude=1)
