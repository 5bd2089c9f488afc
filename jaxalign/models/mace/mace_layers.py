"""Parts of MACE that act on edges: radial functions, messages, pair repulsion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxalign.models.atomistic.tensor_products import Path, coupling_tensor
from jaxalign.models.mace.mace_settings import MaceSettings

Features = Mapping[int, Float[Array, "_ _ _"]]  # degree → [rows, 2 l + 1, channels]

# The original scales silu so that silu(x)² has the mean 1 for normal x; e3nn estimated that number
# from random draws, and trained networks depend on it to all its digits.
SILU_SCALE = 1.6791767923989418
_BOHR = 0.529  # Å; as the original rounds it
_COULOMB = 14.3996  # eV Å
_SCREENING = (3.2, 0.9423, 0.4028, 0.2016)


def matmul(x: Float[Array, "*batch n"], kernel: Float[Array, "n m"]) -> Float[Array, "*batch m"]:
    """A product in full precision: one TPU pass in bfloat16 would not agree with the original."""
    return jnp.matmul(x, kernel, precision=jax.lax.Precision.HIGHEST)


def scaled_silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Silu with unit second moment."""
    return jax.nn.silu(x) * SILU_SCALE


def smooth_cutoff(ratio: Float[Array, "*shape"], smoothness: int) -> Float[Array, "*shape"]:
    """1 at 0, 0 with all derivatives up to the second at 1, and 0 beyond.

    With p = `smoothness`: 1 − (p+1)(p+2)/2 uᵖ + p(p+2) uᵖ⁺¹ − p(p+1)/2 uᵖ⁺². Written as (1 − u)³
    Σ_{k<p} (k+1)(k+2)/2 uᵏ, which does not cancel in float32 near u = 1.
    """
    u = jnp.minimum(ratio, 1)
    series = jnp.zeros_like(u)
    for k in reversed(range(smoothness)):
        series = series * u + (k + 1) * (k + 2) / 2
    return (1 - u) ** 3 * series


def radial_features(
    params: Mapping[str, Any],
    settings: MaceSettings,
    lengths: Float[Array, " edges"],
    ends: tuple[Int[Array, " edges"], Int[Array, " edges"]],
) -> tuple[Float[Array, "edges basis"], Float[Array, "edges 1"]]:
    """Bessel functions √(2/r_c) sin(k r) / r of the (transformed) distance, and the cutoff.

    Args:
      params: `"radial"` of the parameters.
      settings: of the model.
      lengths: distances, Å, above 0.
      ends: species of the two atoms.

    Returns:
      The functions, times the cutoff unless that comes last, and the cutoff.
    """
    cutoff = smooth_cutoff(lengths / settings.cutoff, settings.smoothness)[:, None]
    if settings.transform is not None:
        radii = params["radii"][ends[0]] + params["radii"][ends[1]]
        lengths = _TRANSFORMS[settings.transform](params, lengths, radii)
    x = lengths[:, None]
    basis = params["prefactor"] * jnp.sin(params["frequencies"][None, :] * x) / x
    return (basis if settings.cutoff_last else basis * cutoff), cutoff


def _agnesi(
    params: Mapping[str, Any], lengths: Float[Array, " edges"], radii: Float[Array, " edges"]
) -> Float[Array, " edges"]:
    """1 / (1 + a u^q / (1 + u^(q−p))) with u the distance over half the sum of the radii."""
    u = lengths / (radii / 2)
    a, p, q = params["a"], params["p"], params["q"]
    return 1 / (1 + a * u**q / (1 + u ** (q - p)))


def _soft(
    params: Mapping[str, Any], lengths: Float[Array, " edges"], radii: Float[Array, " edges"]
) -> Float[Array, " edges"]:
    """The distance, leveled off below the sum of the radii."""
    low, high = 0.75 * radii, 4 / 3 * radii
    steps = jnp.tanh(params["alpha"] / (high - low) * (lengths - (low + high) / 2))
    return low + (lengths - low) * (1 + steps) / 2


_TRANSFORMS = {"Agnesi": _agnesi, "Soft": _soft}


def radial_network(
    kernels: Sequence[Float[Array, "_ _"]], features: Float[Array, "edges basis"]
) -> Float[Array, "edges width"]:
    """Layers without biases; all but the last are followed by the scaled silu."""
    x = features
    for kernel in kernels[:-1]:
        x = scaled_silu(matmul(x, kernel))
    return matmul(x, kernels[-1])


def edge_messages(
    paths: Sequence[Path],
    features: Features,
    harmonics: Sequence[Float[Array, "edges _"]],
    weights: Float[Array, "edges width"],
) -> Features:
    """Features of neighbors coupled with harmonics, each path with weights of its own.

    m_{l₃} = √(2 l₃ + 1) Σ w(l₁, l₂, l₃) h_{l₁} Y_{l₂} · R_path, channel by channel.

    Args:
      paths: (l₁, l₂, l₃), ordered by l₃.
      features: l₁ → features of the neighbor at each edge.
      harmonics: Y.
      weights: R, path by path.

    Returns:
      l₃ → `[edges, 2 l₃ + 1, paths · channels]`.
    """
    channels = features[0].shape[-1]
    messages: dict[int, list[Float[Array, "edges m channels"]]] = {}
    for number, path in enumerate(paths):
        node, edge, message = path
        radial = weights[:, None, number * channels : (number + 1) * channels]
        if node == 0:
            value = features[0] * radial * harmonics[message][:, :, None]
        else:
            table = jnp.asarray(math.sqrt(2 * message + 1) * coupling_tensor(path))
            mixing = _couple(table.astype(radial.dtype), harmonics[edge])
            # One term a component: fused by the compiler, unlike a product of tiny matrices.
            terms = [
                features[node][:, i, None, :] * mixing[:, i, :, None] for i in range(2 * node + 1)
            ]
            value = sum(terms[1:], terms[0]) * radial
        messages.setdefault(message, []).append(value)
    return {degree: jnp.concatenate(values, axis=-1) for degree, values in messages.items()}


def _couple(
    table: Float[Array, "a b c"], harmonics: Float[Array, "edges b"]
) -> Float[Array, "edges a c"]:
    return jnp.einsum("abc,eb->eac", table, harmonics, precision=jax.lax.Precision.HIGHEST)


def pair_repulsion(
    params: Mapping[str, Any],
    settings: MaceSettings,
    lengths: Float[Array, " edges"],
    ends: tuple[Int[Array, " edges"], Int[Array, " edges"]],
) -> Float[Array, " edges"]:
    """Half of the Ziegler-Biersack-Littmark energy of each directed edge, eV.

    It ends smoothly at the sum of the covalent radii.
    """
    numbers = jnp.asarray(settings.atomic_numbers, lengths.dtype)
    first, second = numbers[ends[0]], numbers[ends[1]]
    powers = first ** params["exponent"] + second ** params["exponent"]
    x = lengths * powers / (params["prefactor"] * _BOHR)
    screening = sum(
        c * jnp.exp(-rate * x) for c, rate in zip(params["coefficients"], _SCREENING, strict=True)
    )
    energy = _COULOMB * first * second / lengths * screening
    radii = params["radii"][ends[0]] + params["radii"][ends[1]]
    return energy * smooth_cutoff(lengths / radii, settings.smoothness) / 2
