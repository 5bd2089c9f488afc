"""Targets: composition fitted on training structures alone, standardized, back in eV."""

import dataclasses

import numpy as np
import pytest
from ase.units import Hartree
from sklearn.linear_model import LinearRegression

from jaxalign.learning.training.task import make_task
from jaxalign.structures.structure import StructureSet
from tests.learning.training import toys

SIZES = {"validation": 20, "test": 20}


def counts(structures):
    return np.array([[(s.atomic_numbers == z).sum() for z in toys.ELEMENTS] for s in structures])


def test_targets_are_standardized_residuals_of_a_fit_to_training_structures(rng):
    structures = toys.molecules(150, rng.integers(2**31), noise=0.02)
    task = make_task(structures, label="u0_hartree", **SIZES)
    train, test = task.splits.train, task.splits.test
    energies = [np.array([s.labels["u0_hartree"] for s in p]) * Hartree for p in (train, test)]
    fit = LinearRegression(fit_intercept=False).fit(counts(train), energies[0])
    left = energies[0] - fit.predict(counts(train))
    np.testing.assert_allclose([task.mean, task.std], [left.mean(), left.std()], atol=1e-9)
    expected = (energies[1] - fit.predict(counts(test)) - left.mean()) / left.std()
    np.testing.assert_allclose(task.targets(test), expected, atol=1e-7)
    np.testing.assert_allclose([*task.coefficients.values()], fit.coef_, atol=1e-9)
    standardized = task.targets(train)
    np.testing.assert_allclose([standardized.mean(), standardized.std()], [0, 1], atol=1e-9)


def changed(structures, ids, **labels):
    return StructureSet(
        [
            dataclasses.replace(s, labels={**s.labels, **labels}) if s.id in ids else s
            for s in structures
        ]
    )


def test_validation_and_test_labels_leave_no_trace(rng):
    structures = toys.molecules(80, rng.integers(2**31))
    task = make_task(structures, label="u0_hartree", **SIZES)
    held = {*task.splits.validation.ids, *task.splits.test.ids}
    other = make_task(changed(structures, held, u0_hartree=5.0), label="u0_hartree", **SIZES)
    assert (other.mean, other.std) == (task.mean, task.std)
    assert other.coefficients == task.coefficients
    assert other.identity != task.identity
    train = {task.splits.train.ids[0]}
    other = make_task(changed(structures, train, u0_hartree=5.0), label="u0_hartree", **SIZES)
    assert other.coefficients != task.coefficients


def test_other_labels_have_no_composition_part(rng):
    structures = toys.molecules(80, rng.integers(2**31))
    task = make_task(structures, label="gap_hartree", composition=False, **SIZES)
    train = np.array([s.labels["gap_hartree"] for s in task.splits.train]) * Hartree
    np.testing.assert_allclose(
        task.targets(task.splits.train), (train - train.mean()) / train.std(), atol=1e-12
    )
    assert task.coefficients == {}


def test_energies_per_atom_are_fitted_to_fractions(rng):
    structures = toys.molecules(80, rng.integers(2**31))
    task = make_task(structures, label="formation_energy_ev_per_atom", **SIZES)
    train = task.splits.train
    elements = [*task.coefficients]
    share = np.array([[np.mean(s.atomic_numbers == z) for z in elements] for s in train])
    labels = np.array([s.labels["formation_energy_ev_per_atom"] for s in train])
    left = labels - share @ np.linalg.pinv(share) @ labels
    np.testing.assert_allclose(task.std, left.std(), rtol=1e-9)


def test_an_element_that_training_lacks_is_named(rng):
    structures = toys.molecules(60, rng.integers(2**31))
    task = make_task(structures, label="u0_hartree", **SIZES)
    victim = task.splits.test.ids[3]
    odd = [
        dataclasses.replace(s, atomic_numbers=np.array([9, 6], np.int32), positions=np.eye(3)[:2])
        if s.id == victim
        else s
        for s in structures
    ]
    with pytest.raises(ValueError, match=rf"1 structures have elements .*\[9\].*{victim}"):
        make_task(StructureSet(odd), label="u0_hartree", **SIZES)


def test_missing_labels_are_named(rng):
    structures = toys.molecules(60, rng.integers(2**31))
    bad = changed(structures, {"m7"}, u0_hartree=float("nan"))
    with pytest.raises(ValueError, match=r"1 of .* structures have no finite label .*m7"):
        make_task(bad, label="u0_hartree", **SIZES)
    with pytest.raises(ValueError, match=r"choose among \['formation_.*, 'gap_hartree', 'u0_"):
        make_task(structures, label="enthalpy_ev", **SIZES)
    with pytest.raises(ValueError, match="ends with one of"):
        make_task(structures, label="u0", **SIZES)


def test_a_label_that_does_not_vary_is_refused(rng):
    structures = toys.molecules(60, rng.integers(2**31))
    flat = changed(structures, set(structures.ids), gap_hartree=0.25)
    with pytest.raises(ValueError, match="does not vary"):
        make_task(flat, label="gap_hartree", composition=False, **SIZES)
    mixed = [s for s in structures if len(set(s.atomic_numbers.tolist())) > 1]
    with pytest.raises(ValueError, match="1 training structures are too few"):
        make_task(StructureSet(mixed, name="mixed"), label="u0_hartree", train=1, **SIZES)
