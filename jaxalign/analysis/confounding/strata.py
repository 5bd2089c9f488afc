"""Strata: structures that are alike in one trivial respect, and may change places under a null.

A permutation within strata keeps everything that the label says of a structure. What remains of an
alignment beyond such permutations is not explained by the label.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType

import ase.data
import numpy as np
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from jaxalign.analysis.confounding.families import THRESHOLD, K, sequence_families
from jaxalign.models.descriptors.controls import atom_count, composition
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

BINS = 10
"""Bins of sizes: about equally full."""


@dataclasses.dataclass(frozen=True)
class Strata:
    """One label a structure.

    Attributes:
      by: what the labels are.
      ids: of the structures.
      labels: one a structure, in the order of `ids`.
      assumption: what permutations within strata take for granted, as a sentence.
    """

    by: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    assumption: str

    def __post_init__(self):
        if len(self.ids) != len(self.labels):
            raise ValueError(
                f"strata need one label a structure: got {len(self.labels)} labels and "
                f"{len(self.ids)} ids"
            )

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """Structures of each label, in order of first occurrence."""
        return dict(Counter(self.labels))

    @property
    def movable(self) -> float:
        """Share of the structures that are not alone in their stratum."""
        return sum(size for size in self.sizes.values() if size > 1) / max(len(self.labels), 1)

    def by_id(self) -> dict[str, str]:
        """Id → label."""
        return dict(zip(self.ids, self.labels, strict=True))


def strata(structures: Sequence[Structure], by: str) -> Strata:
    """Labels of structures in one respect.

    Args:
      structures: what is aligned.
      by: `"composition"` (reduced formula), `"atom_count"` (atoms, or residues of chains, in about
        ten equally full bins), `"scaffold"` (Bemis–Murcko), `"parent"` (the recorded group; a
        structure without is its own) or `"protein_family"` (shared k-mers, see `families`).

    Returns:
      Labels with the exchangeability that they assume.

    Raises:
      ValueError: an unknown kind, or structures that have not what it needs (the first is named).

    References:
      Bemis, Murcko: J. Med. Chem. 39, 2887 (1996).
    """
    if by not in KINDS:
        raise ValueError(f"strata by {by!r} are unknown: choose one of {', '.join(KINDS)}")
    if not len(structures):
        raise ValueError(f"no strata by {by}: there are no structures")
    label, assumption = KINDS[by]
    try:
        labels = label(structures)
    except UnsupportedStructureError as error:
        raise ValueError(f"no strata by {by}: {error}") from error
    return Strata(by, tuple(s.id for s in structures), tuple(labels), assumption)


def reduced_formula(structure: Structure) -> str:
    """Formula with the least whole numbers, elements by atomic number: `"H2O"`, `"NaCl"`.

    Raises:
      UnsupportedStructureError: if there are neither atoms nor a readable SMILES.
    """
    counts = np.rint(composition(structure) * atom_count(structure)[0]).astype(np.int64)
    kinds = np.flatnonzero(counts)
    least = counts[kinds] // np.gcd.reduce(counts[kinds])
    symbols = (ase.data.chemical_symbols[z + 1] for z in kinds.tolist())
    return "".join(
        symbol if number == 1 else f"{symbol}{number}"
        for symbol, number in zip(symbols, least.tolist(), strict=True)
    )


def scaffold(structure: Structure) -> str:
    """Canonical SMILES of the ring systems and what links them; `"acyclic"` if there are none.

    Raises:
      UnsupportedStructureError: if there is no readable SMILES.
    """
    molecule = None if structure.smiles is None else Chem.MolFromSmiles(structure.smiles)
    if molecule is None:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has no readable SMILES: {structure.smiles!r}"
        )
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule)) or "acyclic"


def _size_bins(structures: Sequence[Structure]) -> list[str]:
    sizes = np.array([_size(structure) for structure in structures])
    edges = np.unique(np.quantile(sizes, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    bins = np.searchsorted(edges, sizes)  # one size is always of one bin
    spans = {b: (sizes[bins == b].min(), sizes[bins == b].max()) for b in np.unique(bins).tolist()}
    words = {b: str(low) if low == high else f"{low}-{high}" for b, (low, high) in spans.items()}
    return [words[b] for b in bins.tolist()]


def _size(structure: Structure) -> int:
    if structure.atomic_numbers is None and structure.smiles is None and structure.sequence:
        return len(structure.sequence)
    return int(atom_count(structure)[0])


def _parents(structures: Sequence[Structure]) -> list[str]:
    return [s.id if s.group is None else s.group for s in structures]


def _families(structures: Sequence[Structure]) -> list[str]:
    missing = [s.id for s in structures if not s.sequence]
    if missing:
        raise UnsupportedStructureError(f"structure {missing[0]!r} has no sequence")
    first = sequence_families([s.sequence for s in structures])
    return [structures[row].id for row in first.tolist()]


def _each(label: Callable[[Structure], str]) -> Callable[[Sequence[Structure]], list[str]]:
    return lambda structures: [label(structure) for structure in structures]


KINDS = MappingProxyType(
    {
        "composition": (
            _each(reduced_formula),
            "Structures of equal reduced formula are exchangeable.",
        ),
        "atom_count": (_size_bins, "Structures of about equal size are exchangeable."),
        "scaffold": (
            _each(scaffold),
            "Molecules of equal Bemis–Murcko scaffold are exchangeable; those without rings count "
            "as one scaffold.",
        ),
        "parent": (_parents, "Structures made from the same parent are exchangeable."),
        "protein_family": (
            _families,
            f"Chains of one family (linked by Jaccard similarities of {K}-mers of at least "
            f"{THRESHOLD:g}) are exchangeable.",
        ),
    }
)
"""Kind → function of all structures, assumption."""
