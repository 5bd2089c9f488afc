"""Drawings are well-formed SVG with every molecule and legend."""

import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from jaxalign.analysis.drawings import draw_disputed, draw_molecules

SVG = "{http://www.w3.org/2000/svg}"


def legends(text):
    """Legends are drawn as paths: their classes count them."""
    return sum("legend" in (e.get("class") or "") for e in ET.fromstring(text).iter())


def test_a_grid_of_molecules():
    found = ET.fromstring(draw_molecules(["CCO", "c1ccccc1", "C"], columns=2, size=(100, 80)))
    assert found.tag == f"{SVG}svg"
    assert (found.get("width"), found.get("height")) == ("200px", "160px")
    assert len(list(found.iter(f"{SVG}path"))) > 5


def test_legends_and_empty_places():
    found = draw_molecules(["CCO", "", "C"], legends=["a", "b", "<&>"], columns=3)
    assert legends(found) >= 3
    assert len(draw_molecules([""])) < len(draw_molecules(["CCO"]))


def test_a_disputed_structure_before_its_neighbors():
    row = pd.Series({"structure": "x", "neighbors_a": ("p", "q", "r"), "neighbors_b": ("q",)})
    smiles = {"x": "CCO", "p": "CCN", "q": "CC", "r": "CCC"}
    found = ET.fromstring(draw_disputed(row, smiles, count=2))
    assert (found.get("width"), found.get("height")) == ("600px", "340px")


def test_refusals():
    with pytest.raises(ValueError, match=r"does not read the SMILES 'C\(C'"):
        draw_molecules(["CC", "C(C"])
    with pytest.raises(ValueError, match="got 0 SMILES"):
        draw_molecules([])
    with pytest.raises(ValueError, match="1 legends"):
        draw_molecules(["C", "C"], legends=["a"])
