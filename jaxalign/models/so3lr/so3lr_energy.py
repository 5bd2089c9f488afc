"""Energies of SO3LR: what the network says of each atom, and three pairwise force fields.

    E = Σ_i (s_Z · MLP(x_i) + e) + Σ_pairs (repulsion + electrostatics + dispersion)

in eV, with x of the last block and one reference energy e for all elements.

Repulsion (Ziegler-Biersack-Littmark, all constants learned), within the network's cutoff:
    k Z_i Z_j / r · Σ_n c_n exp(−a_n d r (Z_iᵖ + Z_jᵖ)) · switch(r; 0, 1.5 Å) · φ(r).
Electrostatics of charges q_i = MLP(x_i) + q_Z, of which each takes an equal part of the excess, so
that they sum to 0; smeared and shifted, so that energy and force end at 12 Å: with p = erf(r/4Å)/r
    k q_i q_j (p(r) − p(12) − (1 − switch(r; 5.4, 12)) (r − 12) p'(12)).
Dispersion of quantum Drude oscillators with C₆, C₈ and C₁₀: polarizabilities and C₆ coefficients of
free atoms are scaled by Hirshfeld ratios |h_Z + q_Z · MLP(x_i) / 8| and their squares, damped at
short distances, and switched off from 10 to 12 Å.

The long range (12 Å for both, 2 Å of damping) is what the original's calculator sets.

References:
  Kabylda et al., SO3LR, J. Am. Chem. Soc. (2025), doi:10.1021/jacs.5c09558; dispersion:
  Khabibrakhmanov, Fedorov, Tkatchenko, J. Chem. Theory Comput. 19, 7895 (2023),
  doi:10.1021/acs.jctc.3c00797.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.encoder import EnergyModel, Example
from jaxalign.models.graph_packing import Field, GraphPacking, sum_atoms
from jaxalign.models.so3lr.so3krates import atom_states
from jaxalign.models.so3lr.so3krates_attention import dense, gather
from jaxalign.models.so3lr.so3krates_graph import LAYOUT, SPECIES, cutoff_weights, featurize_pairs
from jaxalign.models.so3lr.so3lr_weights import SCREENING, SETTINGS
from jaxalign.structures.structure import Structure

FAR_CUTOFF = 12.0  # Å
FAR_LAYOUT: Mapping[str, Field] = {
    **LAYOUT,
    "far_centers": Field("far_pairs", points_to="atoms", dtype=np.int32),
    "far_neighbors": Field("far_pairs", points_to="atoms", dtype=np.int32),
    "far_distances": Field("far_pairs", fill=2 * FAR_CUTOFF),
}
_BUDGET = {"atoms": 320, "pairs": 2048, "far_pairs": 8192}
_COULOMB = 14.399645351950548  # e²/4πε₀, eV Å
_BOHR, _HARTREE, _FINE_STRUCTURE = 0.5291772105638411, 27.211386245988, 0.0072973525693
_SMEARING = SETTINGS["electrostatic_energy_scale"]  # Å
_DAMPING = SETTINGS["dispersion_energy_scale"]
_NUMBERS = np.array([*SPECIES], np.float32)
# Of the free atoms H, C, N, O, F, P, S, Cl, in atomic units.
_POLARIZABILITIES = np.array([4.5, 12.0, 7.4, 5.4, 3.8, 25.0, 19.6, 15.0], np.float32)
_C6 = np.array([6.5, 46.6, 24.2, 15.6, 9.52, 185.0, 134.0, 94.6], np.float32)
# Width of an oscillator, a cubic in the van der Waals radius; ascending powers.
_WIDTH = (-0.00433008, 0.24428889, 0.04125273, -0.00078893)


def featurize_far(structure: Structure) -> Example:
    """Inputs of one structure for energies.

    Args:
      structure: as `featurize_pairs` takes it.

    Returns:
      Besides those of `featurize_pairs`, `far_centers`, `far_neighbors` and `far_distances` (Å) of
      all pairs within 12 Å.

    Raises:
      UnsupportedStructureError: as `featurize_pairs`.
    """
    near = featurize_pairs(structure)
    pairs = neighbor_pairs(structure, cutoff=FAR_CUTOFF, half=True)
    far = {"centers": pairs.centers, "neighbors": pairs.neighbors, "distances": pairs.lengths()}
    return {**near, **{f"far_{name}": array for name, array in far.items()}}


def energy_terms(params: Any, batch: Mapping[str, Any]) -> dict[str, Float[Array, " graphs"]]:
    """Contributions to the energy of each structure, without the reference energies.

    Args:
      params: of the network and the heads.
      batch: flat arrays, as `FAR_LAYOUT` names them.

    Returns:
      `atoms`, `repulsion`, `electrostatics` and `dispersion`, eV; 0 for empty slots.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    x, species = atom_states(params, batch)[-1].invariant, batch["species"]
    own = _head(params["energy"], x)[:, 0] * params["energy"]["scale"][species]
    charges, ratios = _charges(params["charge"], x, batch), _ratios(params["ratio"], x, species)
    return {
        "atoms": sum_atoms(own, batch),
        "repulsion": _sum_pairs(_repulsion(params["repulsion"], batch), batch, "centers"),
        "electrostatics": _sum_pairs(_electrostatics(charges, batch), batch, "far_centers"),
        "dispersion": _sum_pairs(_dispersion(ratios, batch), batch, "far_centers"),
    }


