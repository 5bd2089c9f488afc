"""Energies that interatomic potentials predict for structures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jax.sharding import Mesh
from jaxtyping import Float, Int

from jaxalign.embeddings.extract import answer_request
from jaxalign.embeddings.heads import Interaction
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.request import make_request
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.structures.structure import Structure, StructureSet
from jaxalign.types import JaxalignError

LAYER = "energy"  # names the stores of energies


class NoEnergyError(JaxalignError, ValueError):
    """A model that predicts no energies was asked for them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Energies:
    """Row i is the energy of structure `ids[i]` as one potential predicts it.

    Attributes:
      total: eV, atoms' own energies included: zero points differ between potentials.
      interaction: eV, without the atoms' own energies as the potential defines these.
      atoms: number of atoms of each structure.
      ids: sample ids.
      card: facts about the potential.
      info: data set, content hash, skipped structures, counters; as of embeddings.
    """

    total: Float[np.ndarray, " n"]
    interaction: Float[np.ndarray, " n"]
    atoms: Int[np.ndarray, " n"]
    ids: tuple[str, ...]
    card: ModelCard
    info: Mapping[str, Any]

    def table(self) -> pd.DataFrame:
        """One row a structure: model, id, atoms, and energies in eV."""
        return pd.DataFrame(
            {
                "model": self.card.id,
                "id": self.ids,
                "atoms": self.atoms,
                "energy_ev": self.total,
                "interaction_energy_ev": self.interaction,
                "energy_ev_per_atom": self.total / self.atoms,
            }
        )


def structure_energies(
    encoder: Encoder | HostEncoder,
    structures: Sequence[Structure],
    *,
    store_path: str | Path | None = None,
    on_error: str = "raise",
    chunk_rows: int = 1024,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> Energies:
    """Predicted energies of structures, in their order.

    The network gives energies without the atoms' own, which are small numbers; those of the atoms
    are added in float64. So a total of −3,000 eV keeps its digits.

    Args:
      encoder: an interatomic potential.
      structures: unique ids.
      store_path: where interaction energies are kept, as embeddings are.
      on_error: `"raise"`, or `"skip"` structures that the potential cannot represent.
      chunk_rows: structures of a chunk, the unit of committing.
      progress: whether to show progress.
      mesh: devices; None means those with enough to do.

    Returns:
      Energies in eV.

    Raises:
      NoEnergyError: if the encoder predicts no energies.
      UnsupportedStructureError: if structures cannot be represented and `on_error` is `"raise"`.
    """
    energy = encoder.energy if isinstance(encoder, Encoder) else None
    if energy is None:
        raise NoEnergyError(
            f"{encoder.card.id!r} predicts no energies; `jaxalign models list` shows the family of "
            "each model: pass an interatomic potential such as ANI or CHGNet"
        )
    if not isinstance(structures, StructureSet):
        structures = StructureSet(structures)
    request = make_request(encoder.card, structures, layer=None, pooling=None, on_error=on_error)
    inputs = {
        "featurize": energy.featurize or encoder.featurize,
        "batching": energy.batching or encoder.batching,
    }
    rows = answer_request(
        dataclasses.replace(encoder, **inputs),
        dataclasses.replace(request, layer=LAYER, pooling="sum"),
        Interaction(energy.interaction),
        store_path=store_path,
        chunk_rows=chunk_rows,
        progress=progress,
        mesh=mesh,
        in_memory=True,
    )
    return _with_reference(rows, structures, energy.reference)


def _with_reference(
    rows: Embeddings, structures: Sequence[Structure], reference: Mapping[int, float]
) -> Energies:
    numbers = {structure.id: structure.atomic_numbers for structure in structures}
    own = np.array([sum(reference[int(z)] for z in numbers[name]) for name in rows.ids])
    interaction = np.asarray(rows.values[:, 0], np.float64)
    return Energies(
        total=interaction + own,
        interaction=interaction,
        atoms=np.array([len(numbers[name]) for name in rows.ids]),
        ids=rows.ids,
        card=rows.card,
        info=rows.info,
    )
