"""States of CHGNet from the original and from the port, in the same order of bonds and angles."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import torch
from chgnet.model.model import CHGNet
from pymatgen.core import Lattice
from pymatgen.core import Structure as Crystal

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.chgnet.catalog_chgnet import RELEASES
from jaxalign.models.chgnet.chgnet import hidden_states, readout_states
from jaxalign.models.encoder import Encoder
from jaxalign.structures.structure import Structure

KINDS = ("atoms", "bonds", "angles")

States = dict[str, list[np.ndarray]]  # "atoms", "bonds", "angles" → one array a layer


def crystal(structure: Structure) -> Crystal:
    return Crystal(
        Lattice(structure.cell),
        structure.atomic_numbers.tolist(),
        structure.positions,
        coords_are_cartesian=True,
    )


class Original:
    """A network of the package that hands out all its states, in float32 or float64."""

    def __init__(self, name: str, dtype: torch.dtype):
        self.model = CHGNet.load(model_name=name, use_device="cpu", verbose=False).to(dtype).eval()
        self.model.graph_converter.set_isolated_atom_response("ignore")
        self.dtype = dtype
        self.states: States = {}
        model = self.model
        norms = [] if model.readout_norm is None else [model.readout_norm]
        modules = {
            "atoms": [model.atom_embedding, *model.atom_conv_layers, *norms],
            "bonds": [model.bond_embedding, *model.bond_conv_layers],
            "angles": [model.angle_embedding, *model.angle_layers],
        }
        for kind in KINDS:
            for module in modules[kind]:
                module.register_forward_hook(self._keep(kind))
        if dtype == torch.float64:  # counting elements rounds to float32 there
            model.composition_model._assemble_graphs = self._composition

    def _keep(self, kind: str):
        return lambda module, inputs, output: self.states[kind].append(output.detach().numpy())

    @staticmethod
    def _composition(graphs) -> torch.Tensor:
        count = [torch.bincount(graph.atomic_number - 1, minlength=94).double() for graph in graphs]
        return torch.stack([row / row.sum() for row in count])

    def run(self, structure: Structure):
        """Graph, states and energy (eV per atom) of one structure."""
        source = crystal(structure)
        graph = self.model.graph_converter(source)
        graph.lattice = torch.tensor(source.lattice.matrix, dtype=self.dtype)
        graph.atom_frac_coord = torch.tensor(source.frac_coords, dtype=self.dtype)
        graph.neighbor_image = graph.neighbor_image.to(self.dtype)
        self.states = {kind: [] for kind in KINDS}
        energy = self.model.predict_graph(graph, task="e")["e"]
        return graph, self.states, float(energy)


def orders(structure: Structure, graph, encoder: Encoder) -> dict[str, np.ndarray]:
    """Numbers of the port's bonds and angles in the order of the original; all must be there."""
    cutoff = RELEASES[encoder.card.id].settings.atom_cutoff
    pairs, example = (
        neighbor_pairs(structure, cutoff=cutoff, half=True),
        encoder.featurize(structure),
    )
    known = {}
    for bond, (i, j, shift) in enumerate(zip(*pairs[:3], strict=True)):
        known[int(i), int(j), *shift.tolist()] = bond, 1
        known[int(j), int(i), *(-shift).tolist()] = bond, -1
    ends = graph.atom_graph.numpy().reshape(-1, 2)
    images = np.rint(graph.neighbor_image.numpy()).astype(int).reshape(-1, 3)
    directed = [known[int(i), int(j), *s.tolist()] for (i, j), s in zip(ends, images, strict=True)]
    bonds, signs = np.array(directed, int).reshape(-1, 2).T
    if not len(set(directed)) == len(directed) == len(known):
        raise SystemExit(f"{structure.id}: the two graphs differ in their bonds")
    atoms, _, e, _, f = graph.bond_graph.numpy().reshape(-1, 5).T
    units = signs[:, None] * (pairs.vectors / pairs.lengths()[:, None])[bonds]
    theirs = atoms, bonds[e], bonds[f], np.einsum("ak,ak->a", units[e], units[f])
    short = example["short_bonds"]
    first, second = short[example["first"]], short[example["second"]]
    ours = example["angle_atoms"], first, second, np.cos(example["radians"])
    # Angles of the same atom and bonds differ at most in the direction of self-image bonds.
    one, other = (np.lexsort(keys[::-1]) for keys in (theirs, ours))
    for mine, yours in zip(theirs, ours, strict=True):
        if len(mine) != len(yours) or not np.allclose(mine[one], yours[other], atol=1e-5):
            raise SystemExit(f"{structure.id}: the two graphs differ in their angles")
    angles = np.empty(len(one), int)
    angles[one] = other
    return {"bonds": bonds[graph.undirected2directed.numpy()], "angles": angles}


def ported(encoder: Encoder, structures: Sequence[Structure], dtype) -> Iterator[tuple]:
    """States and energy (eV per atom) of each structure, all computed in one batch."""
    packing = encoder.batching
    wide = {
        name: dataclasses.replace(field, dtype=dtype) if field.dtype == np.float32 else field
        for name, field in packing.layout.items()
    }
    packing = dataclasses.replace(packing, layout=wide, budget=dict.fromkeys(packing.budget, 10**7))
    examples = [encoder.featurize(structure) for structure in structures]
    batch = packing.collate(examples, packing.plan(examples)[0].shape)
    params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), dtype), encoder.params)
    settings = RELEASES[encoder.card.id].settings

    @jax.jit
    def compute(params, batch):
        states = hidden_states(params, batch, settings)
        atoms = (*states.atoms, *((readout_states(params, states),) if settings.norms else ()))
        return states._replace(atoms=atoms), encoder.energy.interaction(params, batch)

    states, energies = jax.tree.map(np.asarray, compute(params, batch))
    counts = np.array([list(packing.counts(example).values()) for example in examples])
    ends = dict(zip(packing.budget, counts.cumsum(axis=0).T, strict=True))
    sizes = dict(zip(packing.budget, counts.T, strict=True))
    for row, structure in enumerate(structures):
        own = {
            kind: [x[ends[kind][row] - sizes[kind][row] : ends[kind][row]] for x in layers]
            for kind, layers in zip(KINDS, states, strict=True)
        }
        total = sum(encoder.energy.reference[int(z)] for z in structure.atomic_numbers)
        yield own, (float(energies[row]) + total) / len(structure.atomic_numbers)
