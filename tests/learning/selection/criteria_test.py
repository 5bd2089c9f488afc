"""Every criterion says what it is and which way it points."""

import pytest

from jaxalign.learning.selection.criteria import (
    ALIGNMENT,
    KINDS,
    LABEL_FREE,
    METRICS,
    PROBE,
    list_criteria,
)


def test_criteria_are_unique_and_pointed():
    criteria = list_criteria()
    assert len({c.id for c in criteria}) == len(criteria) == 19
    assert {c.kind for c in criteria} == set(KINDS)
    kinds = {c.id: (c.kind, c.sign) for c in criteria}
    assert kinds["probe:ridge"] == (PROBE, -1)
    assert kinds["probe:evidence"] == (PROBE, 1)
    # Calibrated scores are larger for better matches, of distances too.
    assert kinds["label:information_imbalance"] == kinds["label:cka"] == (ALIGNMENT, 1)
    assert kinds["others:mutual_knn"] == (LABEL_FREE, 1)
    assert kinds["own:id:twonn"] == (LABEL_FREE, -1)
    assert "others:cka:biased" not in kinds


def test_metrics_decide_which_alignments_there_are():
    found = {c.id for c in list_criteria(("rsa", "id:mle"))}
    assert {"label:rsa", "own:id:mle"} <= found
    assert not {f"label:{name}" for name in METRICS} & found
    with pytest.raises(ValueError, match="unknown metric 'cca2'"):
        list_criteria(("cca2",))
