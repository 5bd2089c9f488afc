"""Layers of the ProteinMPNN family, over residues and over blocks of edges; see `network`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.proteinmpnn.geometry import distance_features, orientation_features
from jaxalign.models.proteinmpnn.settings import WIDTH

OFFSETS = 66  # from −32 to 32, and one for residues of another chain, which a structure has not
POSITION_WIDTH = 16
_FARTHEST = 32
_MESSAGE_SCALE = 30.0
_EPSILON = 1e-5

# One TPU pass in bfloat16 would not meet the agreement with the original: ask for full precision.
Dense = functools.partial(nn.Dense, precision=jax.lax.Precision.HIGHEST)
_gelu = functools.partial(nn.gelu, approximate=False)
Rows = Mapping[str, Any]  # arrays of residues
Nodes = Float[Array, "atoms d"]
Edges = Float[Array, "*blocks residues neighbors d"]


class LayerNorm(nn.Module):
    """(x − mean) / √(variance + ε) · scale + bias over features, in the dtype of x."""

    @nn.compact
    def __call__(self, x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        """Normalized features."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        centered = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centered**2, axis=-1, keepdims=True)
        lift = (*(None for _ in x.shape[1:]), slice(None))
        return centered * jax.lax.rsqrt(variance + _EPSILON) * scale[lift] + bias[lift]


class EdgeEmbedding(nn.Module):
    """First edges of a block of residues."""

    @nn.compact
    def __call__(self, everyone: Rows, rows: Rows) -> Edges:
        """Edges from geometry and chain offsets.

        Args:
          everyone: `points`, `numbers` and perhaps `frames` of all residues.
          rows: the same of the residues of the block, and their `neighbors`.
        """
        others = jax.tree.map(lambda array: _take(array, rows["neighbors"]), everyone)
        one_hot = jnp.eye(OFFSETS, dtype=rows["points"].dtype)
        positions = Dense(POSITION_WIDTH, name="positions")(one_hot)
        positions = Dense(WIDTH, use_bias=False, name="from_positions")(positions)
        offset = rows["numbers"][:, None] - others["numbers"]
        offset = jnp.clip(offset + _FARTHEST, 0, 2 * _FARTHEST)
        gaussians = distance_features(rows["points"], others["points"])
        edges = Dense(WIDTH, use_bias=False, name="from_distances")(gaussians)
        edges = edges + _take(positions, offset)
        if "frames" in everyone:
            middle = rows["points"][:, 1], rows["frames"]
            turned = orientation_features(middle, (others["points"][:, :, 1], others["frames"]))
            edges = edges + Dense(WIDTH, use_bias=False, name="from_orientations")(turned)
        return Dense(WIDTH, name="project")(LayerNorm(name="norm")(edges))


class PairHidden(nn.Module):
    """gelu(W₂ gelu(W₁ [h_i, e_ij, h_j])), of which W₁'s parts for h_i and h_j were applied."""

    @nn.compact
    def __call__(self, sent: Nodes, rows: Rows) -> Edges:
        """Hidden features of all edges of a block."""
        inputs = Dense(WIDTH, use_bias=False, name="edge")(rows["edges"])
        inputs = inputs + rows["received"][:, None] + _take(sent, rows["neighbors"])
        return _gelu(Dense(WIDTH, name="hidden")(_gelu(inputs)))


class SummedMessages(nn.Module):
    """Hidden features of the edges of a block, summed over neighbors."""

    @nn.compact
    def __call__(self, sent: Nodes, rows: Rows) -> Float[Array, "residues d"]:
        """One sum a residue."""
        hidden = PairHidden(name="pairs")(sent, rows)
        return jnp.sum(jnp.where(is_edge(rows)[..., None], hidden, 0), axis=1)


class UpdatedEdges(nn.Module):
    """Edges of a block, after a layer."""

    @nn.compact
    def __call__(self, sent: Nodes, rows: Rows) -> Edges:
        """The edges that the next layer sees."""
        hidden = PairHidden(name="pairs")(sent, rows)
        return LayerNorm(name="norm")(rows["edges"] + Dense(WIDTH, name="message")(hidden))


