"""From a folder in the Hugging Face layout to an encoder.

    encoder = jaxalign.load_weights("esm2_t6_8M", architecture="huggingface")
    encoder = jaxalign.load_weights("mine", architecture="huggingface", config={"input": "selfies"})
    jaxalign embed --models='hf:chemberta?special_tokens=drop' --dataset=qm9 --workdir=W

`reading` says what may be stated about the input. Layers are named as transformers orders its
hidden states: `embedding`, `layer_1`, …; the last one is after the final norm where there is one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.batching import RowBuckets
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Batch, Encoder, Example, NodeFeatures, UnsupportedStructureError
from jaxalign.models.huggingface.architectures import (
    Architecture,
    Network,
    find_architecture,
    token_limit,
)
from jaxalign.models.huggingface.folder import CONFIG, WEIGHTS, ModelFolder
from jaxalign.models.huggingface.hub import fetch_from_hub
from jaxalign.models.huggingface.layout import check_depth, convert, own_names
from jaxalign.models.huggingface.reading import Reading, choose_reading, read_settings
from jaxalign.models.huggingface.tokenizer import FILES, read_tokenizer
from jaxalign.models.language.text_tokenizer import TextTokenizer
from jaxalign.models.language.tokens import (
    TOKEN_BUCKETS,
    TOKENS_PER_BATCH,
    collate_tokens,
    token_count,
)
from jaxalign.models.weight_files.weights import count_params
from jaxalign.structures.structure import Structure

BUCKETS = (*TOKEN_BUCKETS, 640, 768, 896, 1024)
READ_FILES = (CONFIG, *WEIGHTS, *FILES)
"""Files of a folder that decide what the encoder is."""


def load_huggingface(
    path: str | Path, config: Mapping[str, Any] | str | Path | None = None
) -> Encoder:
    """An encoder from a folder, or from a model of the hub.

    Args:
      path: a folder, or `org/name` of the hub if there is no such folder.
      config: settings, or the path of a JSON file with them; see `reading`.

    Returns:
      The encoder. Its id is the name of the folder, with the settings behind it if there are any.

    Raises:
      WeightsError: if the folder is incomplete, of an architecture that is not supported, or its
        files contradict each other.
      CheckpointError: if the weights are damaged.
      JaxalignError: if a package is missing or the hub out of reach.
    """
    config = read_settings(config)
    place, revision = Path(path).expanduser(), None
    if not place.exists() and not place.is_absolute():
        place, revision = fetch_from_hub(str(path))
    folder = ModelFolder(place)
    stated = folder.read_config()
    architecture = find_architecture(stated)
    network = architecture.read(stated)
    tokenizer = read_tokenizer(folder, architecture.name)
    reading = choose_reading(config, architecture, tokenizer)
    params = _read_params(folder, architecture, network)
    origin = str(path) if revision else str(place.resolve().name)
    card = ModelCard(
        **_facts(architecture, network, reading, params),
        **_origin(folder, origin, revision, config),
    )
    text = TextTokenizer(
        tokenizer,
        view=reading.view,
        max_tokens=token_limit(network),
        prompt=reading.prompt,
        separator=reading.separator,
    )
    return _encoder(card, architecture, network, params, text, keep=reading.keep_special)


def _read_params(
    folder: ModelFolder, architecture: Architecture, network: Network
) -> dict[str, Any]:
    naming = architecture.naming(network)
    arrays = own_names(folder.read_arrays(), naming)
    check_depth(arrays, naming, network.depth, key=architecture.depth_key)
    return convert(arrays, architecture.layout(network), network.depth)


def _facts(
    architecture: Architecture, network: Network, reading: Reading, params: Any
) -> dict[str, Any]:
    """The facts of the card that follow from network and input."""
    limit, layers = token_limit(network), network.layer_names
    room = f"It has positions for {limit} tokens" if limit else "It has no limit of length"
    cut = {None: "", "sequence": "; longer sequences are cut at the end, which is counted"}
    if limit:
        room += cut.get(reading.view, "; longer inputs are refused")
    return {
        "family": architecture.family,
        "modality": "protein-sequence" if reading.view == "sequence" else "string",
        "pretrained": True,
        "width": network.hidden,
        "layer": layers[-1],
        "layers": layers,
        "pooling": architecture.pooling,
        "training_data": "not stated: weights of the user",
        "label_level": "not stated",
        "parameters": count_params(params),
        "symmetry": "invariant",  # a string has no coordinates to rotate
        "citation": architecture.citation,
        "verified": "random",
        "notes": (
            "Weights of the user; the implementation agrees with transformers on random weights "
            f"of this architecture. {reading.notes()} {room}. The last layer is after the final "
            "norm, if the network has one."
        ),
    }


def _origin(
    folder: ModelFolder, name: str, revision: str | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The facts of the card that follow from where the model comes from."""
    settings = "".join(f"+{key}-{value}" for key, value in sorted(config.items()))
    plain = name.rpartition("/")[2].partition("@")[0] if revision else name
    return {
        "id": re.sub(r"[^\w.+-]+", "-", plain + settings).strip("-.") or "model",
        "name": name,
        "licence": "not stated: see the model's page" if revision else "user's own",
        "package": f"{name}{f' at {revision}' if revision else ''}: {', '.join(folder.hashes)}",
        "package_sha256": folder.sha256,
    }


