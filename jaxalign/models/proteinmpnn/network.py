"""The encoders of the ProteinMPNN family as one Flax module.

Residues are the nodes of a graph, an edge joins each to its nearest residues. Edges begin as

    e = W_e LN(W [p, g]),      g: geometry of the pair (`geometry`), p: its offset along the chain,

p a learned vector for each offset from −32 to 32, beyond which all are alike. Nodes begin at zero
(membrane variants: at a vector of their label). Layer l then maps

    h ← LN(h + Σ_j W₃ gelu(W₂ gelu(W₁ [h_i, e_ij, h_j])) / 30),     h ← LN(h + W_out gelu(W_in h))
    e ← LN(e + W₁₃ gelu(W₁₂ gelu(W₁₁ [h_i, e_ij, h_j])))

with gelu(x) = x Φ(x). Edges of the last layer serve the sequence decoder alone, and are not
computed: so what is scanned is the update of the edges in layer l and of the nodes in layer l + 1.

W₁ is applied to its three parts, those of nodes before they are gathered, and W₃ to the sum over
neighbors: the same sums in another order, in 2/5 of the arithmetic. Edges are visited in blocks of
residues, so that memory stays bounded: only e itself is held for all.

LigandMPNN's last layers, without ligand atoms, see the nodes alone:

    c = W_c h,   twice  c ← LN(c),  c ← LN(c + W_out gelu(W_in c)),   then  h ← h + LN(V_c c).

References:
  Dauparas et al., Science 378, 49 (2022), doi:10.1126/science.add2187;
  Dauparas et al., Nat. Methods 22, 717 (2025), doi:10.1038/s41592-025-02626-1.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxalign.models.proteinmpnn.geometry import residue_frames, with_beta
from jaxalign.models.proteinmpnn.layers import (
    Dense,
    EdgeEmbedding,
    Edges,
    EmptyContext,
    LayerNorm,
    Nodes,
    NodeUpdate,
    Rows,
    Step,
    is_edge,
    over_blocks,
)
from jaxalign.models.proteinmpnn.settings import DEPTH, WIDTH, MpnnSettings

ROWS = 256  # residues of a block


class ProteinMpnn(nn.Module):
    """Features of the residues of a packed batch, after one layer.

    Attributes:
      settings: what the network is made of.
      layer: a name of `settings.layer_names`; later layers are not computed.
    """

    settings: MpnnSettings
    layer: str

    @nn.compact
    def __call__(self, batch: Rows) -> Nodes:
        """`[atoms, 128]`; rows of padding mean nothing."""
        count = len(batch["degree"])
        everyone = _whole_blocks(self._residues(batch), count)
        graph = _in_blocks({name: everyone.pop(name) for name in ("neighbors", "degree")})
        rows = _in_blocks(everyone) | graph
        edges = over_blocks(EdgeEmbedding(name="edges"), everyone, rows)
        if self.layer == "embedding":
            return _mean_edges(edges, graph)[:count]
        nodes = self._first_nodes(edges)
        nodes = NodeUpdate(name="first")(nodes, edges, graph)
        nodes = self._later_layers(nodes, edges, graph)[:count]
        return EmptyContext(name="context")(nodes) if self.layer == "context" else nodes

    def _residues(self, batch: Rows) -> dict[str, Any]:
        names = ("points", "numbers", "neighbors", "degree")
        residues = {name: batch[name] for name in names}
        if self.settings.alpha_only:
            return residues | {"frames": residue_frames(batch["points"], batch["framed"])}
        return residues | {"points": with_beta(batch["points"])}

    def _first_nodes(self, edges: Edges) -> Nodes:
        zeros = jnp.zeros((edges.shape[0] * edges.shape[1], WIDTH), edges.dtype)
        if not self.settings.labels:
            return zeros
        # All residues have label 0, as in the original where no labels are given.
        one_hot = jnp.eye(self.settings.labels, dtype=edges.dtype)[:1]
        label = Dense(WIDTH, use_bias=False, name="labels")(one_hot)
        return zeros + Dense(WIDTH, name="enter")(LayerNorm(name="label_norm")(label))

    def _later_layers(self, nodes: Nodes, edges: Edges, graph: Rows) -> Nodes:
        names = self.settings.layer_names
        steps = min(names.index(self.layer), DEPTH) - 1
        if not steps:
            return nodes
        scan = nn.scan(
            lambda step, state, graph: step(state, graph),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=steps,
        )
        return scan(Step(name="layers"), (nodes, edges), graph)[0][0]


def _whole_blocks(arrays: Rows, count: int) -> dict[str, Any]:
    """Pads residues so that they fill blocks of even size; the padding has no neighbors."""
    blocks = -(-count // ROWS)
    extra = -(-count // blocks) * blocks - count
    return {
        name: jnp.pad(array, ((0, extra), *((0, 0) for _ in array.shape[1:])))
        for name, array in arrays.items()
    }


def _in_blocks(arrays: Rows) -> dict[str, Any]:
    def split(array: jax.Array) -> jax.Array:
        return array.reshape(-(-len(array) // ROWS), -1, *array.shape[1:])

    return {name: split(array) for name, array in arrays.items()}


def _mean_edges(edges: Edges, graph: Rows) -> Nodes:
    total = jnp.sum(jnp.where(is_edge(graph)[..., None], edges, 0), axis=-2)
    degree = jnp.maximum(graph["degree"], 1).astype(edges.dtype)
    return (total / degree[..., None]).reshape(-1, edges.shape[-1])
