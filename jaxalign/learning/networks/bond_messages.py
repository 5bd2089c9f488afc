"""Directed messages over the bonds of the 2-D graph: no coordinates, hydrogens implicit.

The D-MPNN of `jaxalign.models.dmpnn`, of any width and depth, with a readout of its own.
"""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from jaxalign.learning.networks.assembly import assemble
from jaxalign.learning.networks.network import Network
from jaxalign.learning.networks.readouts import SumReadout
from jaxalign.models.batching import RowBuckets
from jaxalign.models.dmpnn.dmpnn import ATOMS_PER_BATCH, DirectedMessagePassing, layer_names
from jaxalign.models.dmpnn.molecular_graph import collate_graphs, featurize_graph, graph_size
from jaxalign.models.encoder import Batch

# Few, as in `atom_batches`; all of QM9 has at most 9 heavy atoms.
GRAPHS = RowBuckets(
    size=graph_size,
    buckets=(11, 20, 32, 48, 64, 96, 128, 192, 256),
    batch_size=lambda bucket: max(1, 2 * ATOMS_PER_BATCH // bucket),
    pad=collate_graphs,
    grows=True,
)
"""How molecular graphs share batches."""


class BondMessages(nn.Module):
    """D-MPNN with a sum over heavy atoms as its readout.

    Attributes:
      width: channels d of bonds and atoms.
      depth: number of messages.
    """

    width: int
    depth: int

    @property
    def layers(self) -> tuple[str, ...]:
        """`message_1` to the last, and `atoms`, which the readout reads."""
        return layer_names(self.depth)

    def setup(self) -> None:
        """Names the parts."""
        self.graph = DirectedMessagePassing(hidden=self.width, depth=self.depth)
        self.readout = SumReadout()

    def states(self, batch: Batch, layer: str) -> Float[Array, "batch atoms d"]:
        """Features of the atoms of one layer."""
        return self.graph(batch, layer)

    def __call__(self, batch: Batch) -> Float[Array, " batch"]:
        """One number a molecule."""
        return self.readout(self.states(batch, self.layers[-1]), batch["mask"])


def build_dmpnn(*, width: int, depth: int) -> Network:
    """A D-MPNN on the graph of a SMILES string.

    Args:
      width: channels of bonds and atoms.
      depth: number of messages; 1 sees an atom's own bonds, each further one a bond more.

    Returns:
      The network.
    """
    sizes = {"width": width, "depth": depth}
    return assemble(
        BondMessages(**sizes),
        settings={"architecture": "dmpnn", **sizes},
        featurize=featurize_graph,
        batching=GRAPHS,
        name=f"D-MPNN, width {width}, depth {depth}",
        family="D-MPNN",
        modality="graph",
        symmetry="invariant",  # a graph has no coordinates to rotate
        citation="Yang et al., J. Chem. Inf. Model. 59, 3370 (2019), doi:10.1021/acs.jcim.9b00237",
        notes="Nodes are the heavy atoms of the SMILES as given; readout: sum over them.",
    )
