import numpy as np

from jaxalign.learning.networks.invariant import CUTOFF, RADIAL
from tests.learning.networks.molecules import case, drawn_params, random_molecules
from tests.learning.networks.oracles import dense, one_number, radial_functions, silu


def oracle(params, structure):
    """States of the atoms and the prediction, atom by atom in float64."""
    numbers, positions = structure.atomic_numbers, structure.positions
    states = params["elements"]["embedding"].astype(float)[numbers]
    for name in ("block_1", "block_2"):
        block, changed = params[name], []
        for i, own in enumerate(states):
            density = np.zeros((RADIAL, len(own)))
            for j, other in enumerate(states):
                if i != j:
                    r = np.linalg.norm(positions[i] - positions[j])
                    density += np.outer(radial_functions(r, count=RADIAL, cutoff=CUTOFF), other)
            inner = dense(block["density"], density.reshape(-1)) + dense(block["own"], own)
            changed.append(own + dense(block["update"], silu(inner)))
        states = np.array(changed)
    return states, one_number(params["readout"], states).sum()


def test_agrees_with_the_definition(rng):
    it = case("invariant")
    params, structures = drawn_params(it.network, rng), random_molecules(rng)
    rows, predictions = it.run(params, it.batch(structures))
    for row, prediction, structure in zip(rows, predictions, structures, strict=False):
        states, number = oracle(params, structure)
        scale = np.abs(states).max()
        np.testing.assert_allclose(row, states.mean(axis=0), rtol=1e-4, atol=1e-4 * scale)
        np.testing.assert_allclose(prediction, number, rtol=1e-4, atol=1e-4 * scale)
