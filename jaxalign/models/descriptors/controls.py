"""Encoders without weights: what trivial facts about a structure, or chance, already achieve."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import HostEncoder, UnsupportedStructureError
from jaxalign.models.entry import ModelEntry
from jaxalign.structures.structure import Structure

ELEMENTS = 100
ECFP_BITS = 2048
NOISE_WIDTH = 256


def _molecule(structure: Structure) -> Chem.Mol:
    if structure.smiles is None:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has no SMILES, which this control needs; "
            "read the data from a source with SMILES"
        )
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(structure.smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise UnsupportedStructureError(
            f"RDKit cannot read the SMILES {structure.smiles!r} of structure {structure.id!r}; "
            "mend it or leave the structure out"
        )
    return molecule


def _atomic_numbers(structure: Structure) -> Int[np.ndarray, " atoms"]:
    if structure.atomic_numbers is not None and len(structure.atomic_numbers):
        return np.asarray(structure.atomic_numbers)
    atoms = Chem.AddHs(_molecule(structure)).GetAtoms()
    return np.array([atom.GetAtomicNum() for atom in atoms], np.int32)


def composition(structure: Structure) -> Float[np.ndarray, " elements"]:
    """Fractions of the elements 1 to 100 among all atoms, hydrogens included.

    Args:
      structure: one with atoms, or with a SMILES (hydrogens are then added).

    Returns:
      `[100]` numbers ≥ 0 that sum to 1.

    Raises:
      UnsupportedStructureError: if there is neither, or an element is not among 1 to 100.
    """
    numbers = _atomic_numbers(structure)
    foreign = sorted({int(z) for z in numbers if not 1 <= z <= ELEMENTS})
    if foreign:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has atomic numbers {foreign}; "
            f"the composition vector covers 1 to {ELEMENTS}"
        )
    return np.bincount(numbers - 1, minlength=ELEMENTS) / len(numbers)


def atom_count(structure: Structure) -> Float[np.ndarray, " two"]:
    """Number of atoms, hydrogens included, and a constant 1.

    The constant keeps the count visible to cosine similarity, which ignores the length of a row.

    Args:
      structure: one with atoms, or with a SMILES (hydrogens are then added).

    Returns:
      `[2]`: the count and 1.

    Raises:
      UnsupportedStructureError: if there are neither atoms nor a readable SMILES.
    """
    return np.array([len(_atomic_numbers(structure)), 1.0])


@functools.cache
def _morgan() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=ECFP_BITS)


def ecfp4(structure: Structure) -> Float[np.ndarray, " bits"]:
    """Extended-connectivity fingerprint of diameter 4, folded to 2,048 bits.

    Args:
      structure: one with a SMILES.

    Returns:
      `[2048]` zeros and ones.

    Raises:
      UnsupportedStructureError: if there is no readable SMILES.

    References:
      Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010).
    """
    return _morgan().GetFingerprintAsNumPy(_molecule(structure)).astype(np.float64)


def gaussian_noise(structure: Structure, *, seed: int = 0) -> Float[np.ndarray, " d"]:
    """256 standard normal numbers that depend on the id of the structure and the seed alone.

    Args:
      structure: any structure.
      seed: another seed gives independent noise.

    Returns:
      `[256]` numbers; the same in whatever batch or order the structure comes.
    """
    digest = hashlib.sha256(f"{seed}:{structure.id}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
    return generator.standard_normal(NOISE_WIDTH)


def row_encoder(card: ModelCard, row: Callable[[Structure], np.ndarray]) -> HostEncoder:
    """An encoder that calls a function for each structure.

    Args:
      card: facts about the encoder; `card.width` is the length of a row.
      row: structure → `[d]`.

    Returns:
      The encoder; its rows are float32.
    """

    def embed(structures: Sequence[Structure]) -> Float[np.ndarray, "n d"]:
        values = np.zeros((len(structures), card.width), np.float32)
        for number, structure in enumerate(structures):
            values[number] = row(structure)
        return values

    return HostEncoder(card=card, embed=embed)


def control_entry(row: Callable[[Structure], np.ndarray], **facts) -> ModelEntry:
    """A registry row of a control that is one function of a structure.

    Args:
      row: structure → `[d]`.
      **facts: of the card; `width` is needed.

    Returns:
      The entry.
    """
    card = ModelCard(
        modality="control",
        pretrained=False,
        layer="descriptor",
        layers=("descriptor",),
        pooling="none",
        training_data="none",
        symmetry="invariant",
        verified="none",
        **facts,
    )
    return ModelEntry(card=card, archives=(), build=lambda entry: row_encoder(entry.card, row))


ENTRIES: tuple[ModelEntry, ...] = (
    control_entry(
        composition,
        id="composition",
        name="Composition vector",
        family="composition",
        width=ELEMENTS,
        notes="Element fractions, hydrogens included; isomers, and crystals of one formula in any "
        "cell, share one row.",
    ),
    control_entry(
        atom_count,
        id="atom-count",
        name="Number of atoms",
        family="atom count",
        width=2,
        notes="(count, 1), hydrogens included; structures of one size share one row. Of a "
        "crystal it counts the given cell: a supercell has another row.",
    ),
    control_entry(
        ecfp4,
        id="ecfp4",
        name="ECFP4 fingerprint, 2,048 bits",
        family="ECFP",
        width=ECFP_BITS,
        citation="Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010)",
        notes="RDKit Morgan fingerprint of radius 2 without chirality.",
    ),
    control_entry(
        gaussian_noise,
        id="gaussian-noise",
        name="Gaussian noise",
        family="noise",
        width=NOISE_WIDTH,
        notes="Standard normal numbers from a generator seeded by the structure's id: the floor.",
    ),
)
