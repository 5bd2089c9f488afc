"""A model of the Hugging Face hub as a local folder: only the files that are read are fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from jaxalign.models.huggingface.folder import CONFIG, WEIGHTS
from jaxalign.models.huggingface.tokenizer import FILES
from jaxalign.models.language.text_views import strings_module
from jaxalign.models.weight_files.weights import WeightsError
from jaxalign.types import JaxalignError

_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", re.ASCII)


def is_hub_name(name: str) -> bool:
    """Whether a name has the form `org/name` or `org/name@revision`."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def fetch_from_hub(name: str) -> tuple[Path, str]:
    """Downloads a model unless it is in the cache of `huggingface_hub`.

    Config, tokenizer and the first weights in the order of `folder.WEIGHTS` are fetched, nothing
    else: a repository may hold other formats and code.

    Args:
      name: `org/name`, or `org/name@revision` with a branch, tag or commit.

    Returns:
      The folder, and the commit that it holds.

    Raises:
      JaxalignError: if the package is missing, or the model is neither reachable nor in the cache.
      WeightsError: if the repository is no model of this layout.
    """
    if not is_hub_name(name):
        raise WeightsError(f"{name!r} is neither a folder nor a hub name of the form org/name")
    hub = strings_module("huggingface_hub")
    repository, _, revision = name.partition("@")
    try:
        facts = hub.HfApi().model_info(repository, revision=revision or None)
        files = [file.rfilename for file in facts.siblings]
    except Exception as error:  # offline, no such model, no access: dozens of types
        return _from_cache(repository, revision, error)
    weights = next((file for file in WEIGHTS if file in files), None)
    if CONFIG not in files or weights is None:
        raise WeightsError(
            f"{repository} on the hub lacks {CONFIG} or weights ({', '.join(WEIGHTS)}); it is no "
            "model of this layout"
        )
    chosen = [file for file in (CONFIG, weights, "added_tokens.json", *FILES) if file in files]
    path = _fetch(repository, facts.sha, chosen)
    if weights.endswith(".index.json"):
        _fetch(repository, facts.sha, _shards(path / weights))
    return path, facts.sha


def _fetch(repository: str, commit: str, files: Sequence[str]) -> Path:
    hub = strings_module("huggingface_hub")
    try:
        places = [hub.hf_hub_download(repository, file, revision=commit) for file in files]
    except Exception as error:
        what = " ".join(str(error).split())
        raise JaxalignError(
            f"cannot download {', '.join(files)} of {repository} ({type(error).__name__}: "
            f"{what:.300}); try again, or download the folder by other means and pass its path"
        ) from error
    return Path(places[0]).parent


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of shards: {error}") from error


def _from_cache(repository: str, revision: str, reason: Exception) -> tuple[Path, str]:
    """The folder of an earlier download, if the hub cannot be asked."""
    hub = strings_module("huggingface_hub")
    try:
        path = Path(
            hub.snapshot_download(repository, revision=revision or None, local_files_only=True)
        )
    except Exception:
        what = " ".join(str(reason).split())
        raise JaxalignError(
            f"the hub cannot be asked for {repository} ({type(reason).__name__}: {what:.300}), and "
            "it is not in the cache; check name and network, or download the folder elsewhere and "
            "pass its path: hf:FOLDER"
        ) from reason
    return path, path.name
