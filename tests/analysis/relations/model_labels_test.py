"""Labels of models out of their cards, and which models are compared."""

import numpy as np
import pytest

from jaxalign.analysis.relations.model_labels import (
    compared_models,
    labels_of,
    model_labels,
    same_label,
    training_corpus,
)
from jaxalign.models.card import ModelCard


def card(**facts):
    return ModelCard(**({"id": "x", "name": "x", "family": "F", "modality": "3d"} | facts))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MPtrj: 1.58 million structures of relaxations, 89 elements", "MPtrj"),
        ("MPtrj (the weights of 0.3.0), then MP-r2SCAN", "MPtrj"),
        ("ANI-1x, then ANI-1ccx: 0.5 million conformations", "ANI-1x"),
        ("24 million sequences of UniRef50", "24 million sequences of UniRef50"),
        ("none", ""),
        ("not stated: weights of the user", ""),
        ("", ""),
    ],
)
def test_corpus(text, wanted):
    assert training_corpus(card(pretrained=True, training_data=text)) == wanted


def test_labels_by_kind():
    cards = {"x": card(pretrained=True, training_data="MPtrj: much")}
    assert model_labels(cards, "family") == {"x": "F"}
    assert model_labels(cards, "modality") == {"x": "3d"}
    assert model_labels(cards, "training_data") == {"x": "MPtrj"}
    with pytest.raises(ValueError, match="grouped by one of"):
        model_labels(cards, "licence")


def test_which_models_are_compared():
    cards = {
        "trained": card(pretrained=True),
        "random": card(pretrained=False),
        "noise": card(pretrained=False, modality="control"),
        "aev": card(pretrained=False, pooling="none"),
    }
    assert compared_models(cards) == ["trained"]
    assert compared_models(cards, untrained=True) == ["trained", "random"]
    assert compared_models(cards, controls=True) == ["trained", "noise", "aev"]


def test_an_empty_label_is_shared_with_nobody():
    np.testing.assert_array_equal(
        same_label(["a", "", "a", ""]), [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]
    )


def test_a_model_without_a_label():
    assert labels_of(["b", "a"], {"a": "1", "b": "2"}) == ["2", "1"]
    with pytest.raises(ValueError, match=r"1 models have no label, e.g. \['c'\]"):
        labels_of(["a", "c"], {"a": "1"})
