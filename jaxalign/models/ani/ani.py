"""ANI: one small network per element on atomic environment vectors; energies and atom states.

For atom i of element Z with environment vector g_i (`aev`)

    hˡ = celu₀.₁(Wˡ_Z hˡ⁻¹ + bˡ_Z),  h⁰ = g_i,  l = 1 … 3,     E_i = w_Z · h³ + c_Z,
    E  = Σ_i (E_i + self energy of Z).

Layers: `"aev"`, `"hidden_1"`, `"hidden_2"` and `"hidden_3"` (the embedding). Where widths differ
between elements, states of the narrower ones end in zeros: that is what units without weights give,
and nothing downstream reads them. In ANI-1x this concerns h¹ (160, 144, 128) and h² (128, 112), in
ANI-2xt all three. Atoms run in blocks of one element or few, through the networks of these alone.

The networks work in Hartree; energies that leave this module are in eV.

References:
  Smith, Isayev, Roitberg, "ANI-1", Chem. Sci. 8, 3192 (2017); Smith et al., "Less is more"
  (ANI-1x), J. Chem. Phys. 148, 241733 (2018); Smith et al. (ANI-1ccx), Nat. Commun. 10, 2903
  (2019); Liu et al. (ANI-2xt), J. Chem. Inf. Model. 62, 5373 (2022).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxalign.models.ani.aev import environment_vectors, map_environments
from jaxalign.models.ani.aev_settings import AEV_1X, AEV_2XT, AevSettings
from jaxalign.models.ani.ani_inputs import MOLECULES, check_structure, featurize_molecule
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, NodeFeatures
from jaxalign.models.initializers import torch_linear_params

LAYERS = ("aev", "hidden_1", "hidden_2", "hidden_3")
EV_PER_HARTREE = 27.211386245988  # CODATA 2018
_CELU_ALPHA = 0.1

# (symbol of the element, environment vectors of some atoms) → values of its network
_ElementFunction = Callable[[str, Float[Array, "atoms width"]], Float[Array, "atoms d"]]


@dataclasses.dataclass(frozen=True)
class AniNetwork:
    """What defines the architecture; members of an ensemble and their compiled programs share it.

    Attributes:
      aev: elements and constants of the environment vectors.
      hidden_widths: widths of h¹, h², h³ for each element of `aev.elements`.
    """

    aev: AevSettings
    hidden_widths: tuple[tuple[int, int, int], ...]

    def width(self, layer: str) -> int:
        """Width of a layer: that of its widest element."""
        if layer == "aev":
            return self.aev.width
        return max(widths[LAYERS.index(layer) - 1] for widths in self.hidden_widths)


ANI_1X = AniNetwork(AEV_1X, ((160, 128, 96), (144, 112, 96), (128, 112, 96), (128, 112, 96)))
"""Of ANI-1x and ANI-1ccx."""

ANI_2XT = AniNetwork(
    AEV_2XT,
    ((256, 192, 160), (224, 192, 160), *((192, 160, 128),) * 2, *((160, 128, 96),) * 3),
)
"""Of ANI-2xt."""


def _by_element(
    network: AniNetwork,
    function: _ElementFunction,
    vectors: Float[Array, "atoms width"],
    species: Int[Array, " atoms"],
    *,
    width: int,
) -> Float[Array, "atoms d"]:
    """Each atom's row of its own element's values, zeros after the element's own width.

    Rows of padding are 0. Elements that are not there cost nothing.
    """
    values = jnp.zeros((len(species), width), vectors.dtype)
    for number, element in enumerate(network.aev.elements):
        is_own = (species == number)[:, None]

        def merge(others, element=element, is_own=is_own):
            own = function(element, vectors)
            own = jnp.pad(own, ((0, 0), (0, width - own.shape[1])))
            return jnp.where(is_own, own, others)

        values = jax.lax.cond(jnp.any(is_own), merge, lambda others: others, values)
    return values


def _linear(linear: Mapping[str, Any], x: Float[Array, "atoms n"]) -> Float[Array, "atoms m"]:
    # One TPU pass in bfloat16 would not meet the agreement with the original.
    product = jnp.matmul(x, linear["kernel"], precision=jax.lax.Precision.HIGHEST)
    return product + linear["bias"][None, :]


def _hidden(
    params: Any, depth: int, element: str, x: Float[Array, "atoms width"]
) -> Float[Array, "atoms d"]:
    """State of one layer, as if all atoms were of this element."""
    for number in range(1, depth + 1):
        x = jax.nn.celu(_linear(params[f"{element}_{number}"], x), alpha=_CELU_ALPHA)
    return x


def _energies(params: Any, element: str, x: Float[Array, "atoms width"]) -> Float[Array, "atoms 1"]:
    """Energies in Hartree, as if all atoms were of this element."""
    return _linear(params[f"{element}_4"], _hidden(params, 3, element, x))


def apply_ani(
    network: AniNetwork, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a padded batch.

    Args:
      network: the architecture.
      params: Flax parameters.
      batch: what `collate_atoms` gives, positions in Å.
      layer: one of `LAYERS`; None means `"hidden_3"`. Static.

    Returns:
      `[batch, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of ANI; pass one of {', '.join(LAYERS)}")
    if layer == "aev":
        values = environment_vectors(network.aev, batch)
    else:
        hidden = functools.partial(_hidden, params, LAYERS.index(layer))
        of_block = functools.partial(_by_element, network, hidden, width=network.width(layer))
        values = map_environments(network.aev, of_block, batch)
    return NodeFeatures(values, jnp.asarray(batch["mask"]))


def interaction_energy(
    network: AniNetwork, params: Any, batch: Mapping[str, Any]
) -> Float[Array, " batch"]:
    """Energy of each molecule without the self energies of its atoms, eV.

    The networks' part is a few Hartree at most, so float32 resolves it; the self energies (hundreds
    of Hartree) are added in float64 on the host. Differentiable in `batch["positions"]` as long as
    no atom enters or leaves the neighbor list.

    Args:
      network: the architecture.
      params: Flax parameters.
      batch: what `collate_atoms` gives.

    Returns:
      `[batch]`; 0 for empty rows.
    """
    energies = functools.partial(_energies, params)
    of_block = functools.partial(_by_element, network, energies, width=1)
    atoms = map_environments(network.aev, of_block, batch)
    return EV_PER_HARTREE * jnp.sum(atoms[..., 0], axis=1)


def param_shapes(network: AniNetwork) -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    shapes = {}
    hidden = dict(zip(network.aev.elements, network.hidden_widths, strict=True))
    for element in sorted(hidden):
        widths = (network.aev.width, *hidden[element], 1)
        for layer, (n, m) in enumerate(itertools.pairwise(widths), start=1):
            kernel, bias = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((n, m), (m,)))
            shapes[f"{element}_{layer}"] = {"kernel": kernel, "bias": bias}
    return shapes


def init_params(seed: int, *, network: AniNetwork = ANI_1X) -> dict[str, Any]:
    """Random parameters as PyTorch draws them: U(−1/√n, 1/√n) for n inputs.

    Args:
      seed: seed of the random numbers.
      network: the architecture.

    Returns:
      Flax parameters.
    """
    return torch_linear_params(param_shapes(network), seed=seed)


def atom_encoder(
    card: ModelCard,
    params: Any,
    *,
    network: AniNetwork = ANI_1X,
    self_energies: Mapping[int, float] | None = None,
) -> Encoder:
    """An ANI member ready for extraction.

    Args:
      card: facts about the model.
      params: Flax parameters.
      network: the architecture.
      self_energies: atomic number → Hartree; None for a network that was not trained on energies.

    Returns:
      An encoder of molecules with positions; its nodes are all atoms, hydrogens included.
    """
    energy = None
    if self_energies is not None:
        energy = EnergyModel(
            interaction=bind(interaction_energy, network),
            reference={z: EV_PER_HARTREE * value for z, value in self_energies.items()},
        )
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=functools.partial(featurize_molecule, settings=network.aev),
        batching=MOLECULES,
        apply=bind(apply_ani, network),
        check=functools.partial(check_structure, settings=network.aev),
        energy=energy,
    )
