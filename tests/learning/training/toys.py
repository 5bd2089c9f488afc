"""A network of a few parameters, structures with labels, and a quick task."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.learning.networks.network import Network
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import make_task
from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import NodeFeatures, UnsupportedStructureError
from jaxalign.structures.structure import Structure, StructureSet

ELEMENTS = np.array([1, 6, 7, 8])
ENERGIES = np.array([-0.5, -37.8, -54.6, -75.1])  # hartree, of an atom
QUICK = {"steps": 24, "minibatch": 16, "learning_rate": 0.02, "warmup": 4, "patience": 100}


@functools.partial(jax.jit, static_argnums=0)
def init(width, key):
    first, second = jax.random.split(key)
    return {
        "embed": jax.random.normal(first, (9, width)) / 3,
        "inner": {"kernel": jax.random.normal(second, (width, width)) / width**0.5},
        "outer": jnp.zeros((width,)),
    }


def features(params, batch, layer=None):
    """Per atom a vector of its element and its distance from the center."""
    numbers, distance = jnp.asarray(batch["numbers"]), jnp.asarray(batch["distance"])
    values = params["embed"][numbers] * (distance[..., None] - 1.6)  # the usual distance
    return NodeFeatures(values @ params["inner"]["kernel"], numbers > 0)


def predict(params, batch):
    values, mask = features(params, batch)
    return jnp.sum(jnp.where(mask, values @ params["outer"], 0), axis=1)


def featurize(structure, poison=(), foreign=()):
    if structure.id in foreign:
        raise UnsupportedStructureError("too odd")
    distance = np.linalg.norm(structure.positions, axis=1).astype(np.float32)
    return {
        "numbers": structure.atomic_numbers,
        "distance": distance * np.float32(np.nan if structure.id in poison else 1),
    }


def collate(examples, bucket, rows):
    numbers, distance = np.zeros((rows, bucket), np.int32), np.zeros((rows, bucket), np.float32)
    for row, example in enumerate(examples):
        numbers[row, : len(example["numbers"])] = example["numbers"]
        distance[row, : len(example["distance"])] = example["distance"]
    return {"numbers": numbers, "distance": distance}


@functools.cache  # one object, one compilation
def network(width=4, name="toy", **bad):
    """A network; inputs of `poison`ed ids are NaN, `foreign` ids are refused."""
    batching = RowBuckets(
        size=lambda example: len(example["numbers"]),
        buckets=(8,),
        batch_size=lambda bucket: 8,
        pad=collate,
    )
    return Network(
        card=ModelCard(
            id=f"{name}-{width}x1", name=name, family=name, modality="3d", pretrained=False
        ),
        settings={"architecture": name, "width": width, "depth": 1, "radii": (1, 2)},
        featurize=functools.partial(featurize, **bad),
        batching=batching,
        minibatch_shape=lambda examples, count: (max(map(batching.size, examples)), count),
        init=lambda key: init(width, key),
        features=features,
        predict=predict,
    )


def molecules(count, seed, **options):
    """Random atoms; the energy is a sum over atoms and a little of their distances."""
    rng = np.random.default_rng(seed)
    return StructureSet([molecule(rng, number, **options) for number in range(count)], name="toys")


def molecule(rng, number, *, group=None, noise=0.0):
    kinds = rng.integers(4, size=rng.integers(2, 9))
    positions = rng.normal(size=(len(kinds), 3))
    size = np.linalg.norm(positions, axis=1)
    energy = ENERGIES[kinds].sum() + 0.01 * np.sum((kinds - 1.5) * size)
    return Structure(
        id=f"m{number}",
        atomic_numbers=ELEMENTS[kinds].astype(np.int32),
        positions=positions,
        labels={
            "u0_hartree": float(energy + noise * rng.normal()),
            "gap_hartree": float(rng.uniform()),
            "formation_energy_ev_per_atom": float(rng.normal()),
        },
        group=None if group is None else f"g{number // group}",
    )


def quick_task(seed, count=120, **options):
    options = {"label": "u0_hartree", "validation": 20, "test": 20} | options
    return make_task(molecules(count, seed), **options)


def settings(**changes):
    return TrainingSettings(**QUICK | changes)