def _encoder(
    card: ModelCard,
    architecture: Architecture,
    network: Network,
    params: Any,
    tokenizer: TextTokenizer,
    *,
    keep: bool,
) -> Encoder:
    limit = token_limit(network)
    buckets = BUCKETS if limit is None else (*(b for b in BUCKETS if b < limit), limit)
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=functools.partial(
            _featurize, tokenizer=tokenizer, rows=network.vocabulary, keep=keep
        ),
        batching=RowBuckets(
            size=token_count,
            buckets=buckets,
            batch_size=lambda bucket: max(TOKENS_PER_BATCH // bucket, 1),
            pad=pad_tokens,
            grows=limit is None,
        ),
        apply=bind(token_features, architecture.states, network),
    )


def _featurize(structure: Structure, *, tokenizer: TextTokenizer, rows: int, keep: bool) -> Example:
    """Token ids of a structure, and which of them are pooled."""
    example = tokenizer.featurize(structure)
    largest = int(example["ids"].max())
    if largest >= rows:
        raise UnsupportedStructureError(
            f"token {largest} has no row in the embedding table of {rows} rows: tokenizer and "
            "weights of this model do not belong together"
        )
    pooled = np.ones(len(example["ids"]), bool) if keep else ~example["special"]
    counts = {name: example[name] for name in ("unknown", "truncated")}
    return {"ids": example["ids"], "pooled": pooled, **counts}


def pad_tokens(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads token ids to one shape.

    Args:
      examples: at most `batch_size` examples of at most `bucket` tokens.
      bucket: tokens a row.
      batch_size: rows.

    Returns:
      `ids`, `mask` and `pooled` (which tokens pooling runs over), each `[batch_size, bucket]`.
    """
    pooled = np.zeros((batch_size, bucket), bool)
    for row, example in enumerate(examples):
        pooled[row, : token_count(example)] = example["pooled"]
    return {**collate_tokens(examples, bucket, batch_size), "pooled": pooled}


def token_features(
    states: Any, network: Network, params: Any, batch: Mapping[str, Any], layer: str | None
) -> NodeFeatures:
    """Hidden states of one layer, and which of them are pooled.

    Args:
      states: function of the architecture.
      network: its sizes.
      params: of `layout.convert`.
      batch: of `pad_tokens`.
      layer: a name of `network.layer_names`, None for the last; static.

    Returns:
      Features of all tokens.
    """
    values = states(network, params, batch, layer or network.layer_names[-1])
    return NodeFeatures(values, jnp.asarray(batch["pooled"]))
