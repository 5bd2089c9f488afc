"""Structures and parameters for the tests of the networks."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax
import numpy as np

from jaxalign.learning.networks.architectures import build_network
from jaxalign.learning.networks.network import Network
from jaxalign.models.pooling import pool
from jaxalign.structures.structure import Structure

SMILES = ("C", "CCO", "C1CC1", "CC(=O)[O-]", "c1ccncc1", "N#CC1OC1", "[NH4+].[Cl-]", "CC(C)(C)O")


def random_molecules(rng, *, sizes=(1, 2, 5, 9)):
    """Random atoms at least 0.7 Å apart, and SMILES that have nothing to do with them."""
    smiles = itertools.cycle(rng.permutation(SMILES).tolist())
    return [
        Structure(
            id=f"random/{number}",
            atomic_numbers=rng.choice([1, 6, 7, 8, 17], size).astype(np.int32),
            positions=random_positions(rng, size),
            smiles=next(smiles),
        )
        for number, size in enumerate(sizes)
    ]


def random_positions(rng, count):
    points = np.zeros((0, 3))
    while len(points) < count:
        point = rng.uniform(-1, 1, 3) * (1 + count ** (1 / 3))
        if not len(points) or np.linalg.norm(points - point, axis=1).min() > 0.7:
            points = np.concatenate([points, point[None]])
    return points


def random_rotation(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def drawn_params(network, rng):
    """Parameters none of which is zero, without compiling the network's own way to draw them."""

    def draw(path, leaf):
        is_table = path[-1].key == "embedding"
        scale = 1 if is_table or leaf.ndim == 1 else leaf.shape[-2] ** -0.5
        return (scale * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(network.init, jax.random.key(0)))


@dataclasses.dataclass(frozen=True)
class Case:
    """A network of width 8 and depth 2, compiled once for all tests."""

    network: Network
    run: Callable  # (params, batch) → rows of embeddings, predictions

    def batch(self, structures):
        """Six slots of 14 nodes."""
        examples = [self.network.featurize(structure) for structure in structures]
        return self.network.batching.collate(examples, (14, 6))


@functools.cache
def case(architecture):
    network = build_network(architecture, width=8, depth=2)

    def run(params, batch):
        return pool(network.features(params, batch, None), "mean"), network.predict(params, batch)

    return Case(network, jax.jit(run))
