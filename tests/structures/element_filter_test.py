"""Filters by elements: atoms and SMILES alike."""

import numpy as np
import pytest

from jaxalign.structures.element_filter import elements_of, with_elements
from jaxalign.structures.structure import Structure, StructureSet

ATOMS = Structure(id="w", atomic_numbers=np.array([8, 1, 1], np.int32), positions=np.eye(3))
SET = StructureSet(
    [
        ATOMS,
        Structure(id="thiol", smiles="CCS"),
        Structure(id="chloride", smiles="CCCl"),
        Structure(id="alcohol", smiles="CCO"),
    ]
)


@pytest.mark.parametrize(
    ("within", "containing", "ids"),
    [
        ((), (), ("w", "thiol", "chloride", "alcohol")),
        (("H", "C", "O"), (), ("w", "alcohol")),
        ((), ("S", "Cl"), ("thiol", "chloride")),
        (("H", "C", "S"), ("S", "Cl"), ("thiol",)),
        ((), "Cl", ("chloride",)),
    ],
)
def test_elements_decide(within, containing, ids):
    assert with_elements(SET, within=within, containing=containing).ids == ids


def test_hydrogen_of_a_smiles_counts():
    assert elements_of(SET[3]) == {1, 6, 8}


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="Xx"):
        with_elements(SET, within=("Xx",))
    with pytest.raises(ValueError, match="allow more"):
        with_elements(SET, within=("He",))
    with pytest.raises(ValueError, match="neither"):
        with_elements(StructureSet([Structure(id="p", sequence="AA")]))
