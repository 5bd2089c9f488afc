"""Distances of ordered lists, for many pairs of lists at once: O(k²/32) word operations a pair.

Lists are given by `SharedEdges.position`: where each entry of the first list stands in the second,
or −1. Both recurrences keep a column of the dynamic programming table as bits, entry p of the
second list in bit p mod 32 of word p div 32. The entries of a list are distinct, so that an entry
of the first list matches one bit at most.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, UInt32

_WORD = 32

Words = list[UInt32[Array, " n"]]  # lowest word first


def common_subsequence(position: Int32[Array, "n k"]) -> Int32[Array, " n"]:
    """Length of the longest common subsequence of the two lists of every row.

    The lists have k distinct entries each, so this is the longest increasing run of positions.

    References:
      Hyyrö: Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    n, k = position.shape

    def step(open_bits, place):
        matches = _bit(place, k)
        hit = [v & m for v, m in zip(open_bits, matches, strict=True)]
        total = _add(open_bits, hit)
        rest = [v & ~u for v, u in zip(open_bits, hit, strict=True)]
        return [t | r for t, r in zip(total, rest, strict=True)], None

    ones = _words(n, k, 0xFFFFFFFF)
    left, _ = jax.lax.scan(step, ones, position.T)
    # A zero bit is a place where the length grows; bits beyond k stay one.
    kept = sum(jax.lax.population_count(word).astype(jnp.int32) for word in left)
    return _WORD * len(left) - kept


def edit_distance(position: Int32[Array, "n k"]) -> Int32[Array, " n"]:
    """Least number of insertions, deletions and substitutions between the two lists of every row.

    References:
      Myers: A fast bit-vector algorithm for approximate string matching, J. ACM 46 (1999);
      Hyyrö: Explaining and extending the bit-parallel approximate string matching algorithm of
      Myers, University of Tampere A-2001-10 (2001), for the distance of whole strings.
    """
    n, k = position.shape
    last, shift = (k - 1) // _WORD, jnp.uint32((k - 1) % _WORD)

    def step(carry, place):
        above, below, distance = carry  # where the column rises, where it falls, its last entry
        matches = _bit(place, k)
        carried = _add([m & a for m, a in zip(matches, above, strict=True)], above)
        diagonal = [
            (c ^ a) | m | b for c, a, m, b in zip(carried, above, matches, below, strict=True)
        ]
        rise = [b | ~(d | a) for a, b, d in zip(above, below, diagonal, strict=True)]
        fall = [d & a for a, d in zip(above, diagonal, strict=True)]
        up, down = ((words[last] >> shift) & jnp.uint32(1) for words in (rise, fall))
        distance = distance + up.astype(jnp.int32) - down.astype(jnp.int32)
        rise, fall = _shift(rise, 1), _shift(fall, 0)
        above = [f | ~(d | r) for f, d, r in zip(fall, diagonal, rise, strict=True)]
        below = [r & d for r, d in zip(rise, diagonal, strict=True)]
        return (above, below, distance), None

    start = (_words(n, k, 0xFFFFFFFF), _words(n, k, 0), jnp.full(n, k, jnp.int32))
    (_, _, distance), _ = jax.lax.scan(step, start, position.T)
    return distance


def _words(n: int, k: int, value: int) -> Words:
    return [jnp.full(n, value, jnp.uint32) for _ in range(-(-k // _WORD))]


def _bit(place: Int32[Array, " n"], k: int) -> Words:
    """The one bit of a place in every row's words; none where the place is −1."""
    bit = jnp.uint32(1) << (place % _WORD).astype(jnp.uint32)
    word = jnp.where(place < 0, -1, place // _WORD)
    return [jnp.where(word == w, bit, jnp.uint32(0)) for w in range(-(-k // _WORD))]


def _add(a: Words, b: Words) -> Words:
    """Sums of long numbers; what leaves the last word is dropped."""
    total, carry = [], jnp.zeros_like(a[0])
    for x, y in zip(a, b, strict=True):
        half = x + y
        whole = half + carry
        carry = ((half < x) | (whole < half)).astype(jnp.uint32)
        total.append(whole)
    return total


def _shift(words: Words, entering: int) -> Words:
    """Doubles long numbers; `entering` becomes the lowest bit."""
    shifted, low = [], jnp.uint32(entering)
    for word in words:
        shifted.append((word << jnp.uint32(1)) | low)
        low = word >> jnp.uint32(_WORD - 1)
    return shifted
