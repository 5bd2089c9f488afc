"""Features of atoms and bonds that MiniMol sees.

An atom has five numbers, then four one-hot blocks whose last place is for all other values:

    neighbors, hydrogens included, − 2 | formal charge | radical electrons | aromatic | in a ring
    element 43 + 1 | group of the periodic table 19 + 1 | period 7 + 1 | total valence 7 + 1    = 85

and a bond is

    type 4 + 1 | stereo of a double bond 6 + 1 | in a ring                                      = 13

Group 19 holds the elements from Ce to Lu and from Th to Lr; lanthanum and actinium are in group 3.
A bond's features take 5 · 7 · 2 = 70 different values: the number of its kind tells all of them.
There is no chirality and no isotope.

References:
  Kläser et al., "MiniMol: a parameter-efficient foundation model for molecular learning",
  arXiv:2404.14986; the documentation of graphium's featurizer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from rdkit import Chem

ATOM_FEATURES = 85
BOND_FEATURES = 13
KINDS = 70

_NUMBERS, _VALENCES = 5, 8
_SYMBOLS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni "
    "Cd In Mn Zr Cr Pt Hg Pb"
)
_ELEMENTS = _SYMBOLS.split()
_GROUPS, _PERIODS = 19, 7
_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)
_TYPES: Mapping[Chem.BondType, int] = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
_STEREO: Mapping[Chem.BondStereo, int] = {
    Chem.BondStereo.STEREONONE: 0,
    Chem.BondStereo.STEREOANY: 1,
    Chem.BondStereo.STEREOZ: 2,
    Chem.BondStereo.STEREOE: 3,
    Chem.BondStereo.STEREOCIS: 4,
    Chem.BondStereo.STEREOTRANS: 5,
}
_OTHER_TYPE, _OTHER_STEREO = len(_TYPES), len(_STEREO)


def group_and_period(number: int) -> tuple[int, int]:
    """Place of an element in the periodic table.

    Args:
      number: atomic number; 0, a dummy atom, counts as 118, as in the original.

    Returns:
      Group 1 to 18, or 19 as the module's docstring says; period 1 to 7.
    """
    number = number or _NOBLE_GASES[-1]
    period = next(row for row, last in enumerate(_NOBLE_GASES) if number <= last)
    start, end = _NOBLE_GASES[period - 1], _NOBLE_GASES[period]
    place, length = number - start, end - start
    if length == 32 and 4 <= place <= 17:
        return 19, period
    if place <= (2 if length < 18 else 3):
        return (18 if number == 2 else place), period
    return 18 - (length - place), period


@functools.cache
def _element_blocks() -> Float[np.ndarray, "numbers 72"]:
    """One-hot blocks of element, group and period, by atomic number."""
    symbols = Chem.GetPeriodicTable().GetElementSymbol
    starts = np.cumsum([0, len(_ELEMENTS) + 1, _GROUPS + 1])
    table = np.zeros((_NOBLE_GASES[-1] + 1, starts[-1] + _PERIODS + 1), np.float32)
    for number, row in enumerate(table):
        symbol = symbols(number) if number else "*"
        known = symbol in _ELEMENTS
        row[_ELEMENTS.index(symbol) if known else len(_ELEMENTS)] = 1
        group, period = group_and_period(number)
        row[starts[1] + group - 1] = row[starts[2] + period - 1] = 1
    return table


@functools.cache
def kind_features() -> Float[np.ndarray, "kinds 13"]:
    """Features of each kind of bond, `[70, 13]`; kind = (7 type + stereo) · 2 + in a ring."""
    table = np.zeros((KINDS, BOND_FEATURES), np.float32)
    for kind, row in enumerate(table):
        bond_type, stereo = divmod(kind // 2, _OTHER_STEREO + 1)
        row[bond_type] = row[_OTHER_TYPE + 1 + stereo] = 1
        row[-1] = kind % 2
    return table


def atom_features(molecule: Chem.Mol) -> Float[np.ndarray, "atoms 85"]:
    """Features of all atoms, as the module's docstring lists them.

    Args:
      molecule: a sanitized molecule.

    Returns:
      `[atoms, 85]` float32.
    """
    facts = [
        (
            atom.GetTotalDegree() - 2,
            atom.GetFormalCharge(),
            atom.GetNumRadicalElectrons(),
            atom.GetIsAromatic(),
            atom.IsInRing(),
            atom.GetAtomicNum(),
            atom.GetTotalValence(),
        )
        for atom in molecule.GetAtoms()
    ]
    values = np.array(facts, np.int64)
    features = np.zeros((len(facts), ATOM_FEATURES), np.float32)
    features[:, :_NUMBERS] = values[:, :_NUMBERS]
    features[:, _NUMBERS:-_VALENCES] = _element_blocks()[values[:, -2]]
    valence = np.minimum(values[:, -1], _VALENCES - 1)
    features[np.arange(len(facts)), ATOM_FEATURES - _VALENCES + valence] = 1
    return features


def bonds_of(molecule: Chem.Mol) -> tuple[list[tuple[int, int]], list[int]]:
    """The two atoms and the kind of each bond, in RDKit's order."""
    pairs, kinds = [], []
    for bond in molecule.GetBonds():
        pairs.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        bond_type = _TYPES.get(bond.GetBondType(), _OTHER_TYPE)
        stereo = _STEREO.get(bond.GetStereo(), _OTHER_STEREO)
        kinds.append(2 * ((_OTHER_STEREO + 1) * bond_type + stereo) + bond.IsInRing())
    return pairs, kinds
