"""The registry: unique ids, complete cards, helpful errors, nothing downloaded by listing."""

import re

import pytest

from jaxalign.models import registry
from jaxalign.models.encoder import Encoder, HostEncoder

FIELDS = ["id", "family", "modality", "pretrained", "width", "licence", "verified", "fetched"]


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_listing_downloads_nothing(no_cache):
    rows = [registry.describe_model(entry) for entry in registry.list_models()]
    assert all(list(row) == FIELDS for row in rows)
    assert not no_cache.exists()
    fetched = {row["id"]: row["fetched"] for row in rows}
    assert fetched["ecfp4"]
    assert not fetched["rxnfp-bert-pretrained"]


def test_has_the_promised_models():
    cards = {entry.card.id: entry.card for entry in registry.list_models()}
    promised = {"rxnfp-bert-pretrained", "rxnmapper-albert", "rxnfp-bert-random", "ani-1x-0"}
    promised |= {"rxnmapper-albert-random", "composition", "ecfp4", "gaussian-noise", "atom-count"}
    assert promised <= cards.keys()
    assert {card.modality for card in cards.values()} >= {"string", "graph", "3d", "control"}


@pytest.mark.parametrize("entry", registry.list_models(), ids=lambda entry: entry.card.id)
def test_cards_are_complete(entry):
    card = entry.card
    assert re.fullmatch(r"[a-z0-9][a-z0-9.\-]*", card.id)
    assert card.name
    assert card.family
    assert card.width > 0
    assert card.layer in card.layers
    assert card.verified in ("weights", "random", "none")
    assert card.verified == "weights" or not card.pretrained
    if card.pretrained:
        assert all((card.licence, card.citation, card.training_data, card.parameters))
        assert (card.package, card.package_sha256) == (
            f"{entry.archives[0].package}=={entry.archives[0].version}",
            entry.archives[0].sha256,
        )


def test_unknown_id_names_similar_ones():
    with pytest.raises(ValueError, match=r"'rxnfp-bert'.*did you mean 'rxnfp-bert-.*models list"):
        registry.model_entry("rxnfp-bert")
    with pytest.raises(ValueError, match=r"'\?\?'; `jaxalign models list`"):
        registry.load_model("??")


def test_loads_a_control_without_network(no_cache):
    assert isinstance(registry.load_model("composition"), HostEncoder)
    assert registry.fetch_model("composition") == ()
    assert not no_cache.exists()


@pytest.mark.registry
def test_loads_a_network():
    encoder = registry.load_model("rxnmapper-albert")
    assert isinstance(encoder, Encoder)
    assert registry.model_fetched(registry.model_entry("rxnmapper-albert"))
