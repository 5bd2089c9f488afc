"""Random subsets, blocks and disjoint parts of n structures; whole groups where there are some."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from jaxalign.types import Labels

_LEAST_GROUPS = 6  # of fewer there are hardly more subsets than replicates


def disjoint_pairs(
    n: int, *, size: int, count: int, seed: int, groups: Labels | None = None
) -> list[Int[np.ndarray, " _"]]:
    """Pairs of disjoint subsets, each pair drawn by itself and without replacement.

    Args:
      n: structures.
      size: structures in a subset, at most n/2.
      count: pairs.
      seed: of the draws; the first pairs of a longer list are those of a shorter one.
      groups: one label a structure. A subset then takes whole groups in random order, each that
        still fits, and may hold a few structures less.

    Returns:
      Sorted numbers of structures; entries 2i and 2i + 1 are disjoint.

    Raises:
      ValueError: no subset of this size, too few groups, or one that is larger than a subset.
    """
    if not 0 < size <= n // 2:
        raise ValueError(f"disjoint subsets must hold 1 to {n // 2} of {n} structures: got {size}")
    members = None if groups is None else _members(groups, n)
    if members is not None:
        _check_groups(members, size, n)
    found = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if members is None:
            order = rng.permutation(n)
            pair = order[:size], order[size : 2 * size]
        else:
            pair = _whole_groups(rng.permutation(len(members)).tolist(), members, size)
        found += [np.sort(rows) for rows in pair]
    return found


def row_blocks(
    n: int, *, count: int, seed: int, groups: Labels | None = None
) -> list[Int[np.ndarray, " _"]]:
    """Random disjoint blocks of nearly equal size that together hold every structure.

    Args:
      n: structures.
      count: blocks; as many as there are groups, if these are fewer.
      seed: of the shuffling.
      groups: one label a structure; no group is divided.

    Returns:
      Sorted numbers of structures.

    Raises:
      ValueError: fewer than 2 blocks.
    """
    rng = np.random.default_rng([seed, n])
    members = np.arange(n)[:, None] if groups is None else _members(groups, n)
    if min(count, len(members)) < 2:
        raise ValueError(
            f"a jackknife needs at least 2 blocks: got {count} of {len(members)} "
            f"{'structures' if groups is None else 'groups'}"
        )
    if groups is None:
        return [np.sort(part) for part in np.array_split(rng.permutation(n), min(count, n))]
    # The largest first, each into the block that holds least so far.
    order = sorted(rng.permutation(len(members)).tolist(), key=lambda g: -len(members[g]))
    blocks: list[list[np.ndarray]] = [[] for _ in range(min(count, len(members)))]
    heap = [(0, number) for number in range(len(blocks))]
    for group in order:
        held, number = heapq.heappop(heap)
        blocks[number].append(members[group])
        heapq.heappush(heap, (held + len(members[group]), number))
    return [np.sort(np.concatenate(block)) for block in blocks]


def disjoint_parts(
    n: int, *, size: int, count: int, seed: int, groups: Labels | None = None
) -> list[Int[np.ndarray, " size"]]:
    """As many disjoint random subsets of exactly `size` structures as there are, at most `count`.

    Subsets of one seed are nested: a part of half the size lies within one of the larger parts.

    Args:
      n: structures.
      size: structures in each part.
      count: parts at most.
      seed: of the shuffling.
      groups: one label a structure; members of a group stay together but where a part ends.

    Returns:
      Sorted numbers of structures.

    Raises:
      ValueError: no part of this size.
    """
    if not 0 < size <= n:
        raise ValueError(f"parts must hold between 1 and {n} of {n} structures: got {size}")
    rng = np.random.default_rng(seed)
    if groups is None:
        order = rng.permutation(n)
    else:
        members = _members(groups, n)
        order = np.concatenate([members[g] for g in rng.permutation(len(members))])
    return [np.sort(part) for part in _slices(order, size, min(count, n // size))]


def _slices(order: Int[np.ndarray, " n"], size: int, count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        yield order[number * size : (number + 1) * size]


def _whole_groups(
    order: list[int], members: Sequence[np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two subsets of at most `size` structures: each group goes where there is more room."""
    taken: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    room = [size, size]
    for group in order:
        side = 0 if room[0] >= room[1] else 1
        if len(members[group]) <= room[side]:
            taken[side].append(members[group])
            room[side] -= len(members[group])
    return np.concatenate(taken[0]), np.concatenate(taken[1])


def _members(groups: Labels, n: int) -> list[Int[np.ndarray, " _"]]:
    """Numbers of the structures of every group."""
    if len(groups) != n:
        raise ValueError(f"groups must hold one label a structure: got {len(groups)} for {n}")
    found: dict[str, list[int]] = {}
    for number, label in enumerate(groups):
        found.setdefault(str(label), []).append(number)
    return [np.array(rows) for rows in found.values()]


def _check_groups(members: Sequence[np.ndarray], size: int, n: int) -> None:
    largest = max(map(len, members))
    if len(members) < _LEAST_GROUPS or largest > size:
        raise ValueError(
            f"subsets of {size} of {n} structures cannot be drawn as whole groups: there are "
            f"{len(members)} groups (at least {_LEAST_GROUPS} are needed), the largest of "
            f"{largest} structures; give smaller groups, or more of them"
        )