class FeedForward(nn.Module):
    """LN(h + W_out gelu(W_in h))."""

    @nn.compact
    def __call__(self, nodes: Nodes) -> Nodes:
        """Nodes after the block."""
        inner = _gelu(Dense(4 * WIDTH, name="expand")(nodes))
        return LayerNorm(name="norm")(nodes + Dense(WIDTH, name="contract")(inner))


class NodeUpdate(nn.Module):
    """Nodes after a layer: messages of their neighbors, then a feed-forward block."""

    @nn.compact
    def __call__(self, nodes: Nodes, edges: Edges, graph: Rows) -> Nodes:
        """New nodes; `graph` has `neighbors` and `degree` in blocks."""
        sent, rows = _node_terms(nodes, edges, graph)
        summed = over_blocks(SummedMessages(name="messages"), sent, rows)
        # W₃ x + b over all messages is W₃ Σ x + (number of messages) b.
        messages = Dense(WIDTH, use_bias=False, name="message")(summed.reshape(nodes.shape))
        bias = self.param("message_bias", nn.initializers.zeros, (WIDTH,), jnp.float32)
        degree = graph["degree"].reshape(-1, 1).astype(nodes.dtype)
        nodes = nodes + (messages + degree * bias[None]) / _MESSAGE_SCALE
        return FeedForward(name="feed_forward")(LayerNorm(name="norm")(nodes))


class EdgeUpdate(nn.Module):
    """Edges after a layer, from its nodes."""

    @nn.compact
    def __call__(self, nodes: Nodes, edges: Edges, graph: Rows) -> Edges:
        """New edges; `graph` has `neighbors` in blocks."""
        sent, rows = _node_terms(nodes, edges, graph)
        return over_blocks(UpdatedEdges(name="update"), sent, rows)


class Step(nn.Module):
    """From layer l to layer l + 1: the edges of the one, then the nodes of the other."""

    @nn.compact
    def __call__(self, state: tuple[Nodes, Edges], graph: Rows) -> tuple[tuple[Nodes, Edges], None]:
        """New nodes and edges, as a scan wants them."""
        nodes, edges = state
        edges = EdgeUpdate(name="edges")(nodes, edges, graph)
        return (NodeUpdate(name="nodes")(nodes, edges, graph), edges), None


class EmptyContext(nn.Module):
    """The last layers of LigandMPNN where there is no ligand atom."""

    @nn.compact
    def __call__(self, nodes: Nodes) -> Nodes:
        """Nodes after the context."""
        context = Dense(WIDTH, name="enter")(nodes)
        for number in (1, 2):
            context = LayerNorm(name=f"norm_{number}")(context)
            context = FeedForward(name=f"feed_forward_{number}")(context)
        context = Dense(WIDTH, use_bias=False, name="leave")(context)
        return nodes + LayerNorm(name="norm")(context)


def _node_terms(nodes: Nodes, edges: Edges, graph: Rows) -> tuple[Nodes, dict[str, Any]]:
    """What each node sends by W₁, and the rows of the blocks with what each receives by it."""
    received = Dense(WIDTH, name="receiver")(nodes)
    sent = Dense(WIDTH, use_bias=False, name="sender")(nodes)
    received = received.reshape(*edges.shape[:2], WIDTH)
    return sent, {**graph, "edges": edges, "received": received}


def over_blocks(module: nn.Module, everyone: Any, rows: Rows) -> Float[Array, "blocks ..."]:
    """Applies a module to one block of residues after another, with the same parameters."""
    scan = nn.scan(
        lambda block, everyone, rows: (everyone, block(everyone, rows)),
        variable_broadcast="params",
        split_rngs={"params": False},
    )
    return scan(module, everyone, rows)[1]


def _take(array: Float[Array, "n ..."] | Int[Array, " n"], index: Int[Array, " ..."]) -> jax.Array:
    return array.at[index].get(mode="promise_in_bounds")


def is_edge(rows: Rows) -> Bool[Array, "*blocks residues neighbors"]:
    """Which slots for neighbors are used."""
    slot = jnp.arange(rows["neighbors"].shape[-1], dtype=jnp.int32)
    lift = (*(None for _ in rows["degree"].shape), slice(None))
    return slot[lift] < rows["degree"][..., None]
