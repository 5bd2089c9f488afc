"""ANI: one small network per element on atomic environment vectors; energies and atom states.

For atom i of element Z with environment vector g_i (384 numbers, `aev`)

    hˡ = celu₀.₁(Wˡ_Z hˡ⁻¹ + bˡ_Z),  h⁰ = g_i,  l = 1 … 3,     E_i = w_Z · h³ + c_Z,
    E  = Σ_i (E_i + self energy of Z)    (Hartree).

The widths of h¹ and h² differ between elements; h³ has 96 numbers for all, and is the embedding
("hidden_3"). All four networks run on all atoms: they are small next to the environment vectors.

References:
  Smith, Isayev, Roitberg, "ANI-1", Chem. Sci. 8, 3192 (2017); Smith et al., "Less is more"
  (ANI-1x), J. Chem. Phys. 148, 241733 (2018); Smith et al. (ANI-1ccx), Nat. Commun. 10, 2903
  (2019).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.aev import ANGULAR_CUTOFF, ELEMENTS, WIDTH, environment_vectors
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Batch, Encoder, Example, NodeFeatures
from jaxalign.models.entry import ModelEntry
from jaxalign.models.initializers import torch_linear_params
from jaxalign.models.neighbor_list import atoms_size, collate_atoms, featurize_atoms
from jaxalign.models.weights import WeightsError, check_params
from jaxalign.structures.structure import Structure

HIDDEN_WIDTHS = {"H": (160, 128, 96), "C": (144, 112, 96), "N": (128, 112, 96), "O": (128, 112, 96)}
LAYERS = ("aev", "hidden_3")
SPECIES = {1: 0, 6: 1, 7: 2, 8: 3}  # atomic number → position in ELEMENTS
# Hartree, of H, C, N, O: fitted with the networks, and published beside them ("sae_linfit").
SELF_ENERGIES = {
    "ani-1x": (-0.60095298, -38.08316124, -54.7077577, -75.19446356),
    "ani-1ccx": (
        -0.5991501324919538,
        -38.03750806057356,
        -54.67448347695333,
        -75.16043537275567,
    ),
}
BUCKETS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256)
MAX_NEIGHBORS = 64
_PAIRS_PER_BATCH = 2**16  # angular terms of one batch: 32 numbers each, so 8 MiB


def neighbor_slots(bucket: int) -> int:
    """Neighbors within the angular cutoff that an atom may have in a bucket of this many atoms.

    QM9 has at most 24, folded drug-like molecules and adamantanes up to 36; a more crowded molecule
    moves to a larger bucket.
    """
    most = 24 if bucket <= 32 else 36 if bucket <= 128 else MAX_NEIGHBORS
    return max(1, min(bucket - 1, most))


def batch_size(bucket: int) -> int:
    """Molecules a batch, so that the angular terms of all batches take similar memory."""
    slots = neighbor_slots(bucket)
    return max(1, min(512, 2 * _PAIRS_PER_BATCH // (bucket * slots * (slots - 1))))


class AtomicNetworks(nn.Module):
    """Networks of all elements, each applied to the atoms of its element."""

    @nn.compact
    def __call__(
        self, aev: Float[Array, "batch atoms 384"], species: Int[Array, "batch atoms"]
    ) -> tuple[Float[Array, "batch atoms 96"], Float[Array, "batch atoms"]]:
        """Last hidden states, and atomic energies in Hartree; both 0 for padding."""
        states = jnp.zeros((*species.shape, 96), aev.dtype)
        energies = jnp.zeros(species.shape, aev.dtype)
        for number, element in enumerate(ELEMENTS):
            state, energy = self._network(element, aev)
            is_own = species == number
            states = jnp.where(is_own[..., None], state, states)
            energies = jnp.where(is_own, energy, energies)
        return states, energies

    def _network(
        self, element: str, x: Float[Array, "batch atoms 384"]
    ) -> tuple[Float[Array, "batch atoms 96"], Float[Array, "batch atoms"]]:
        for layer, width in enumerate(HIDDEN_WIDTHS[element], start=1):
            x = nn.celu(_dense(width, f"{element}_{layer}")(x), alpha=0.1)
        return x, _dense(1, f"{element}_4")(x)[..., 0]


def _dense(width: int, name: str) -> nn.Dense:
    # One TPU pass in bfloat16 would not meet the agreement with the original.
    return nn.Dense(width, precision=jax.lax.Precision.HIGHEST, name=name)


def _run(params: Any, batch: Mapping[str, Any]) -> tuple[Array, Array]:
    species = jnp.asarray(batch["species"])
    return AtomicNetworks().apply({"params": params}, environment_vectors(batch), species)


def apply_ani(params: Any, batch: Mapping[str, Any], layer: str | None = None) -> NodeFeatures:
    """Features of all atoms of a padded batch.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives, positions in Å.
      layer: `"aev"` (384) or `"hidden_3"` (96, the default). Static.

    Returns:
      `[batch, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of ANI; pass one of {', '.join(LAYERS)}")
    values = environment_vectors(batch) if layer == "aev" else _run(params, batch)[0]
    return NodeFeatures(values, jnp.asarray(batch["mask"]))


def interaction_energy(params: Any, batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    """Energy of each molecule without the self energies of its atoms, Hartree.

    The networks' part is a few Hartree at most, so float32 resolves it to 1e-7; the sum with the
    self energies (hundreds of Hartree) belongs in float64: see `energy`. Differentiable in
    `batch["positions"]` as long as no atom enters or leaves the neighbor list.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives.

    Returns:
      `[batch]`; 0 for empty rows.
    """
    return jnp.sum(_run(params, batch)[1], axis=1)


def energy(
    params: Any, batch: Batch, *, self_energies: tuple[float, ...]
) -> Float[np.ndarray, " batch"]:
    """Total energy of each molecule, Hartree, summed in float64 on the host.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives.
      self_energies: of H, C, N, O: an entry of `SELF_ENERGIES`.

    Returns:
      `[batch]` float64; 0 for empty rows.
    """
    interaction = np.asarray(jax.jit(interaction_energy)(params, dict(batch)), np.float64)
    of_species = np.array([*self_energies, 0.0])  # the last is that of padding, species −1
    return interaction + of_species[np.asarray(batch["species"])].sum(axis=1)


def param_shapes() -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    inputs = jnp.zeros((1, 1, WIDTH)), jnp.zeros((1, 1), jnp.int32)
    init = AtomicNetworks().init
    return dict(jax.eval_shape(lambda: init(jax.random.key(0), *inputs))["params"])


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters as PyTorch draws them: U(−1/√n, 1/√n) for n inputs.

    Args:
      seed: seed of the random numbers.

    Returns:
      Flax parameters.
    """
    return torch_linear_params(param_shapes(), seed=seed)


def read_networks(archive: Archive, folder: str, *, sha256: str) -> dict[str, Any]:
    """Flax parameters from the raw float32 files of one ensemble member.

    Args:
      archive: the registry archive.
      folder: path inside it of the files `ANN-{element}.nnf-l{layer}.wparam` and `.bparam`.
      sha256: hash of all files joined: elements H, C, N, O, in each the layers 1 to 4, in each
        the weights before the bias.

    Returns:
      Parameters for `apply_ani`.

    Raises:
      WeightsError: if the files are not the expected ones.
      ArchiveError: if the archive cannot be read.
    """
    path, digest, params = fetch(archive), hashlib.sha256(), {}
    for element in ELEMENTS:
        for layer in (1, 2, 3, 4):
            name = f"{folder}/ANN-{element}.nnf-l{layer}"
            weights, bias = (
                read_entry(path, f"{name}.{kind}", max_bytes=2**20) for kind in ("wparam", "bparam")
            )
            digest.update(weights + bias)
            offset = np.frombuffer(bias, "<f4")
            kernel = np.frombuffer(weights, "<f4").reshape(len(offset), -1).T
            params[f"{element}_{layer}"] = {"kernel": kernel, "bias": offset}
    if digest.hexdigest() != sha256:
        raise WeightsError(
            f"the networks in {folder} of {archive.filename} have SHA-256 {digest.hexdigest()}, "
            f"expected {sha256}: they are other networks than those this model was proven with"
        )
    check_params(param_shapes(), params)
    return params


def featurize_molecule(structure: Structure) -> Example:
    """Inputs of one molecule of H, C, N, O; see `featurize_atoms` for what is refused."""
    return featurize_atoms(
        structure, species=SPECIES, cutoff=ANGULAR_CUTOFF, max_neighbors=MAX_NEIGHBORS
    )


def collate_molecules(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads molecules to one shape; see `collate_atoms`."""
    return collate_atoms(examples, bucket, batch_size, slots=neighbor_slots(bucket))


def atom_encoder(card: ModelCard, params: Any) -> Encoder:
    """An ANI member ready for extraction.

    Args:
      card: facts about the model.
      params: Flax parameters.

    Returns:
      An encoder of molecules with positions; its nodes are all atoms, hydrogens included.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_molecule,
        size=functools.partial(atoms_size, slots=neighbor_slots),
        buckets=BUCKETS,
        collate=collate_molecules,
        apply=apply_ani,
        batch_size=batch_size,
    )


_DIGESTS = {
    "ani-1x": (
        "3337afeba6a0f2111486ccf0b4f2b68afd1b5e2e1ca87f1db8b694c3a632e67d",
        "7693a0d5f207ba88785ff6bd3d2a3b50153319988743db47ea6c3cab88025788",
        "b0b9a43d4d99b92fc3752e17c21c1a95e53ef2976ea69071b30f4557a2ed5675",
        "ab87a6a268c78622cea95e8569aed8e94d6b1b416e74a0601c9436ec0f59d373",
        "80a05a3286a4200ada8a0a679a279a098674107c9c2b608f292714e5978e4e59",
        "414c8d68b481b6228ffa6eed8c5d9154e23d600a961050fde011a996f650a165",
        "6016b45908b768c06472c366d377bdfa787b78bbac18bd8adf03f8ce914fecda",
        "b87f38091e2113ae2f0cd0a8b85b2268053b9b4a4514ecafaffd9e7adeede31b",
    ),
    "ani-1ccx": (
        "ae5f627072d47d0b6bf1dd675cb2acb5479d50de509e2497ce780c3a2c1b1128",
        "751aa84afa867e3626c643511454e2dacd835c0b40e2d2e22158b49b89384c86",
        "610384f7342f596d8794d01ad7997594c0f165d906de320ff32e63c647d76245",
        "7f54530b9bd7b750a7a3e5fb06a831fcb61404f46c8506c78766cacfe2bdf294",
        "79ce10d635db576a36d6416db6fa8d53b91f6cd0739ca28bdba85e52f543c63d",
        "9028bc38e23618fd0f88943c9cac55a236bc098db23821534e6fc4852982c630",
        "fa9df1d7f5a9ee0e3655372727ac0173395b1d1bd41f36b3125f9f9453309582",
        "d04706708730f90e230f3787d8260eaa61e72c0346f3b1dd0789278a65bdb614",
    ),
}
_NAMES = {"ani-1x": "ANI-1x", "ani-1ccx": "ANI-1ccx"}
_TRAINING = {
    "ani-1x": "ANI-1x: 5 million conformations of organic molecules of H, C, N, O",
    "ani-1ccx": "ANI-1x, then ANI-1ccx: 0.5 million conformations of organic molecules",
}
_LEVELS = {
    "ani-1x": "wB97X/6-31G(d) energies",
    "ani-1ccx": "wB97X/6-31G(d) energies, then CCSD(T)*/CBS energies",
}
_CITATIONS = {
    "ani-1x": "Smith et al., J. Chem. Phys. 148, 241733 (2018), doi:10.1063/1.5023802; "
    "Smith et al., Sci. Data 7, 134 (2020), doi:10.1038/s41597-020-0473-z",
    "ani-1ccx": "Smith et al., Nat. Commun. 10, 2903 (2019), doi:10.1038/s41467-019-10827-4; "
    "Smith et al., Sci. Data 7, 134 (2020), doi:10.1038/s41597-020-0473-z",
}
_NOTES = (
    "Elements H, C, N, O; molecules without periodicity. Each element has a network of its own, so "
    "states of different elements do not share a basis. One member of an ensemble of eight."
)


def _card(model_id: str, family: str, **facts) -> ModelCard:
    archive = ARCHIVES["torchani"]
    common = {
        "family": "ANI",
        "modality": "3d",
        "pretrained": True,
        "width": 96,
        "layer": LAYERS[-1],
        "layers": LAYERS,
        "pooling": "mean",
        "training_data": _TRAINING[family],
        "label_level": _LEVELS[family],
        "parameters": 326_660,
        "symmetry": "invariant",
        "licence": archive.licence,
        "citation": f"{_CITATIONS[family]}; {archive.citation}",
        "package": archive.requirement,
        "package_sha256": archive.sha256,
        "verified": "weights",
        "notes": _NOTES,
    }
    return ModelCard(id=model_id, **(common | facts))


def _pretrained_entry(family: str, member: int) -> ModelEntry:
    archive = ARCHIVES["torchani"]
    folder = f"torchani/resources/{family}_8x/train{member}/networks"

    def build(entry: ModelEntry) -> Encoder:
        params = read_networks(archive, folder, sha256=_DIGESTS[family][member])
        return atom_encoder(entry.card, params)

    card = _card(f"{family}-{member}", family, name=f"{_NAMES[family]}, member {member}")
    return ModelEntry(card=card, archives=(archive,), build=build)


def _random_entry() -> ModelEntry:
    card = _card(
        "ani-1x-random",
        "ani-1x",
        name="ANI, random weights",
        pretrained=False,
        training_data="none",
        label_level="none",
        licence="",
        package=None,
        package_sha256=None,
        verified="none",  # the code is proven on the real weights; these have no original
        notes="Random weights U(−1/√n, 1/√n) for n inputs, seed 0, on the same environment "
        "vectors. Elements H, C, N, O; molecules without periodicity.",
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: atom_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (
    *(_pretrained_entry(family, member) for family in _DIGESTS for member in range(8)),
    _random_entry(),
)
