"""Equal rows, found once: searches compare distinct rows and hand out their copies by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, UInt32, UInt64

from jaxalign.pairwise.exhaustive import Lists
from jaxalign.pairwise.row_blocks import RowBlocks, of_rows, row_blocks
from jaxalign.parallel.blocks import own_blocks
from jaxalign.parallel.multihost import gather_rows

_ENTRIES = 2**21  # members held at once while lists are expanded


class Distinct(NamedTuple):
    """Rows by value; values are numbered in the order of their first row.

    Attributes:
      first: number of the first row of each value, ascending.
      value: value of each row.
      members: row numbers, value by value, ascending within each.
      starts: where the members of each value begin, and the end of the last.
    """

    first: Int[np.ndarray, " u"]
    value: Int[np.ndarray, " n"]
    members: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " u1"]


def distinct_rows(rows: Float32[np.ndarray, "n d"] | RowBlocks) -> Distinct:
    """Groups bit-equal rows; −0 counts as 0.

    Each process hashes its own rows. Rows of equal hash are compared with the first of them, which
    another process may hold: repeated rows alone are read twice.
    """
    rows = row_blocks(rows)
    weights = _weights(rows.d)
    keys = of_rows(rows, lambda block: _bits(block).astype(np.uint64) @ weights)
    _, first, value = np.unique(keys, return_index=True, return_inverse=True)
    strangers = _strangers(rows, first[value])
    if len(strangers):
        value = _split(rows, value, np.unique(value[strangers]))
        _, first, value = np.unique(value, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    value = place[value]
    members = np.argsort(value, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(value))])
    return Distinct(first[order], value, members, starts)


def _weights(d: int) -> UInt64[np.ndarray, " d"]:
    return np.random.default_rng(0).integers(2**63, size=d, dtype=np.uint64) * 2 + 1


def _bits(block) -> UInt32[np.ndarray, "n d"]:
    """Equal rows have equal sums of these times fixed odd numbers, modulo 2⁶⁴."""
    return np.ascontiguousarray(block + np.float32(0)).view(np.uint32)


def _strangers(rows: RowBlocks, first) -> Int[np.ndarray, " s"]:
    """Rows that differ from the first row of their hash."""
    repeated = np.flatnonzero(first != np.arange(rows.n))
    found = [np.zeros(0, np.int64)]
    for start, stop in own_blocks(rows.n):
        part = repeated[np.searchsorted(repeated, start) : np.searchsorted(repeated, stop)]
        if len(part):
            differ = (rows.take(part) != rows.take(first[part])).any(axis=1)
            found.append(part[differ])
    return gather_rows(np.concatenate(found))


def _split(rows: RowBlocks, value, mixed) -> Int[np.ndarray, " n"]:
    """Numbers of values, those that stand for several values replaced by new ones.

    All rows of such numbers are exchanged: few, as 64 bits tell rows apart.
    """
    members = np.flatnonzero(np.isin(value, mixed))
    parts = [np.zeros((0, rows.d), np.uint32)]
    for start, stop in own_blocks(rows.n):
        part = members[np.searchsorted(members, start) : np.searchsorted(members, stop)]
        parts.append(_bits(rows.take(part)))
    bits = gather_rows(np.concatenate(parts))
    whole = np.ascontiguousarray(bits).view(np.void(4 * rows.d).dtype).ravel()
    value = value.copy()
    value[members] = rows.n + np.unique(whole, return_inverse=True)[1]
    return value


class Units(NamedTuple):
    """The searches that serve all rows: one for each value and the code it must avoid.

    Attributes:
      value: value searched from.
      avoid: code that the search must not meet; −2 for none.
      unit: search of each row.
      codes: code of each value; −1 where its rows have several, and some row of it is eligible for
        every query.
    """

    value: Int[np.ndarray, " s"]
    avoid: Int32[np.ndarray, " s"]
    unit: Int[np.ndarray, " n"]
    codes: Int32[np.ndarray, " u"]


def units(distinct: Distinct, codes: Int32[np.ndarray, " n"]) -> Units:
    """Which searches are needed, if rows of equal code are never each other's neighbors.

    A code that lives within one value needs no search of its own: its rows are left out when the
    value's copies are handed out.
    """
    u = len(distinct.first)
    lead = codes[distinct.first]
    uniform = np.ones(u, bool)
    uniform[distinct.value[codes != lead[distinct.value]]] = False
    home = np.empty(int(codes.max()) + 1, np.int64)
    home[codes] = distinct.value
    spread = np.zeros(len(home), bool)
    spread[codes[distinct.value != home[codes]]] = True
    avoid = np.where(spread[codes] | uniform[distinct.value], codes, -2).astype(np.int64)
    wanted = distinct.value * np.int64(len(home) + 2) + (avoid + 2)
    found, unit = np.unique(wanted, return_inverse=True)
    value, avoid = np.divmod(found, len(home) + 2)
    value_codes = np.where(uniform, lead, -1).astype(np.int32)
    return Units(value, (avoid - 2).astype(np.int32), unit, value_codes)


def expand(
    lists: Lists,
    distinct: Distinct,
    searches: Units,
    codes: Int32[np.ndarray, " n"],
    k: int,
) -> tuple[Int32[np.ndarray, "n k1"], Float64[np.ndarray, "n k1"]]:
    """Lists of values → lists of rows: copies in place of their value, by (key, row number).

    Args:
      lists: of each search, with every value that ties with the last one needed.
      distinct: the values.
      searches: which search serves which row.
      codes: rows of equal code are never each other's neighbors.
      k: rows wanted.

    Returns:
      Ids and keys of `k + 1` rows each; the last shows ties (−inf: there is no further row).
    """
    n = len(codes)
    ids = np.zeros((n, k + 1), np.int32)
    keys = np.full((n, k + 1), -np.inf)
    # So many copies of one value suffice: k + 1, and those that may not be used.
    most = k + 1 + int(np.bincount(codes).max())
    copies = np.minimum(np.diff(distinct.starts), most)
    keep = _needed(lists, copies, most)
    for rows in _portions(searches.unit, lists, copies, keep):
        row, entry = _ragged(lists.starts[searches.unit[rows]], keep[searches.unit[rows]])
        value = lists.ids[entry]
        of, member = _ragged(distinct.starts[value], copies[value])
        row, key, member = row[of], lists.keys[entry][of], distinct.members[member]
        usable = codes[member] != codes[rows[row]]
        row, key, member = row[usable], key[usable], member[usable]
        order = np.lexsort((member, -key, row))
        row, key, member = row[order], key[order], member[order]
        counts = np.bincount(row, minlength=len(rows))
        place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        inside = place <= k
        ids[rows[row[inside]], place[inside]] = member[inside]
        keys[rows[row[inside]], place[inside]] = key[inside]
    return ids, keys


def _needed(lists: Lists, copies, most: int) -> Int[np.ndarray, " s"]:
    """Leading entries of each list that can reach its first rows: enough copies, then the ties."""
    total = np.concatenate([[0], np.cumsum(copies[lists.ids])])
    ends = np.searchsorted(
        total, total[lists.starts[:-1]] + most
    )  # one past the entry that suffices
    ends = np.minimum(ends, lists.starts[1:])
    # An entry that ties with its predecessor is needed with it.
    fresh = np.ones(len(lists.ids) + 1, bool)
    fresh[1:-1] = lists.keys[1:] != lists.keys[:-1]
    fresh[lists.starts] = True
    at = np.flatnonzero(fresh)
    return at[np.searchsorted(at, ends)] - lists.starts[:-1]


def _portions(unit, lists: Lists, copies, keep) -> Iterator[Int[np.ndarray, " p"]]:
    """Consecutive rows whose expanded lists hold about `_ENTRIES` members."""
    total = np.concatenate([[0], np.cumsum(copies[lists.ids])])
    sizes = total[lists.starts[:-1] + keep] - total[lists.starts[:-1]]
    portion = np.cumsum(sizes[unit]) // _ENTRIES
    yield from np.split(np.arange(len(unit)), np.flatnonzero(np.diff(portion)) + 1)


def _ragged(starts, counts):
    """Indices of the ranges `start : start + count`, and the range each of them is from."""
    source = np.repeat(np.arange(len(counts)), counts)
    begins = np.cumsum(counts) - counts
    return source, np.arange(len(source)) - begins[source] + starts[source]
