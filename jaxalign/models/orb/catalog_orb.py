"""Orb with random weights; trained weights are the user's to bring (see `user_weights`)."""

from __future__ import annotations

import math

import numpy as np

from jaxalign.models.card import NOTHING_FETCHED
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.orb.orb import CUTOFF
from jaxalign.models.orb.orb_encoder import describe, orb_card, orb_encoder
from jaxalign.models.orb.orb_settings import BESSEL, EMBEDDING, OrbSettings
from jaxalign.models.orb.orb_weights import ELEMENTS, OrbArrays, build_params

# The shape of orb-v3-direct-20-omat.
TWIN = OrbSettings(
    latent=256,
    steps=5,
    depth=2,
    hidden=1024,
    activation="silu",
    layer_norm=False,
    bases=8,
    degree=3,
    neighbors=20,
    repulsion="sum",
    head_depth=1,
    head_hidden=256,
)


class RandomArrays(OrbArrays):
    """Arrays of an Orb that nobody trained, drawn when they are asked for.

    Args:
      settings: of the model.
      seed: of the random numbers.
    """

    def __init__(self, settings: OrbSettings, *, seed: int):
        super().__init__({}, settings)
        self._rng = np.random.default_rng(seed)

    def shaped(self, name: str, *shape: int) -> np.ndarray:
        """Constants as they are, weights as PyTorch and the original draw them."""
        if name == BESSEL:
            return math.pi / CUTOFF * np.arange(1, shape[0] + 1)
        if name.endswith("prefactor"):
            return np.asarray(math.sqrt(2 / CUTOFF))
        if name.endswith(("layer_norm.weight", "running_var")):
            return np.ones(shape)
        if name.endswith(("layer_norm.bias", "running_mean")):
            return np.zeros(shape)
        bound = math.sqrt(3) if name == EMBEDDING else shape[-1] ** -0.5
        return self._rng.uniform(-bound, bound, shape).astype(np.float32)

    def linear(self, name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        """The bias has the bound of the kernel."""
        kernel = self.shaped(f"{name}.weight", outputs, inputs).T
        bias = self.shaped(f"{name}.bias", outputs, inputs)[:, 0]
        return {"kernel": kernel, "bias": bias}


def random_orb(settings: OrbSettings, *, seed: int) -> dict:
    """Parameters of an Orb with random weights.

    Args:
      settings: of the model; blind to charge and spin.
      seed: of the random numbers.

    Returns:
      Parameters for `orb_states`.
    """
    return build_params(RandomArrays(settings, seed=seed), settings)


def _twin() -> ModelEntry:
    card = orb_card(
        TWIN,
        id="orb-random",
        name="Orb, random weights",
        pretrained=False,
        training_data="none",
        label_level="none",
        parameters=24_116_109,
        notes="Random weights as PyTorch draws them, seed 0, in the shape of "
        f"orb-v3-direct-20-omat. {describe(TWIN)} The code is proven against orb-models 0.5.5 on "
        "random weights.",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        params = random_orb(TWIN, seed=0)
        return orb_encoder(entry.card, TWIN, params, reference=dict.fromkeys(range(ELEMENTS), 0.0))

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (_twin(),)
