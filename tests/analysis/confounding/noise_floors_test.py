"""Noise has the covariance of its encoder and shares nothing; twins are found by their cards."""

import dataclasses

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.analysis.confounding.noise_floors import (
    COLUMNS,
    noise_floors,
    random_twin,
    spectrum,
    spectrum_noise,
)
from jaxalign.models.card import ModelCard


def hostile(rng, kind):
    x = rng.normal(size=(40, 12)) * np.linspace(0.1, 4, 12) + 7.0
    if kind == "constant columns":
        x[:, :5] = 3.0
    if kind == "rank 1":
        x = rng.normal(size=(40, 1)) @ rng.normal(size=(1, 12)) - 1.0
    if kind == "d > n":
        x = rng.normal(size=(9, 30)) @ rng.normal(size=(30, 30))
    return x


@pytest.mark.parametrize("kind", ["plain", "constant columns", "rank 1", "d > n"])
def test_noise_has_the_spectrum_of_the_encoder(rng, kind):
    x = hostile(rng, kind)
    of = spectrum(x)
    wanted = np.cov(x.T, bias=True)
    np.testing.assert_allclose(of.factor.T @ of.factor, wanted, atol=1e-10 * np.abs(x).max() ** 2)
    np.testing.assert_allclose(of.mean, x.mean(axis=0))
    assert len(of.factor) == min(x.shape)
    n = 20_000
    noise = spectrum_noise(of, n, seed=int(rng.integers(2**31)))
    found = np.cov(noise.astype(np.float64).T, bias=True)
    # An entry's variance is (C_ii C_jj + C_ij²)/n; eight of these are never met by chance.
    bound = 8 * np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / n)
    assert (np.abs(found - wanted) <= bound + 1e-5 * np.abs(wanted).max()).all()


def test_seeds_are_independent_and_repeatable(rng):
    of = spectrum(rng.normal(size=(50, 4)))
    one, two = (spectrum_noise(of, 5000, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(one, spectrum_noise(of, 5000, seed=1))
    assert abs(np.corrcoef(one[:, 0], two[:, 0])[0, 1]) < 8 / np.sqrt(5000)


def card(name, **facts):
    facts = {"family": "N", "modality": "3d", "pretrained": True, "width": 6} | facts
    return ModelCard(id=name, name=name, **facts)


@pytest.mark.parametrize(
    "metrics",
    [
        ("cka:biased", "rsa"),
        pytest.param(("cka:biased", "mutual_knn", "id:twonn"), marks=pytest.mark.slow),
    ],
)
def test_floors_stand_beside_real_scores(rng, metrics):
    n, d, k = 80, 200, 10
    shared = rng.normal(size=(n, 3))
    ids = tuple(map(str, range(n)))

    def seen(noise):
        return shared @ rng.normal(size=(3, d)) + noise * rng.normal(size=(n, d))

    rows = {"a": seen(0.2), "a-random": seen(1.0), "wide": seen(30.0), "control": seen(0.0)}
    rows["same"] = np.ones((n, d))
    cards = {
        "a": card("a"),
        "a-random": card("a-random", pretrained=False),
        "wide": card("wide", family="W"),
        "same": card("same", family="S"),
        "control": card("control", modality="control", pretrained=False),
    }
    models = {m: ja.Embeddings(r.astype(np.float32), ids, cards[m]) for m, r in rows.items()}
    result = ja.align(models, metrics=metrics)
    floors = noise_floors(models, result)
    assert tuple(floors.columns) == COLUMNS
    assert set(zip(floors["model"], floors["metric"], strict=True)) == {
        (m, metric) for m in ("a", "a-random", "wide", "same") for metric in metrics[:2]
    }
    at = floors.set_index(["model", "metric"])
    scores = {metric: result.matrix(metric) for metric in metrics[:2]}
    if "mutual_knn" in metrics:
        for model in ("a", "wide"):
            knn = at.loc[model, "mutual_knn"]
            assert knn["chance"] == pytest.approx(k / (n - 1))
            assert abs(knn["floor"] - knn["chance"]) < 8 * np.sqrt(2 * k) / (np.sqrt(n) * k)
            assert knn["floor_calibrated"] < 0.05
    # Width over n alone makes biased CKA of noise high.
    assert at.loc["wide", "cka:biased"]["floor"] > 0.3
    assert at.loc["a", "cka:biased"]["floor"] < 0.25
    own = at.loc["a", "cka:biased"]
    assert own["twin"] == "a-random"
    matrix = scores["cka:biased"].values
    assert own["twin_score"] == matrix[0, 1]
    assert own["median"] == pytest.approx(matrix[0, 2])
    assert own["twin_median"] == pytest.approx(matrix[1, 2])
    assert at.loc["wide", "cka:biased"]["twin"] == ""
    assert np.isnan(at.loc["same", metrics[1]]["floor"])
    assert at.loc["same", metrics[1]]["reason"] != ""


def test_the_twin_is_the_same_network():
    cards = {
        "a": card("a", parameters=10),
        "other-layers": card("b", pretrained=False, layers=("x",)),
        "smaller": card("c", pretrained=False, parameters=5),
        "twin": card("d", pretrained=False, parameters=10),
        "control": card("e", pretrained=False, modality="control"),
    }
    assert random_twin("a", cards) == "twin"
    assert random_twin("twin", cards) is None
    assert random_twin("a", {"a": dataclasses.replace(cards["a"], family="")}) is None
    del cards["twin"]
    assert random_twin("a", cards) == "smaller"


def test_registered_networks_find_their_twins():
    from jaxalign.models.registry import list_models

    cards = {entry.card.id: entry.card for entry in list_models()}
    assert random_twin("ani-1x-0", cards) == "ani-1x-random"
    assert random_twin("rxnfp-bert-pretrained", cards) == "rxnfp-bert-random"
    assert random_twin("admet-dmpnn-classification-0", cards) == "admet-dmpnn-random"
    assert random_twin("composition", cards) is None