def interaction_energy(params: Any, batch: Mapping[str, Any]) -> Float[Array, " graphs"]:
    """Energy of each structure without the reference energies, eV; 0 for empty slots."""
    return sum(energy_terms(params, batch).values())


def energy_model(reference: Mapping[int, float]) -> EnergyModel:
    """Complete energies, from inputs of their own: embeddings do not pay for the far pairs."""
    return EnergyModel(
        interaction=interaction_energy,
        reference=reference,
        featurize=featurize_far,
        batching=GraphPacking(FAR_LAYOUT, _BUDGET),
    )


def _head(params: Any, x: Float[Array, "atoms d"]) -> Float[Array, "atoms out"]:
    return dense(params["out"], jax.nn.silu(dense(params["hidden"], x)))


def _sum_pairs(
    energies: Float[Array, " pairs"], batch: Mapping[str, Any], centers: str
) -> Float[Array, " graphs"]:
    return jax.ops.segment_sum(
        energies, batch["graph"][batch[centers]], len(batch["slots"]), indices_are_sorted=True
    )


def _charges(
    params: Any, x: Float[Array, "atoms d"], batch: Mapping[str, Any]
) -> Float[Array, " atoms"]:
    """Partial charges, in units of e, that sum to 0 over each structure."""
    raw = _head(params, x)[:, 0] + params["shift"][batch["species"]]
    count = jnp.sum(batch["slots"] >= 0, axis=1).astype(raw.dtype)
    excess = sum_atoms(raw, batch) / jnp.maximum(count, 1)
    # The padding belongs to no structure, and has no excess.
    return raw - jnp.concatenate([excess, jnp.zeros_like(excess[:1])])[batch["graph"]]


def _ratios(params: Any, x: Float[Array, "atoms d"], species: Any) -> Float[Array, " atoms"]:
    """Volume of each atom in the structure relative to the free atom."""
    query = gather(params["query"], species)
    match = jnp.sum(query * _head(params, x), axis=1) / math.sqrt(query.shape[1])
    return jnp.abs(params["shift"][species] + match)


def _repulsion(params: Any, batch: Mapping[str, Any]) -> Float[Array, " pairs"]:
    vectors = batch["vectors"]
    r = jnp.sqrt(jnp.sum(vectors * vectors, axis=1))
    learned = {name: jax.nn.softplus(value) for name, value in params.items()}
    z = jnp.asarray(_NUMBERS, r.dtype)[batch["species"]]
    z_i, z_j = z[batch["centers"]], z[batch["neighbors"]]
    reduced = r * (z_i ** learned["p"] + z_j ** learned["p"]) * learned["d"]
    rates, shares = ([learned[name] for name in names] for names in SCREENING)
    screened = sum(c * jnp.exp(-a * reduced) for a, c in zip(rates, shares, strict=True))
    screened = screened / sum(shares)
    return _COULOMB * z_i * z_j / r * screened * _switch(r, 0.0, 1.5) * cutoff_weights(r)


def _electrostatics(
    charges: Float[Array, " atoms"], batch: Mapping[str, Any]
) -> Float[Array, " pairs"]:
    r, end = batch["far_distances"], FAR_CUTOFF
    at_end = math.erf(end / _SMEARING) / end
    bell = 2 / (math.sqrt(math.pi) * _SMEARING) * math.exp(-((end / _SMEARING) ** 2))
    slope = (bell - at_end) / end
    outside = 1 - _switch(r, 0.45 * end, end)
    potential = jax.lax.erf(r / _SMEARING) / r - at_end - outside * slope * (r - end)
    product = charges[batch["far_centers"]] * charges[batch["far_neighbors"]]
    return jnp.where(r < end, _COULOMB * product * potential, 0)


def _dispersion(ratios: Float[Array, " atoms"], batch: Mapping[str, Any]) -> Float[Array, " pairs"]:
    i, j, species = batch["far_centers"], batch["far_neighbors"], batch["species"]
    polarizabilities = jnp.asarray(_POLARIZABILITIES, ratios.dtype)[species] * ratios
    of_atoms = jnp.asarray(_C6, ratios.dtype)[species] * ratios**2
    a_i, a_j, c_i, c_j = polarizabilities[i], polarizabilities[j], of_atoms[i], of_atoms[j]
    mean = (a_i + a_j) / 2
    c6 = 2 * c_i * c_j * a_i * a_j / (a_i**2 * c_j + a_j**2 * c_i)
    radius = mean ** (1 / 7) * _FINE_STRUCTURE ** (-4 / 21)
    width = sum(c * radius**n for n, c in enumerate(_WIDTH))
    spread = 2 * width**2  # 1 / γ
    damping, r = _DAMPING * 5.08 * mean ** (1 / 7), batch["far_distances"] / _BOHR
    series = (
        1 / (r**6 + damping**6)
        + 5 * spread / (r**8 + damping**8)
        + 245 / 8 * spread**2 / (r**10 + damping**10)
    )
    switch = _switch(batch["far_distances"], FAR_CUTOFF - 2.0, FAR_CUTOFF)
    return -_HARTREE * c6 * series * switch


def _switch(r: Float[Array, " pairs"], on: float, off: float) -> Float[Array, " pairs"]:
    """1 up to `on`, 0 from `off`, all derivatives continuous."""

    def rise(t: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
        return jnp.where(t > 0, jnp.exp(-1 / jnp.maximum(t, 1e-12)), 0)

    t = (r - on) / (off - on)
    return rise(1 - t) / (rise(1 - t) + rise(t) + 1e-12)
