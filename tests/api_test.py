"""Names that users rely on, and the way from structures to a report in Python."""

import numpy as np
import pytest

import jaxalign as ja


def test_every_public_name_resolves():
    for name in ja.__all__:
        assert getattr(ja, name) is not None
        assert name in dir(ja)
    with pytest.raises(AttributeError, match="no attribute 'aligned'"):
        ja.aligned  # noqa: B018


def test_own_functions_stand_beside_registered_encoders(tmp_path):
    molecules = ja.load_dataset("qm9", n=60, seed=2)

    def atoms_and_mass(structures):
        return [[len(s.atomic_numbers), s.atomic_numbers.sum(), 1.0] for s in structures]

    mine = ja.embed(atoms_and_mass, molecules)
    assert mine.values.shape == (60, 3)
    assert mine.card.id == "atoms_and_mass"
    alignment = ja.align(
        {"mine": mine, "composition": ja.embed("composition", molecules)}, k=5, workdir=tmp_path
    )
    score = float(alignment.matrix("mutual_knn").sel(model_a="mine", model_b="composition"))
    assert 5 / 59 < score <= 1
    page = ja.write_report(tmp_path, tmp_path / "report")
    assert "atoms_and_mass" in page.read_text()
    assert set(alignment.table["dataset"]) == {"qm9"}


def test_embedding_resumes_in_its_store(tmp_path):
    molecules = ja.load_dataset("qm9", n=40, seed=2)
    first = ja.embed("gaussian-noise", molecules, store=tmp_path / "store")
    again = ja.embed("gaussian-noise", molecules, store=tmp_path / "store")
    assert (first.info["rows_computed"], again.info["rows_computed"]) == (40, 0)
    np.testing.assert_array_equal(first.values, again.values)
    assert first.ids == molecules.ids


def test_a_finished_store_opens_no_weights(tmp_path, monkeypatch):
    from jaxalign import api

    molecules = ja.load_dataset("qm9", n=20, seed=2)
    first = ja.embed("ecfp4", molecules, store=tmp_path / "store")
    monkeypatch.setattr(api, "load_model", lambda model: pytest.fail("weights were opened"))
    again = ja.embed("ecfp4", molecules, store=tmp_path / "store")
    np.testing.assert_array_equal(first.values, again.values)
    with pytest.raises(pytest.fail.Exception):  # other molecules are not answered from it
        ja.embed("ecfp4", molecules.subset(9), store=tmp_path / "store")
