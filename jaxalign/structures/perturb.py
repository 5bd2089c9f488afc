"""Perturbed copies of structures: a controlled way out of the distribution a model was trained on.

| kind          | amplitude                         | what is done                          |
|---------------|-----------------------------------|---------------------------------------|
| `rattle`      | Å                                 | r + a·ξ, ξ normal in every coordinate |
| `strain`      | largest principal strain, below 1 | r(1 + aE), cell(1 + aE), E symmetric  |
| `rotation`    | 0 or 1                            | rR, cell·R, R uniform over SO(3)      |
| `permutation` | 0 or 1                            | atoms in another order                |
| `vacancies`   | a fraction below 1, or a count    | so many atoms gone, never the last    |

The first three also do so with the coordinates r of protein backbones; the last two are of atoms.

ξ, E, R and the order are drawn from the structure's id, the kind, the number of the copy and the
seed: neither the other structures of a set nor their order matter, and a larger amplitude goes
farther the same way (vacancies are nested). Amplitude 0 is the parent itself, bit for bit. A copy
is called `{id}~rattle0.10#0`; its `group` is that of its parent, or the parent's id, so that
group-aware metrics never take copies of one structure for neighbors.

Rattling, strain and vacancies drop what no longer holds: labels (an energy was that of the parent),
SMILES and sequence. Rotations and permutations keep them. The amplitude becomes a label.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from jaxalign.structures.structure import Structure, StructureSet


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A perturbation: how it is done, what it is called, which amplitudes it knows.

    Attributes:
      apply: `(structure, amplitude, generator)` → positions, cell or atoms changed, amplitude > 0.
      label: name under which a copy carries its amplitude, with unit.
      amplitudes: those of a sweep that names none.
      allowed: whether an amplitude above 0 makes sense.
      wanted: the allowed ones in words.
      backbones: whether protein backbones can be perturbed so too.
      keeps: whether labels, SMILES and sequence of the parent still hold.
    """

    apply: Callable[[Structure, float, np.random.Generator], Structure]
    label: str
    amplitudes: tuple[float | int, ...]
    allowed: Callable[[float], bool]
    wanted: str
    backbones: bool = False
    keeps: bool = False


def perturb(
    structures: StructureSet,
    *,
    kind: str = "rattle",
    amplitudes: Sequence[float | int] | None = None,
    copies: int = 1,
    seed: int = 0,
) -> StructureSet:
    """Perturbed copies of all structures, at several amplitudes.

    Args:
      structures: the parents; all must have atoms or, where the kind allows, a backbone.
      kind: `"rattle"`, `"strain"`, `"rotation"`, `"permutation"` or `"vacancies"`.
      amplitudes: strengths, as the table of this module says; None for the kind's usual ones.
      copies: independent copies at every amplitude; at amplitude 0 one, since they are all equal.
      seed: seed of all draws.

    Returns:
      The copies: all of the first amplitude in the order of the parents (once per copy), then those
      of the next. Structures that were skipped on reading stay listed.

    Raises:
      ValueError: an unknown kind, an amplitude that makes no sense or comes twice, structures
        without coordinates to perturb.
    """
    chosen = _kind(kind)
    strengths = chosen.amplitudes if amplitudes is None else tuple(amplitudes)
    _check_sweep(strengths, copies)
    made = [
        perturb_structure(parent, kind, amplitude=amplitude, copy=copy, seed=seed)
        for amplitude in strengths
        for copy in range(copies if amplitude else 1)
        for parent in structures
    ]
    return StructureSet(made, name=f"{structures.name}~{kind}", skipped=structures.skipped)


def perturb_structure(
    structure: Structure, kind: str, *, amplitude: float | int, copy: int = 0, seed: int = 0
) -> Structure:
    """One perturbed copy of one structure, as `perturb` makes it.

    Args:
      structure: the parent.
      kind: what to do.
      amplitude: how strongly.
      copy: number of the copy; another one is another draw.
      seed: seed of the draw.

    Returns:
      The copy, with an id of its own and the parent as its group.

    Raises:
      ValueError: as `perturb`.
    """
    chosen = _kind(kind)
    _check_amplitude(kind, amplitude)
    _check_coordinates(structure, kind)
    changed = structure
    if amplitude:
        changed = chosen.apply(
            structure, float(amplitude), _generator(structure.id, kind, copy, seed)
        )
    if changed is not structure and not chosen.keeps:
        changed = dataclasses.replace(changed, labels={}, smiles=None, sequence=None)
    return dataclasses.replace(
        changed,
        id=f"{structure.id}~{kind}{_written(kind, amplitude)}#{copy}",
        group=structure.id if structure.group is None else structure.group,
        labels={**changed.labels, chosen.label: float(amplitude)},
    )


def random_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A rotation drawn uniformly from SO(3): a normal quaternion, divided by its length."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def transformed(structure: Structure, matrix: Float[np.ndarray, "3 3"]) -> Structure:
    """A structure with all its coordinates and cell vectors, as rows, times a matrix."""
    names = ("positions", "cell", "backbone")
    there = {name: xyz for name in names if (xyz := getattr(structure, name)) is not None}
    return dataclasses.replace(structure, **{name: xyz @ matrix for name, xyz in there.items()})


