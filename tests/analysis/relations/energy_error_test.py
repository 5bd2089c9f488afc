"""Composition-corrected errors against projectors written out, and what must not change them."""

import numpy as np
import pandas as pd
import pytest
from ase.units import Hartree

from jaxalign.analysis.relations.energy_error import (
    element_counts,
    energy_errors,
    without_composition,
)
from jaxalign.structures.structure import Structure

ELEMENTS = [1, 6, 8]


def made(rng, n=40, models=("good", "bad")):
    """A table, the counts, and the true labels."""
    counts = pd.DataFrame(
        rng.integers([1, 0, 0], [10, 9, 9], size=(n, 3)), index=[f"s{i}" for i in range(n)]
    )
    counts.columns = ELEMENTS
    label = counts.to_numpy() @ [-13.0, -1030.0, -2040.0] + rng.normal(size=n)
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "id": counts.index,
                "energy_ev": label + rng.normal(scale=scale, size=n),
                "u_ev": label,
            }
        )
        for model, scale in zip(models, (0.1, 1.0, 2.0), strict=False)
    ]
    return pd.concat(parts, ignore_index=True), counts


def test_counts_of_elements():
    structures = [
        Structure("w", atomic_numbers=np.array([8, 1, 1], np.int32)),
        Structure("text", smiles="C"),
        Structure("m", atomic_numbers=np.array([6, 1, 1, 1, 1], np.int32)),
    ]
    found = element_counts(structures)
    assert list(found.index) == ["w", "m"]
    assert list(found.columns) == [1, 6, 8]
    np.testing.assert_array_equal(found, [[2, 0, 1], [4, 1, 0]])
    assert element_counts([]).shape == (0, 0)


def test_residuals_are_those_of_the_projector(rng):
    counts = rng.integers(0, 6, size=(30, 4)).astype(np.float64)
    counts[:, 3] = counts[:, 0] + counts[:, 1]  # determined by the others
    counts = np.concatenate([counts, np.zeros((30, 1))], axis=1)  # an element that is absent
    values = rng.normal(size=30)
    projector = counts @ np.linalg.pinv(counts)
    np.testing.assert_allclose(
        without_composition(values, counts), values - projector @ values, atol=1e-10
    )


def test_errors_are_those_of_both_fits_subtracted(rng):
    table, counts = made(rng)
    found = energy_errors(table, counts, label="u_ev").set_index("model")
    x = counts.to_numpy(float)
    for model, rows in table.groupby("model"):
        left = []
        for column in ("u_ev", "energy_ev"):
            y = rows[column].to_numpy()
            left.append(y - x @ np.linalg.solve(x.T @ x, x.T @ y))
        assert found["mae_ev"][model] == pytest.approx(np.abs(left[0] - left[1]).mean(), rel=1e-6)
        wanted = np.sqrt(np.mean((left[0] - left[1]) ** 2))
        assert found["rmse_ev"][model] == pytest.approx(wanted, rel=1e-6)
    assert found["mae_ev"]["good"] < found["mae_ev"]["bad"]
    assert list(found["n"]) == [40, 40]
    assert list(found["elements"]) == [3, 3]


def test_zero_points_of_elements_change_nothing(rng):
    table, counts = made(rng)
    wanted = energy_errors(table, counts, label="u_ev")
    shift = counts.to_numpy() @ rng.normal(scale=100, size=3)
    table["u_ev"] += np.tile(shift, 2)
    table["energy_ev"] -= 2 * np.tile(shift, 2)
    found = energy_errors(table, counts, label="u_ev")
    columns = ["mae_ev", "rmse_ev", "mae_ev_per_atom"]
    np.testing.assert_allclose(found[columns], wanted[columns], rtol=1e-6)


def test_units_of_labels(rng):
    table, counts = made(rng)
    wanted = energy_errors(table, counts, label="u_ev")
    atoms = np.tile(counts.sum(axis=1).to_numpy(), 2)
    table["u_hartree"], table["u_ev_per_atom"] = table["u_ev"] / Hartree, table["u_ev"] / atoms
    for label in ("u_hartree", "u_ev_per_atom"):
        found = energy_errors(table, counts, label=label)
        np.testing.assert_allclose(found["mae_ev"], wanted["mae_ev"], rtol=1e-6)
    with pytest.raises(ValueError, match="ends with one of"):
        energy_errors(table.rename(columns={"u_ev": "u"}), counts, label="u")


def test_errors_per_atom_fit_fractions(rng):
    table, counts = made(rng)
    found = energy_errors(table, counts, label="u_ev").set_index("model")
    rows = table[table["model"] == "bad"]
    x = counts.to_numpy(float)
    atoms = x.sum(axis=1)
    y = (rows["u_ev"] - rows["energy_ev"]).to_numpy() / atoms
    x = x / atoms[:, None]
    left = y - x @ np.linalg.pinv(x) @ y
    assert found["mae_ev_per_atom"]["bad"] == pytest.approx(np.abs(left).mean(), rel=1e-6)


def test_all_are_judged_on_the_structures_of_all(rng):
    table, counts = made(rng)
    table.loc[3, "energy_ev"] = np.nan  # "good" refuses one
    table = table.drop(index=[5])  # and lacks another
    table.loc[table["id"] == "s7", "u_ev"] = np.nan  # no label
    found = energy_errors(table, counts.drop(index="s9"), label="u_ev")
    assert list(found["n"]) == [36, 36]
    assert list(found["model"]) == ["good", "bad"]
    keep = [name for name in counts.index if name not in ("s3", "s5", "s7", "s9")]
    only = table[table["id"].isin(keep)]
    wanted = energy_errors(only, counts.loc[keep], label="u_ev")
    np.testing.assert_allclose(found["mae_ev"], wanted["mae_ev"])


def test_too_few_structures_say_so(rng):
    table, counts = made(rng, n=5)
    found = energy_errors(table, counts, label="u_ev")
    assert found["mae_ev"].isna().all()
    assert "5 common structures with labels are too few" in found["reason"][0]
    table["u_ev"] = np.nan
    assert list(energy_errors(table, counts, label="u_ev")["n"]) == [0, 0]


def test_missing_columns(rng):
    table, counts = made(rng)
    with pytest.raises(ValueError, match=r"lacks \['u0_hartree'\]"):
        energy_errors(table, counts, label="u0_hartree")
