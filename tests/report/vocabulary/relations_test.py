import dataclasses
import math

import numpy as np
import pytest

from jaxalign.models.card import ModelCard
from jaxalign.report.vocabulary.relations import kind, relation, spread

ANI = ModelCard("ani-1x-0", "ANI-1x", "ANI", "3d", True)
SISTER = dataclasses.replace(ANI, id="ani-1x-1")
CHGNET = ModelCard("chgnet", "CHGNet", "CHGNet", "3d", True)
BERT = ModelCard("rxnfp", "RXNFP", "BERT", "string", True)
TWIN = dataclasses.replace(ANI, id="ani-1x-random", pretrained=False)
ECFP = ModelCard("ecfp4", "ECFP4 fingerprint", "ECFP", "control", False)
NOISE = ModelCard("gaussian-noise", "Gaussian noise", "noise", "control", False)
PLAIN = ModelCard("mine", "mine", "", "", True)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (ANI, SISTER, "same_family"),
        (ANI, CHGNET, "same_modality"),
        (ANI, BERT, "cross_modality"),
        (ANI, TWIN, "untrained"),
        (BERT, ECFP, "descriptor"),
        (TWIN, ECFP, "untrained"),
        (TWIN, NOISE, "noise"),
        (ECFP, NOISE, "noise"),
        (ANI, PLAIN, "unstated"),
        (PLAIN, dataclasses.replace(PLAIN, id="other"), "unstated"),
    ],
)
def test_relation_of_a_pair(a, b, expected):
    assert relation(a, b) == relation(b, a) == expected


def test_a_twin_that_is_filed_as_control_is_untrained():
    assert kind(dataclasses.replace(TWIN, modality="control")) == "untrained"


def test_spread_ignores_missing_scores():
    found = spread(np.array([0.1, np.nan, 0.3]))
    assert (found.count, found.mean, found.low, found.high) == (2, pytest.approx(0.2), 0.1, 0.3)
    assert math.isnan(spread(np.array([np.nan])).mean)
