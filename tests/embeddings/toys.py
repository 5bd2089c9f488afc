"""A network whose rows are known, for tests in one process and in several."""

import jax.numpy as jnp
import numpy as np

from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures, UnsupportedStructureError
from jaxalign.structures.structure import Structure, StructureSet


def letters(params, batch, layer):
    """Per letter its code, and its square times a parameter."""
    codes = jnp.asarray(batch["codes"])
    return NodeFeatures(jnp.stack([codes, params["w"] * codes**2], -1), jnp.asarray(batch["mask"]))


def toy(*, poison=(), foreign=()):
    """A network of three buckets; rows of poisoned ids are infinite, foreign ids are refused."""

    def featurize(structure):
        if structure.id in foreign:
            raise UnsupportedStructureError("foreign")
        codes = np.frombuffer(structure.smiles.encode(), np.uint8).astype(np.float32)
        return {"codes": codes * (np.inf if structure.id in poison else 1)}

    def collate(examples, bucket, batch_size):
        codes = np.zeros((batch_size, bucket), np.float32)
        for row, example in enumerate(examples):
            codes[row, : len(example["codes"])] = example["codes"]
        return {"codes": codes, "mask": codes > 0}

    return Encoder(
        card=ModelCard(id="toy", name="toy", family="", modality="string", pretrained=False),
        params={"w": jnp.float32(0.01)},
        featurize=featurize,
        batching=RowBuckets(
            size=lambda example: len(example["codes"]),
            buckets=(4, 8, 16),
            batch_size=lambda bucket: 32 // bucket,
            pad=collate,
        ),
        apply=letters,
    )


def strings(count, seed):
    """Random strings of 1 to 16 letters, named s0, s1, …"""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("CNOF"), 1 + row % 16)) for row in range(count)]
    return StructureSet([Structure(id=f"s{i}", smiles=text) for i, text in enumerate(texts)])


def expected(structures):
    """Rows of the toy network with pooling "mean"."""
    codes = [np.frombuffer(s.smiles.encode(), np.uint8).astype(float) for s in structures]
    return np.array([[c.mean(), (0.01 * c**2).mean()] for c in codes])
