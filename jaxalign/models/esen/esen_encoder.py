"""eSEN and UMA as encoders: structures to packed graphs, the weights of a file to parameters.

Inference checkpoints as fairchem-core 2 writes them (`MLIPInferenceCheckpoint`: arrays, running
means of them, configuration, normalizers and references) are read as they are; where they know
several data sets, the configuration states one. State dicts, training checkpoints, safetensors and
npz hold arrays alone and need a configuration beside them, such as

    {"cutoff": 6.0, "max_neighbors": 30, "dataset": "omol", "charge": 0, "spin": 1}

with the arguments of the original's backbone by their names (`esen_file.merged_config` says which
more), and `normalizer` and `element_references` if energies are wanted. Should a checkpoint be of a
form that is not read, these lines convert it (they run the code in the file: only for files that
you trust):

    c = torch.load("uma.pt", map_location="cpu", weights_only=False)
    numpy.savez("uma.npz", **{n: x.numpy() for n, x in c.ema_state_dict.items() if x.ndim})
    backbone = c.model_config["backbone"]
    names = ("cutoff", "max_neighbors", "norm_type")
    json.dump({n: backbone[n] for n in names if n in backbone}, open("uma.json", "w"))

Files of the first generation (eSEN-30M) must be told `use_envelope` too.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.atomistic.atom_graph import Pairs, check_atoms, neighbor_pairs
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, Example
from jaxalign.models.esen.checkpoint_config import (
    energy_scale,
    file_config,
    head_row,
    split_arrays,
)
from jaxalign.models.esen.edge_blocks import EDGE_BLOCK
from jaxalign.models.esen.esen import (
    DEFAULT_LAYER,
    apply_esen,
    esen_layers,
    interaction_energy,
)
from jaxalign.models.esen.esen_file import (
    dataset_names,
    merged_config,
    read_settings,
    read_system,
)
from jaxalign.models.esen.esen_settings import GRID, SPHERE, EsenSettings, System
from jaxalign.models.esen.esen_weights import convert_params
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.models.weight_files.user_file import UserFile
from jaxalign.models.weight_files.weights import WeightsError, count_params
from jaxalign.structures.structure import Structure

# The original keeps neighbors that are about as far as the last one: Å², of squared distances.
_ALIKE = 0.01
# Messages of 128 channels and degrees up to 2 take 5 kB an edge.
_BUDGET = {"atoms": 512, "edges": 8192}


def featurize_esen(structure: Structure, *, settings: EsenSettings) -> Example:
    """Elements and edges of one structure.

    Args:
      structure: a sample with atoms, periodic or not.
      settings: of the model.

    Returns:
      `species` `[atoms]` (atomic numbers), `centers`, `neighbors` `[edges]`, `vectors`
      `[edges, 3]` from the center to the neighbor, Å. Where every structure has maps of its own,
      edges beyond the cutoff fill up the last group of `EDGE_BLOCK`.

    Raises:
      UnsupportedStructureError: if the model cannot represent the structure.
    """
    check_esen(structure, settings=settings)
    pairs = neighbor_pairs(structure, cutoff=settings.cutoff)
    kept = _nearest(pairs, settings.max_neighbors)
    centers, neighbors, vectors = pairs.centers[kept], pairs.neighbors[kept], pairs.vectors[kept]
    spare = -len(centers) % EDGE_BLOCK if settings.experts else 0
    last = np.full(spare, len(structure.atomic_numbers) - 1, np.int32)
    far = np.tile([2 * settings.cutoff, 0.0, 0.0], (spare, 1))
    return {
        "species": structure.atomic_numbers.astype(np.int32),
        "centers": np.concatenate([centers, last]),
        "neighbors": np.concatenate([neighbors, last]),
        "vectors": np.concatenate([vectors, far]),
    }


def _nearest(pairs: Pairs, count: int) -> np.ndarray:
    """Which pairs are kept where atoms have more neighbors than the model takes."""
    number = np.bincount(pairs.centers)
    kept = np.ones(len(pairs.centers), bool)
    squares = np.einsum("ek,ek->e", pairs.vectors, pairs.vectors)
    for atom in np.flatnonzero(number > count) if count > 0 else ():
        own = np.flatnonzero(pairs.centers == atom)
        kept[own] = squares[own] <= np.partition(squares[own], count)[count] + _ALIKE
    return kept


def check_esen(structure: Structure, *, settings: EsenSettings) -> None:
    """Raises `UnsupportedStructureError` if the model cannot represent the structure."""
    check_atoms(structure, known=range(1, settings.elements), family="this eSEN")


def esen_packing(settings: EsenSettings) -> GraphPacking:
    """Flat arrays of atoms and edges; those of the padding lie beyond the cutoff."""
    return GraphPacking(
        layout={
            "species": Field("atoms", dtype=np.int32),
            "centers": Field("edges", points_to="atoms", dtype=np.int32),
            "neighbors": Field("edges", points_to="atoms", dtype=np.int32),
            "vectors": Field("edges", fill=(2 * settings.cutoff, 0.0, 0.0)),
        },
        budget=_BUDGET,
    )


def esen_encoder(
    card: ModelCard, settings: EsenSettings, params: Any, *, reference: Mapping[int, float]
) -> Encoder:
    """An eSEN or UMA ready for extraction.

    Args:
      card: facts about the model.
      settings: of the model.
      params: of `convert_params`, of any float type.
      reference: energy of each element, eV.

    Returns:
      An encoder of molecules and crystals, with energies if the model has them.
    """
    energy = EnergyModel(bind(interaction_energy, settings), reference)
    return Encoder(
        card=card,
        params=jax.tree.map(lambda x: jnp.asarray(x, np.float32), params),
        featurize=functools.partial(featurize_esen, settings=settings),
        batching=esen_packing(settings),
        apply=bind(apply_esen, settings),
        check=functools.partial(check_esen, settings=settings),
        energy=energy if settings.head else None,
    )


def load_esen(file: UserFile) -> Encoder:
    """An encoder from an eSEN that a user brings.

    Args:
      file: weights, with a configuration if need be.

    Returns:
      The encoder.

    Raises:
      WeightsError: if the file is no eSEN, of a variant that is not supported, or contradicts its
        configuration; the message names the array and both shapes.
    """
    return _load(file, mixed=False)


def load_uma(file: UserFile) -> Encoder:
    """An encoder from a UMA that a user brings: as `load_esen`, with a mixture of experts."""
    return _load(file, mixed=True)


def _load(file: UserFile, *, mixed: bool) -> Encoder:
    params, settings, system, reference = read_model(file)
    if mixed != bool(settings.experts):
        raise WeightsError(
            f"{file.path.name} has {settings.experts or 'no'} experts: it is "
            f"{'no UMA, load it as' if mixed else 'a UMA, load it as'} "
            f'"{"esen" if mixed else "uma"}"'
        )
    facts = {**file.card_facts(), "parameters": count_params(params), "verified": "random"}
    card = esen_card(settings, **facts, notes=_notes(settings, system))
    return esen_encoder(card, settings, params, reference=reference)


def read_model(
    file: UserFile,
) -> tuple[dict[str, Any], EsenSettings, System, dict[int, float]]:
    """Everything that a weight file says.

    Args:
      file: weights, with a configuration if need be.

    Returns:
      Parameters, settings, what is stated of all structures, and the energy of each element in eV.

    Raises:
      WeightsError: as `load_esen`.
    """
    own = file_config(file.modules)
    config = merged_config(own, file.config)
    arrays, head, name = split_arrays(file.arrays, head=config.get("head"))
    settings = read_settings(arrays, config, head=head)
    system = read_system(arrays, config)
    row = head_row(own.heads.get(name or "", {}), dataset_names(arrays, config), system.dataset)
    params = convert_params(arrays, head, settings, system, head_row=row)
    scale = energy_scale(own, config, dataset=config.get("dataset", system.dataset))
    dtype = params["elements"].dtype
    params |= {"scale": np.asarray(scale.rmsd, dtype), "shift": np.asarray(scale.mean, dtype)}
    known = dict.fromkeys(range(1, settings.elements), 0.0)
    rows = zip(range(settings.elements), scale.references, strict=False)
    return params, settings, system, known | {z: value for z, value in rows if z}


def esen_card(settings: EsenSettings, **facts: Any) -> ModelCard:
    """Card of an eSEN or UMA.

    Args:
      settings: of the model.
      **facts: of the weights.

    Returns:
      A complete card.
    """
    citation = "Fu et al., arXiv:2502.12147 (2025)"
    common = {
        "family": "UMA" if settings.experts else "eSEN",
        "modality": "3d",
        "width": settings.channels,
        "layer": DEFAULT_LAYER,
        "layers": esen_layers(settings),
        "pooling": "mean",
        "symmetry": "invariant",
        "citation": "Wood et al., arXiv:2506.23971 (2025)" if settings.experts else citation,
    }
    return ModelCard(**(common | facts))


def _notes(settings: EsenSettings, system: System) -> str:
    dataset = f", data set {system.dataset}" if system.dataset else ""
    grid = (
        " Its pointwise networks act on a grid of the sphere: features turn with a structure, and "
        "scalars stay, as far as the grid resolves them, as in the original."
        if settings.feed_forward == GRID
        else ""
    )
    if settings.activation == SPHERE:
        grid += (
            " So does its activation, in frames about edges that the original draws at random; "
            "here they are fixed."
        )
    return (
        "Weights of the user; the implementation agrees with fairchem-core on random weights of "
        f"this family. Elements below {settings.elements} are accepted, whether trained or not; "
        f"cutoff {settings.cutoff:g} Å, at most {settings.max_neighbors} neighbors. All structures "
        f"are taken to have charge {system.charge}, spin multiplicity {system.spin} (0: not "
        f"stated){dataset}; state others in the configuration. Layers are the scalars; those "
        f"ending in _equivariant turn with the structure.{grid}"
    )
