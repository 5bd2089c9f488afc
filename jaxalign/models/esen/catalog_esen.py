"""eSEN and UMA with random weights; trained ones are the user's to bring (see `user_weights`)."""

from __future__ import annotations

import math

import numpy as np

from jaxalign.models.card import NOTHING_FETCHED
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.esen.esen_encoder import esen_card, esen_encoder
from jaxalign.models.esen.esen_settings import GRID, EsenSettings
from jaxalign.models.esen.esen_weights import EsenArrays, build_params

EDGE_CHANNELS = 128
# The shape of eSEN-sm-OMol.
TWIN = EsenSettings(
    elements=100,
    channels=128,
    hidden=128,
    max_degree=2,
    max_order=2,
    blocks=4,
    basis=64,
    cutoff=6.0,
)
# The shape of UMA-S with half as many channels and blocks and a quarter of the experts.
MIXED_TWIN = EsenSettings(
    elements=100,
    channels=64,
    hidden=64,
    max_degree=2,
    max_order=2,
    blocks=2,
    basis=64,
    cutoff=6.0,
    feed_forward=GRID,
    experts=8,
    composition=True,
)


class RandomArrays(EsenArrays):
    """Arrays of an eSEN that nobody trained, drawn when they are asked for.

    Norms start at 1 and 0; maps are uniform with the bound 1 / √fan-in, embeddings normal, as
    torch draws them.

    Args:
      settings: of the model.
      seed: of the random numbers.
    """

    def __init__(self, settings: EsenSettings, *, seed: int):
        super().__init__({})
        self._settings = settings
        self._rng = np.random.default_rng(seed)

    def holds(self, name: str) -> bool:
        """Messages are mixed from experts wherever that is asked; heads are plain."""
        return ".edge_wise." in name

    def take(self, name: str) -> np.ndarray:
        """Embeddings of the elements at the ends of an edge."""
        return self._rng.uniform(-1e-3, 1e-3, (self._settings.elements, EDGE_CHANNELS))

    def shaped(self, name: str, *shape: int) -> np.ndarray:
        """Random numbers of the spread that the name asks for."""
        part, _, kind = name.rpartition(".")
        if len(shape) > 1 and "embedding" in part and "rad_func" not in part:
            return self._rng.standard_normal(shape, np.float32)
        if kind == "affine_weight" or (kind == "weight" and len(shape) == 1):
            return np.ones(shape, np.float32)
        if len(shape) == 1:
            return np.zeros(shape, np.float32)
        bound = 1 / math.sqrt(shape[-1])
        return self._rng.uniform(-bound, bound, shape).astype(np.float32)


def random_esen(settings: EsenSettings, *, seed: int) -> dict:
    """Random parameters of an eSEN or UMA, for structures without charge.

    Args:
      settings: of the model.
      seed: of the random numbers.

    Returns:
      The parameters.
    """
    arrays = RandomArrays(settings, seed=seed)
    params = build_params(arrays, arrays, settings)
    system = arrays.shaped("system_embedding", 1, settings.channels)[0]
    return params | {"system": system, "charge": np.float32(0), "spin": np.float32(-1)}


def _twin(id: str, settings: EsenSettings, *, parameters: int, shape: str) -> ModelEntry:
    card = esen_card(
        settings,
        id=id,
        name=f"{'UMA' if settings.experts else 'eSEN'}, random weights",
        pretrained=False,
        training_data="none",
        label_level="none",
        parameters=parameters,
        notes=f"Random weights, seed 0, {shape}; elements H to Es, cutoff 6 Å. Layers are the "
        "scalars; those ending in _equivariant turn with the structure. The code is proven against "
        "fairchem-core on random weights.",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        params = random_esen(settings, seed=0)
        reference = dict.fromkeys(range(1, settings.elements), 0.0)
        return esen_encoder(entry.card, settings, params, reference=reference)

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (
    _twin("esen-random", TWIN, parameters=6_199_301, shape="in the shape of eSEN-sm-OMol"),
    _twin(
        "uma-random",
        MIXED_TWIN,
        parameters=4_947_949,
        shape="in the shape of UMA-S with half the channels and blocks and 8 experts",
    ),
)
