"""Equivariant convolution over pairs of atoms, with the sum over periodic images done first.

The message of an edge is linear in the radial network's last hidden layer h(r) (of weights W), in
the harmonics Y and in the neighbor's features, so the images S of a pair (i, j) can be summed
before the neighbor's features come in:

    F_ij[m, k] = Σ_S Y_m(r_ijS) h_k(r_ijS)             `edge_filters`, [pairs, harmonics, hidden]
    K_ij[m, p] = Σ_k F_ij[m, k] W[k, p]                p = (path, channel)
    message from j to i, path (l₁, l₂, l₃):  Σ_ab C_abc K_ij[b, p] x_j[a]

The median crystal of the Materials Project's with up to 25 atoms has 11 atoms, 138 edges within 5 Å
(each with a reverse), and 54 pairs. The reverse of a pair needs no filters of its own: Y changes
its sign for odd l₂, and h is the same.

Pairs run in blocks, so that neither K nor the messages exist for all pairs at once; those of one
block stay in a processor's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxalign.models.atomistic.tensor_products import Path, coupling_paths, coupling_terms

# One array [2l + 1, rows, channels] a degree.
Features = tuple[Float[Array, "_ _ _"], ...]

# Pairs that are worked on together: what they need (0.4 MB) stays in the cache of one core.
BLOCK = 16
_HIGHEST = jax.lax.Precision.HIGHEST  # one bfloat16 pass would not agree with the original


def linear(params: Mapping[str, Any], features: Features) -> Features:
    """A linear map of the channels within each degree; scalars may have a bias.

    Args:
      params: `weights`, one `[in, out]` a degree, and perhaps `bias` `[out]` of degree 0.
      features: at least those degrees that have weights.

    Returns:
      Features of as many degrees as both have.
    """
    both = zip(features, params["weights"], strict=False)
    mapped = [jnp.matmul(x, w, precision=_HIGHEST) for x, w in both]
    if "bias" in params:
        mapped[0] = mapped[0] + params["bias"][None, None, :]
    return tuple(mapped)


def convolve_pairs(
    weights: Sequence[Float[Array, "hidden _"]],
    features: Features,
    filters: Float[Array, "pairs m hidden"],
    batch: Mapping[str, Any],
    *,
    degree: int,
) -> Features:
    """Sums the messages of all neighbors.

    Args:
      weights: last layer of the radial network, one matrix a degree l₂ of the harmonics: columns
        run over the paths with this l₂ (in the order of `coupling_paths`) and their channels.
      features: of the neighbors.
      filters: of all pairs.
      batch: `first` and `second` atom of each pair.
      degree: largest degree of the messages. Static.

    Returns:
      `[2l₃ + 1, atoms, channels]` for each degree l₃, channels those of its paths in the order of
      `coupling_paths`.
    """
    channels = [x.shape[2] for x in features]
    paths = coupling_paths(len(features) - 1, len(weights) - 1, degree)
    widths = [sum(channels[p.left] for p in paths if p.product == n) for n in range(degree + 1)]
    # One array a component: their messages are written without being joined.
    sums = [
        [jnp.zeros((features[0].shape[1], width), filters.dtype) for _ in range(2 * n + 1)]
        for n, width in enumerate(widths)
    ]

    def add_block(sums, block):
        block_filters, ends = block
        # A barrier keeps the products out of the loops that use them, where they would be slow.
        kernels = jax.lax.optimization_barrier(_kernels(weights, block_filters))
        near = [x.at[:, ends[::-1]].get(mode="promise_in_bounds") for x in features]
        messages = _messages(paths, _split(kernels, paths, channels), near)
        centers = ends.reshape(-1)
        added = [
            [own.at[centers].add(m, mode="promise_in_bounds") for own, m in zip(*both, strict=True)]
            for both in zip(sums, messages, strict=True)
        ]
        return added, None

    sums, _ = jax.lax.scan(add_block, sums, _blocks(filters, batch))
    return tuple(map(jnp.stack, sums))


def _blocks(
    filters: Float[Array, "pairs m hidden"], batch: Mapping[str, Any]
) -> tuple[Float[Array, "blocks m block hidden"], Int[Array, "blocks 2 block"]]:
    """Filters and both atoms of the pairs of each block."""
    spare = -len(filters) % BLOCK
    padded = jnp.pad(filters, ((0, spare), (0, 0), (0, 0)))
    padded = padded.reshape(-1, BLOCK, *filters.shape[1:])
    # Pairs that are not there join the last atom, which is padding, to itself.
    ends = jnp.stack([batch["first"], batch["second"]])
    ends = jnp.pad(ends, ((0, 0), (0, spare)), mode="edge").reshape(2, -1, BLOCK)
    return jnp.swapaxes(padded, 1, 2), jnp.swapaxes(ends, 0, 1)


def _kernels(
    weights: Sequence[Float[Array, "hidden _"]], filters: Float[Array, "m pairs hidden"]
) -> list[Float[Array, "_ pairs _"]]:
    """K of a block, one array a degree of the harmonics."""
    starts = [degree**2 for degree in range(len(weights) + 1)]
    return [
        jnp.matmul(filters[start:end], matrix, precision=_HIGHEST)
        for start, end, matrix in zip(starts, starts[1:], weights, strict=False)
    ]


def _split(
    kernels: Sequence[Float[Array, "_ pairs _"]], paths: Sequence[Path], channels: Sequence[int]
) -> list[Float[Array, "_ pairs _"]]:
    """The kernel of each path."""
    used, parts = [0] * len(kernels), []
    for path in paths:
        start, width = used[path.right], channels[path.left]
        parts.append(kernels[path.right][:, :, start : start + width])
        used[path.right] += width
    return parts


def _messages(
    paths: Sequence[Path],
    kernels: Sequence[Float[Array, "_ pairs _"]],
    near: Sequence[Float[Array, "_ 2 pairs _"]],
) -> list[list[Float[Array, "rows _"]]]:
    """For each degree and component: messages to the first atoms, then to the second ones."""
    # Against a pair's direction, harmonics of odd degree change their sign.
    flip = jnp.array([1, -1], near[0].dtype)[None, :, None, None]
    turned = [x * flip for x in near]
    parts: dict[int, list[list[Array]]] = {}
    for path, kernel in zip(paths, kernels, strict=True):
        x = (turned if path.right % 2 else near)[path.left]
        message = [
            sum(c * x[a] * kernel[b][None] for a, b, c in terms) for terms in coupling_terms(path)
        ]
        parts.setdefault(path.product, []).append(message)
    return [
        [
            jnp.concatenate(component, axis=-1).reshape(-1, sum(x.shape[-1] for x in component))
            for component in zip(*parts[degree], strict=True)
        ]
        for degree in sorted(parts)
    ]
