"""Atomic environment vectors as controls: what ANI sees, before any network has looked at it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxalign.models.ani.aev import environment_vectors
from jaxalign.models.ani.aev_settings import AEV_1X, AEV_2XT, AevSettings
from jaxalign.models.ani.ani_inputs import MOLECULES, check_structure, featurize_molecule
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.entry import ModelEntry

LAYER = "aev"


def apply_aev(
    settings: AevSettings, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Environment vectors of all atoms of a padded batch.

    Args:
      settings: elements and constants.
      params: not used; there are none.
      batch: what `collate_atoms` gives, positions in Å.
      layer: `"aev"` or None.

    Returns:
      `[batch, atoms, settings.width]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    if layer not in (None, LAYER):
        raise ValueError(f"unknown layer {layer!r} of environment vectors; pass {LAYER!r}")
    return NodeFeatures(environment_vectors(settings, batch), jnp.asarray(batch["mask"]))


def _entry(settings: AevSettings, **facts: str) -> ModelEntry:
    card = ModelCard(
        family="AEV",
        modality="control",
        pretrained=False,
        width=settings.width,
        layer=LAYER,
        layers=(LAYER,),
        pooling="mean",
        training_data="none",
        symmetry="invariant",
        citation="Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), doi:10.1039/C6SC05720A",
        notes="What the ANI networks see, before any weight: radial terms within 5.2 Å, angular "
        "ones within 3.5 Å; the atom's own element is not part of its vector. Elements "
        f"{', '.join(settings.elements)}; molecules without periodicity, of whatever charge.",
        **facts,
    )
    apply = functools.partial(apply_aev, settings)

    def build(entry: ModelEntry) -> Encoder:
        return Encoder(
            card=entry.card,
            params={},
            featurize=functools.partial(featurize_molecule, settings=settings),
            batching=MOLECULES,
            apply=apply,
            check=functools.partial(check_structure, settings=settings),
        )

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (
    _entry(AEV_1X, id="aev", name="Atomic environment vectors of ANI-1x"),
    _entry(AEV_2XT, id="aev-2xt", name="Atomic environment vectors of ANI-2xt"),
)
