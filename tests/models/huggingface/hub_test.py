"""Models of the hub, with a stand-in for `huggingface_hub` that serves a local folder."""

import sys
import types

import pytest

from jaxalign.models.huggingface.hub import fetch_from_hub, is_hub_name
from jaxalign.models.language import text_views
from jaxalign.models.user_weights import load_weights
from jaxalign.models.weight_files.weights import WeightsError
from jaxalign.types import JaxalignError
from tests.models.huggingface.folders import write_folder

COMMIT = "0123abc"


class Hub(types.ModuleType):
    """Serves `source`; what is fetched is copied to `cache`, as the real one does."""

    def __init__(self, source, cache):
        super().__init__("huggingface_hub")
        self.source, self.cache, self.fetched, self.online = source, cache, [], True

    def HfApi(self):
        return self

    def model_info(self, repository, revision):
        if not self.online:
            raise ConnectionError("no network")
        files = [types.SimpleNamespace(rfilename=p.name) for p in sorted(self.source.iterdir())]
        return types.SimpleNamespace(sha=COMMIT, siblings=files)

    def hf_hub_download(self, repository, file, revision):
        assert revision == COMMIT
        place = self.cache / COMMIT / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((self.source / file).read_bytes())
        self.fetched.append(file)
        return str(place)

    def snapshot_download(self, repository, revision, local_files_only):
        assert local_files_only
        if not (self.cache / COMMIT).exists():
            raise FileNotFoundError
        return str(self.cache / COMMIT)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    source = write_folder(tmp_path / "source", "bert")
    (source / "code.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"another copy")
    hub = Hub(source, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    text_views.strings_module.cache_clear()
    yield hub
    text_views.strings_module.cache_clear()


def test_only_files_that_are_read_are_fetched(hub):
    card = load_weights("org/mine", architecture="hf").card
    assert sorted(hub.fetched) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (card.id, card.name) == ("mine", "org/mine")
    assert card.package.startswith(f"org/mine at {COMMIT}: config.json")
    assert card.licence.startswith("not stated")
    hub.online = False
    assert load_weights("org/mine", architecture="hf").card == card  # from the cache


def test_what_cannot_be_had_says_why(hub, monkeypatch):
    hub.online = False
    with pytest.raises(JaxalignError, match=r"asked for org/mine \(ConnectionError: no network\)"):
        fetch_from_hub("org/mine")
    hub.online = True
    (hub.source / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks config\.json"):
        fetch_from_hub("org/mine@main")
    for name in ("org", "a/b/c", "../mine", "org/..", "org/a b"):
        assert not is_hub_name(name)
        with pytest.raises(WeightsError, match="neither a folder nor a hub name"):
            fetch_from_hub(name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    text_views.strings_module.cache_clear()
    with pytest.raises(JaxalignError, match=r"pip install 'jaxalign\[strings\]'"):
        fetch_from_hub("org/mine")


def test_shards_are_fetched_by_their_index(hub):
    (hub.source / "model.safetensors").rename(hub.source / "model-1.safetensors")
    index = '{"weight_map": {"a": "model-1.safetensors"}}'
    (hub.source / "model.safetensors.index.json").write_text(index)
    fetch_from_hub("org/mine")
    assert "model-1.safetensors" in hub.fetched
    assert "pytorch_model.bin" not in hub.fetched
