"""The section on trivial explanations: numbers in the table, conditions in words."""

import dataclasses

from jaxalign.report.render import render
from jaxalign.report.tabs.explanations import condition_notes, explanations_table, what_remains

ENCODERS = [
    {"model": "x", "control": "composition", "floor": 0.0101, "twin": 0.12, "control_score": 0.3,
     "raw": 0.25, "residual": 0.0, "strata": 0.1, "left": 0.123},
    {"model": "y", "control": "", "floor": None, "twin": None, "control_score": None,
     "raw": 0.0, "residual": None, "strata": 0.0, "left": None},
]  # fmt: skip
FACTS = {
    "metric": "mutual_knn",
    "k": 10,
    "encoders": ENCODERS,
    "conditions": [
        {"given": "composition, atom-count", "method": "residual", "n": 990, "left_out": 10,
         "assumption": "It is linear."},
        {"given": "protein_family", "method": "strata", "reason": "no permutation is possible"},
    ],
}  # fmt: skip


def test_scores_stand_in_the_table():
    table = explanations_table(FACTS, ["y", "x", "not shown"])
    assert "Mutual kNN" in table.caption
    assert "k = 10" in table.caption
    assert [row[0].text for row in table.rows] == ["y", "x"]
    assert [cell.text for cell in table.rows[1]][1:] == [
        *("0.0101", "0.120", "composition", "0.300", "0.250", "0.000", "0.100", "12 %")
    ]
    assert [cell.text for cell in table.rows[0]][1:5] == ["–"] * 4


def test_conditions_and_what_they_explain_are_told():
    first, second = condition_notes(FACTS)
    assert first == ("Given composition, atom-count (990 structures, 10 left out): It is linear.")
    assert second.startswith("Within equal protein family: not asked, as no permutation")
    said, gone = what_remains(FACTS)
    assert "0.250 in the median over encoders" in said
    assert said.endswith(
        "0.000 given composition, atom-count and 0.100 within equal protein family."
    )
    assert gone == "Nothing is left given composition, atom-count: x."
    assert what_remains({**FACTS, "encoders": ENCODERS[1:]}) == []


def test_the_page_has_the_section_only_where_there_is_one(fake_alignment):
    plain = fake_alignment(6)
    assert b'id="explanations"' not in render(plain)["index.html"]
    names = list(plain.cards)[:2]
    rows = [{**row, "model": name} for row, name in zip(ENCODERS, names, strict=True)]
    stored = {**plain.diagnostics, "explanations": {**FACTS, "encoders": rows}}
    page = render(dataclasses.replace(plain, diagnostics=stored))["index.html"].decode()
    assert 'id="explanations"' in page
    assert "It is linear." in page
    assert "there remains 0.000 given" in page
