"""Perturbed copies of a data set, asked for in a config file or with flags."""

import pytest

from jaxalign.launch.reading import read_dataset


def _settings(**perturb):
    defaults = {"kind": "", "amplitudes": (), "copies": 1, "seed": 0}
    settings = {"name": "crystals", "path": "", "n": 4, "seed": 2, "elements": ()}
    return {**settings, "perturb": defaults | perturb}


def test_a_config_asks_for_copies_of_what_is_drawn():
    parents = read_dataset(_settings(), on_error="raise")
    assert parents.name == "crystals"
    assert len(parents) == 4
    copies = read_dataset(
        _settings(kind="strain", amplitudes=(0.0, 0.05), copies=2), on_error="raise"
    )
    assert copies.name == "crystals~strain"
    assert [s.group for s in copies] == list(parents.ids) * 3
    usual = read_dataset(_settings(kind="rattle"), on_error="raise")
    assert len(usual) == 4 * 6


def test_settings_that_are_not_known():
    with pytest.raises(ValueError, match=r"takes kind, amplitudes, .* got amplitude too"):
        read_dataset({"name": "crystals", "n": 2, "perturb": {"amplitude": 1}}, on_error="raise")
    with pytest.raises(ValueError, match="unknown perturbation 'shake'"):
        read_dataset(_settings(kind="shake"), on_error="raise")
