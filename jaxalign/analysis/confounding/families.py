"""Families of protein sequences: single linkage over shared k-mers.

    J(s, t) = |K_s ∩ K_t| / |K_s ∪ K_t|,

with K_s the set of the k-mers of s. Two sequences with J at or above a threshold are related, and a
family is what is connected by such steps. Counts of shared k-mers come from products of sparse
rows, a block of sequences at a time: pairs without a common k-mer cost nothing, and the result
depends neither on blocks nor on the order of the sequences.

References:
  Edgar: Bioinformatics 26, 2460 (2010) (words in place of alignments); Steinegger, Söding: Nat.
  Commun. 9, 2542 (2018) (linear-time clustering by k-mers).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components

K = 4
"""Residues of a k-mer: 160,000 kinds, of which two unrelated chains of 150 share one in seven."""

THRESHOLD = 0.05
"""Least Jaccard similarity of relatives: about 55 % identical residues, if evenly spread."""

_LETTERS = "ACDEFGHIKLMNPQRSTVWY"
_CODES = np.full(256, -1, np.int64)
_CODES[np.frombuffer(_LETTERS.encode(), np.uint8)] = np.arange(len(_LETTERS))
_BLOCK = 512  # sequences compared with all others at once


def sequence_families(
    sequences: Sequence[str], *, k: int = K, threshold: float = THRESHOLD
) -> Int[np.ndarray, " n"]:
    """Number of the family of every sequence.

    Args:
      sequences: one-letter residues; k-mers with any other letter do not count, and equal sequences
        are of one family however short they are.
      k: residues of a k-mer, 1 to 8.
      threshold: least Jaccard similarity of two relatives, in (0, 1].

    Returns:
      `[n]` numbers: the row of the family's first sequence.

    Raises:
      ValueError: k or threshold out of range.
    """
    if not 1 <= k <= 8 or not 0 < threshold <= 1:
        raise ValueError(
            f"k must be 1 to 8 and threshold in (0, 1]: got k={k}, threshold={threshold}"
        )
    texts, which = np.unique(np.array(sequences, dtype=str), return_inverse=True)
    owned = _kmer_rows(texts.tolist(), k)
    links = scipy.sparse.coo_matrix(_relatives(owned, threshold), shape=(len(texts),) * 2)
    _, family = connected_components(links, directed=False)
    family = family[which]
    _, first, number = np.unique(family, return_index=True, return_inverse=True)
    return first[number]


def _kmer_rows(sequences: Sequence[str], k: int) -> scipy.sparse.csr_matrix:
    """Zeros and ones: which sequence has which k-mer."""
    found = [_kmers(sequence, k) for sequence in sequences]
    ends = np.concatenate([[0], np.cumsum([len(kmers) for kmers in found], dtype=np.int64)])
    kinds, columns = np.unique(np.concatenate(found), return_inverse=True)
    shape = len(sequences), max(len(kinds), 1)
    return scipy.sparse.csr_matrix((np.ones(len(columns), np.int32), columns, ends), shape=shape)


def _kmers(sequence: str, k: int) -> Int[np.ndarray, " kmers"]:
    """Distinct k-mers as numbers to the base 20."""
    codes = _CODES[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]
    if len(codes) < k:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, k)
    known = windows[(windows >= 0).all(axis=1)]
    return np.unique(known @ (len(_LETTERS) ** np.arange(k)))


def _relatives(owned: scipy.sparse.csr_matrix, threshold: float) -> tuple:
    """COO entries of all related pairs."""
    counts = np.asarray(owned.sum(axis=1)).ravel()
    columns = owned.T.tocsr()
    left, right = [], []
    for start in range(0, owned.shape[0], _BLOCK):
        shared = (owned[start : start + _BLOCK] @ columns).tocoo()
        a, b = shared.row + start, shared.col
        near = shared.data >= threshold * (counts[a] + counts[b] - shared.data)
        left.append(a[near])
        right.append(b[near])
    rows, others = np.concatenate(left), np.concatenate(right)
    return np.ones(len(rows), bool), (rows, others)
