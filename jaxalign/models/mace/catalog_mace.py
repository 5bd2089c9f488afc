"""MACE with random weights; trained weights are the user's to bring (see `user_weights`)."""

from __future__ import annotations

import functools
import math

import numpy as np

from jaxalign.models.card import NOTHING_FETCHED
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.mace.mace import Mace
from jaxalign.models.mace.mace_coupling import generalized_couplings
from jaxalign.models.mace.mace_encoder import mace_card, mace_encoder
from jaxalign.models.mace.mace_settings import MaceSettings
from jaxalign.models.mace.mace_weights import MaceArrays, build_params

_BASIS = 10
# The shape of MACE-MP-0 medium.
TWIN = MaceSettings(
    atomic_numbers=tuple(range(1, 90)),
    cutoff=6.0,
    smoothness=5,
    channels=128,
    max_degree=3,
    degrees=((0, 1), (0,)),
    correlation=(3, 3),
    residual=(True, True),
    density=(False, False),
    neighbors=(61.9649, 61.9649),
    radial_widths=((64, 64, 64),) * 2,
    transform=None,
    repulsion=False,
    shared_product=False,
    cutoff_last=False,
    readouts=2,
    readout_width=16,
    heads=("random",),
    head=0,
)


class RandomArrays(MaceArrays):
    """Arrays of a MACE that nobody trained, drawn when they are asked for.

    Weights are normal numbers as the original draws them; constants are what they must be.

    Args:
      settings: of the model.
      seed: of the random numbers.
    """

    def __init__(self, settings: MaceSettings, *, seed: int):
        super().__init__({})
        self._settings = settings
        self._rng = np.random.default_rng(seed)
        self._frequencies = math.pi / settings.cutoff * np.arange(1, _BASIS + 1)

    def holds(self, name: str) -> bool:
        """Scale and shift of the energies are left at 1 and 0."""
        return False

    def take(self, name: str) -> np.ndarray:
        """Constants, by their name in the original."""
        if name.endswith("bessel_weights"):
            return self._frequencies
        if ".U_matrix_" not in name:
            return np.zeros(())
        _, block, *_, number, table = name.split(".")
        degree = self._settings.degrees[int(block)][int(number)]
        return _couplings(self._settings.max_degree, degree, int(table.rsplit("_", 1)[1]))

    def shaped(self, name: str, *shape: int) -> np.ndarray:
        """Constants as they are, weights from the random numbers."""
        if ".U_matrix_" in name:
            return self.take(name)
        if name.endswith("prefactor"):
            return np.asarray(math.sqrt(2 / self._settings.cutoff))
        values = self._rng.standard_normal(shape, np.float32)
        return values / shape[1] if ".contractions." in name else values


@functools.cache
def _couplings(max_degree: int, degree: int, order: int) -> np.ndarray:
    table = generalized_couplings(range(max_degree + 1), order=order, degree=degree)
    return table[0] if degree == 0 else table


def random_mace(settings: MaceSettings, *, seed: int) -> tuple[Mace, dict]:
    """A MACE with random weights.

    Args:
      settings: of the model; without distance transform and repulsion.
      seed: of the random numbers.

    Returns:
      The model and its parameters.
    """
    params, plans = build_params(RandomArrays(settings, seed=seed), settings)
    return Mace(settings, plans), params


def _twin() -> ModelEntry:
    card = mace_card(
        Mace(TWIN, ()),
        id="mace-random",
        name="MACE, random weights",
        pretrained=False,
        training_data="none",
        label_level="none",
        parameters=4_688_669,
        notes="Random normal weights, seed 0, in the shape of MACE-MP-0 medium: 128 scalars and "
        "vectors, degrees up to 3, correlation 3, elements H to Ac, cutoff 6 Å. The descriptor "
        "joins the scalars after each block; the layers ending in _equivariant turn with the "
        "structure. The code is proven against mace-torch on random weights.",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        model, params = random_mace(TWIN, seed=0)
        return mace_encoder(entry.card, model, params, reference=dict.fromkeys(range(1, 90), 0.0))

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (_twin(),)
