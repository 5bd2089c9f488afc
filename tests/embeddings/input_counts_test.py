import dataclasses
import logging

import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.embeddings.input_counts import COUNTS, describe_counts
from tests.embeddings.toys import expected, strings, toy

LONGEST = 9


def counting():
    """The toy, which does not know fluorine and cuts all that is longer than nine letters."""
    whole = toy()

    def featurize(structure):
        codes = whole.featurize(structure)["codes"]
        return {
            "codes": codes[:LONGEST],
            "unknown": np.int32(structure.smiles[:LONGEST].count("F")),
            "truncated": np.int32(max(len(codes) - LONGEST, 0)),
        }

    return dataclasses.replace(whole, featurize=featurize)


def test_counts_reach_info_log_and_store(tmp_path, caplog):
    structures = strings(40, seed=3)
    seen = [s.smiles[:LONGEST] for s in structures]
    cut = [len(s.smiles) - LONGEST for s in structures if len(s.smiles) > LONGEST]
    counts = dict(zip(COUNTS, ("".join(seen).count("F"), len(cut), sum(cut)), strict=True))
    for store in (None, tmp_path / "store", tmp_path / "store"):  # the last one is read back
        with caplog.at_level(logging.WARNING):
            result = embed_structures(counting(), structures, store_path=store, progress=False)
        assert {name: result.info[name] for name in COUNTS} == counts
    shorter = [dataclasses.replace(s, smiles=s.smiles[:LONGEST]) for s in structures]
    np.testing.assert_allclose(result.values, expected(shorter), rtol=1e-5)
    words = describe_counts(result.info)
    assert f"{counts['unknown_tokens']} tokens that it does not know" in words
    assert f"ends of {len(cut)} structures: {sum(cut)} tokens cut off" in words
    assert f"toy does not see {words}" in caplog.text


def test_nothing_to_count_is_not_mentioned(caplog):
    result = embed_structures(toy(), strings(5, seed=0), progress=False)
    assert not set(COUNTS) & set(result.info)
    assert describe_counts(result.info) == ""
    assert "does not see" not in caplog.text


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"unknown_tokens": 1}, "1 token that it does not know"),
        (
            {"truncated_structures": 1, "truncated_tokens": 1200},
            "the ends of 1 structure: 1,200 tokens cut off",
        ),
    ],
)
def test_words(info, words):
    assert describe_counts(info) == words
