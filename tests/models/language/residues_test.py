"""Residue tokens: tables, letters beyond the twenty, what is cut, what is refused."""

import numpy as np
import pytest

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.language.residues import LENGTHS, ResidueTokens
from jaxalign.structures.structure import Structure

TABLE = {letter: number for number, letter in enumerate("ACDEFGHIKLMNPQRSTVWYU", 10)}
CUT = ResidueTokens(ids=TABLE, unknown=3, before=(1,), after=(2, 2), max_residues=100)
WHOLE = ResidueTokens(ids=TABLE, unknown=3)


def test_letters_become_ids_between_special_tokens():
    example = CUT.encode("ACY")
    assert example["ids"].tolist() == [1, 10, 11, 29, 2, 2]
    assert example["ids"].dtype == np.int32
    assert WHOLE.encode("ACY")["ids"].tolist() == [10, 11, 29]


def test_lower_case_counts_as_upper_case(rng):
    sequence = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWYXBZJOU"), 50))
    for name in ("ids", "unknown"):
        np.testing.assert_array_equal(
            CUT.encode(sequence)[name], CUT.encode(sequence.lower())[name]
        )


def test_residues_beyond_the_twenty_are_counted_even_with_tokens_of_their_own():
    example = WHOLE.encode("AXUbzA")
    assert example["ids"].tolist() == [10, 3, 30, 3, 3, 10]
    assert int(example["unknown"]) == 4
    assert not int(WHOLE.encode("ACDEFGHIKLMNPQRSTVWY")["unknown"])


def test_only_a_network_with_a_limit_cuts_and_counts_what_it_kept():
    sequence = "A" * 99 + "XXX"
    example = CUT.encode(sequence)
    assert len(example["ids"]) == 103
    assert (int(example["truncated"]), int(example["unknown"])) == (2, 1)
    assert not int(CUT.encode(sequence[:100])["truncated"])
    assert (len(WHOLE.encode("A" * 10_000)["ids"]), int(WHOLE.encode("A")["truncated"])) == (
        10_000,
        0,
    )


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (None, "has none"),
        ("", "an empty one"),
        ("MK-T*", r"no letters: '\*', '-' \(the first at position 3\)"),
        ("MK T", "position 3"),
        ("MKé🧬", "no letters: 'é', '🧬'"),
        ("0123456", "…"),
    ],
)
def test_what_is_no_sequence_is_refused(sequence, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        CUT.featurize(Structure(id="x", sequence=sequence))


def test_buckets_hold_what_is_kept():
    cut, whole = CUT.batching(lambda bucket: 2), WHOLE.batching(lambda bucket: 2)
    assert cut.buckets == (35, 67, 99, 103)
    assert whole.buckets == LENGTHS
    long = "A" * 5000
    assert cut.plan([CUT.encode(long)])[0].shape == (103, 2)
    assert whole.plan([WHOLE.encode(long)])[0].shape == (8192, 2)
    batch = cut.collate([CUT.encode("AC")], (35, 2))
    assert set(batch) == {"ids", "mask"}
    np.testing.assert_array_equal(batch["mask"].sum(axis=1), [5, 0])
