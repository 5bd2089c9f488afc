import dataclasses

import jax
import numpy as np

from jaxalign.learning.networks.equivariant import CUTOFF, RADIAL, EquivariantMessages
from tests.learning.networks.molecules import (
    case,
    drawn_params,
    random_molecules,
    random_rotation,
)
from tests.learning.networks.oracles import dense, one_number, radial_functions, silu

SCALARS, VECTORS = 6, 2


def test_vectors_turn_with_the_molecule(rng):
    it, rotation = case("equivariant"), random_rotation(rng)
    (one,) = random_molecules(rng, sizes=[9])
    turned = dataclasses.replace(one, positions=one.positions @ rotation.T)
    inverted = dataclasses.replace(one, positions=-one.positions)
    module = EquivariantMessages(width=8, depth=2, cutoff=CUTOFF, radial=RADIAL)

    @jax.jit
    def states(params, batch):
        found = module.apply({"params": params}, batch, "block_2", method="turning_states")
        return found.filter("0e").array, found.filter("1o").array

    params = drawn_params(it.network, rng)
    scalars, vectors = states(params, it.batch([one, turned, inverted]))
    assert scalars.shape == (6, 14, SCALARS)
    vectors = np.asarray(vectors).reshape(6, 14, VECTORS, 3)[:, :9]
    scale = np.abs(vectors).max()
    # Atoms that nothing is near to have none.
    assert np.median(np.linalg.norm(vectors[0], axis=-1)) > 0
    np.testing.assert_allclose(vectors[1], vectors[0] @ rotation.T, atol=1e-4 * scale)
    np.testing.assert_allclose(vectors[2], -vectors[0], atol=1e-4 * scale)
    for other in scalars[1:3]:
        np.testing.assert_allclose(other[:9], scalars[0, :9], atol=1e-4 * np.abs(scalars).max())


def couple(positions, s, v, sent, i):
    """Densities around atom i by the definition: degree 0 `[k, ...]`, degree 1 `[k, ..., 3]`."""
    found = [0.0, 0.0, 0.0, 0.0]
    for j in range(len(s)):
        if j == i:
            continue
        vector = positions[j] - positions[i]
        r = np.linalg.norm(vector)
        phi = radial_functions(r, count=RADIAL, cutoff=CUTOFF)
        y = np.sqrt(3) * vector / r
        found[0] += np.einsum("k,c->kc", phi, s[j])
        found[1] += np.einsum("k,c,m->kcm", phi, sent[j], y)
        if v is not None:
            found[2] += np.einsum("k,cm,m->kc", phi, v[j], y)
            found[3] += np.einsum("k,cm->kcm", phi, v[j])
    return found


def oracle_block(params, positions, s, v):
    sent = dense(params["sent"], s)
    linear = next(iter(params["vectors"].values())).astype(float)
    new_s, new_v = [], []
    for i in range(len(s)):
        scalar, outward, inward, passed = couple(positions, s, v, sent, i)
        degree_1 = [np.broadcast_to(outward, (RADIAL, VECTORS, 3)).reshape(-1, 3)]
        degree_0 = [np.broadcast_to(scalar, (RADIAL, SCALARS)).reshape(-1), s[i]]
        if v is not None:
            degree_1 += [v[i], np.broadcast_to(passed, (RADIAL, VECTORS, 3)).reshape(-1, 3)]
            degree_0.append(np.broadcast_to(inward, (RADIAL, VECTORS)).reshape(-1))
        degree_1 = np.concatenate(degree_1)
        u = np.einsum("nm,nc->cm", degree_1, linear) / np.sqrt(len(degree_1))
        inner = np.concatenate([*degree_0, (u**2).sum(axis=1)])
        inner = silu(dense(params["scalars"], inner))
        gate = 1 / (1 + np.exp(-dense(params["gates"], inner)))
        new_s.append(s[i] + dense(params["update"], inner))
        new_v.append(gate[:, None] * u + (0 if v is None else v[i]))
    return np.array(new_s), np.array(new_v)


def test_agrees_with_the_definition(rng):
    it = case("equivariant")
    params, structures = drawn_params(it.network, rng), random_molecules(rng)
    rows, predictions = it.run(params, it.batch(structures))
    for row, prediction, structure in zip(rows, predictions, structures, strict=False):
        s = params["elements"]["embedding"].astype(float)[structure.atomic_numbers]
        s, v = oracle_block(params["block_1"], structure.positions, s, None)
        s, v = oracle_block(params["block_2"], structure.positions, s, v)
        states = np.concatenate([s, np.linalg.norm(v, axis=-1)], axis=1)
        scale, number = np.abs(states).max(), one_number(params["readout"], states).sum()
        np.testing.assert_allclose(row, states.mean(axis=0), rtol=1e-4, atol=1e-4 * scale)
        np.testing.assert_allclose(prediction, number, rtol=1e-4, atol=1e-4 * scale)