def _rattle(structure: Structure, amplitude: float, rng: np.random.Generator) -> Structure:
    def moved(xyz: np.ndarray | None) -> np.ndarray | None:
        return None if xyz is None else xyz + amplitude * rng.standard_normal(xyz.shape)

    moves = {"positions": moved(structure.positions), "backbone": moved(structure.backbone)}
    return dataclasses.replace(structure, **moves)


def _strain(structure: Structure, amplitude: float, rng: np.random.Generator) -> Structure:
    draw = rng.standard_normal((3, 3))
    direction = draw + draw.T
    direction /= np.abs(np.linalg.eigvalsh(direction)).max()
    return transformed(structure, np.eye(3) + amplitude * direction)


def _rotate(structure: Structure, amplitude: float, rng: np.random.Generator) -> Structure:
    return transformed(structure, random_rotation(rng))


def _permute(structure: Structure, amplitude: float, rng: np.random.Generator) -> Structure:
    return _selected(structure, rng.permutation(len(structure.positions)))


def _remove(structure: Structure, amplitude: float, rng: np.random.Generator) -> Structure:
    atoms = len(structure.positions)
    count = round(amplitude) if amplitude >= 1 else max(1, round(amplitude * atoms))
    count = min(count, atoms - 1)
    if not count:
        return structure
    return _selected(structure, np.sort(rng.permutation(atoms)[count:]))


def _selected(structure: Structure, atoms: np.ndarray) -> Structure:
    return dataclasses.replace(
        structure,
        atomic_numbers=structure.atomic_numbers[atoms],
        positions=structure.positions[atoms],
    )


_KINDS = {
    "rattle": _Kind(
        apply=_rattle,
        label="rattle_angstrom",
        amplitudes=(0.0, 0.02, 0.05, 0.1, 0.2, 0.5),
        allowed=lambda amplitude: True,
        wanted="in Å",
        backbones=True,
    ),
    "strain": _Kind(
        apply=_strain,
        label="strain",
        amplitudes=(0.0, 0.01, 0.02, 0.05, 0.1),
        allowed=lambda amplitude: amplitude < 1,
        wanted="below 1 (1 flattens the structure)",
        backbones=True,
    ),
    "rotation": _Kind(
        apply=_rotate,
        label="rotation",
        amplitudes=(1,),
        allowed=lambda amplitude: amplitude == 1,
        wanted="0 (as it is) or 1 (a random rotation)",
        backbones=True,
        keeps=True,
    ),
    "permutation": _Kind(
        apply=_permute,
        label="permutation",
        amplitudes=(1,),
        allowed=lambda amplitude: amplitude == 1,
        wanted="0 (as it is) or 1 (a random order)",
        keeps=True,
    ),
    "vacancies": _Kind(
        apply=_remove,
        label="vacancies",
        amplitudes=(0.0, 0.05, 0.1, 0.2),
        allowed=lambda amplitude: amplitude < 1 or amplitude == round(amplitude),
        wanted="a fraction below 1, or a whole number of atoms",
    ),
}
KINDS = tuple(_KINDS)
"""Names of the perturbations."""


def _kind(kind: str) -> _Kind:
    if kind not in _KINDS:
        raise ValueError(f"unknown perturbation {kind!r}; choose one of {', '.join(KINDS)}")
    return _KINDS[kind]


def _check_sweep(amplitudes: tuple[float | int, ...], copies: int) -> None:
    if not amplitudes or len(set(amplitudes)) < len(amplitudes):
        raise ValueError(f"amplitudes must be some, each named once: got {amplitudes}")
    if isinstance(copies, bool) or not isinstance(copies, int | np.integer) or copies < 1:
        raise ValueError(f"copies must be a positive integer: got {copies!r}")


def _check_amplitude(kind: str, amplitude: float | int) -> None:
    chosen = _kind(kind)
    finite = math.isfinite(amplitude) and amplitude >= 0
    if not finite or (amplitude and not chosen.allowed(amplitude)):
        raise ValueError(
            f"the amplitude of {kind} must not be negative, and {chosen.wanted}: got {amplitude}"
        )


def _check_coordinates(structure: Structure, kind: str) -> None:
    if structure.positions is not None and structure.atomic_numbers is not None:
        return
    if structure.backbone is None:
        raise ValueError(
            f"{structure.id!r} has no atoms to perturb: {kind} is for structures with positions, "
            "not for SMILES or sequences alone"
        )
    if not _kind(kind).backbones:
        allowed = ", ".join(name for name, known in _KINDS.items() if known.backbones)
        raise ValueError(
            f"{structure.id!r} has a backbone but no atoms: {kind} is for atoms, whose order means "
            f"nothing; use one of {allowed}"
        )


def _generator(identifier: str, kind: str, copy: int, seed: int) -> np.random.Generator:
    # Not the amplitude: a sweep goes farther the same way, which is less noisy than fresh draws.
    key = json.dumps([identifier, kind, int(copy), int(seed)]).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "little"))


def _written(kind: str, amplitude: float | int) -> str:
    """The amplitude in an id: two decimals if they tell all of it; counts without decimals."""
    if kind in ("rotation", "permutation") or (kind == "vacancies" and amplitude >= 1):
        return str(round(amplitude))
    short = f"{amplitude:.2f}"
    return short if float(short) == amplitude else repr(float(amplitude))
