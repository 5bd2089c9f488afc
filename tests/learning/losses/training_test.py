"""Losses in optax loops: a student's alignment to a fixed teacher rises."""

import functools
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign.learning import losses
from tests.learning.losses.cases import QUICK
from tests.oracles import cknna_formula, l2_rows
from tests.oracles_gram import score

N = 32
SCORES = {
    "cka:rbf": (
        functools.partial(losses.cka_loss, kernel="rbf"),
        functools.partial(score, kernel="rbf", how="debiased"),
    ),
    "dcor": (
        losses.distance_correlation_loss,
        functools.partial(score, kernel="euclidean", how="debiased"),
    ),
    "cknna": (
        functools.partial(losses.soft_cknna_loss, k=6),
        lambda x, y: cknna_formula(l2_rows(x), l2_rows(y), 6),
    ),
}


def student(params, inputs):
    """Two layers with a tanh between."""
    return jnp.matmul(jnp.tanh(jnp.matmul(inputs, params[0])), params[1])


@pytest.mark.parametrize(
    "name", ["cknna", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cka:rbf", "dcor"))]
)
def test_the_alignment_of_a_student_rises(name):
    loss, definition = SCORES[name]  # that of CKNNA has hard neighborhoods
    rng = np.random.default_rng(7)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    inputs = draw(N, 6)
    teacher = np.tanh(inputs[:, :2] @ draw(2, 5))
    start = [0.5 * draw(6, 12), 0.5 * draw(12, 4)]
    optimizer = optax.adam(2e-2)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def train(params):
        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(lambda p: loss(student(p, inputs), teacher))(
                params
            )
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        (last, _), history = jax.lax.scan(step, (params, optimizer.init(params)), length=60)
        return student(params, inputs), student(last, inputs), history

    with jax.numpy_dtype_promotion("standard"):  # of optax, which mixes dtypes
        *students, history = train(start)
    before, after = (definition(np.asarray(embeddings), teacher) for embeddings in students)
    assert np.isfinite(history).all()
    assert history[-1] < history[0] - 0.2
    assert after > before + 0.2


def test_the_example_of_the_package_runs_and_learns():
    text = losses.__doc__.split("geometry of a teacher:\n")[1]
    found: dict = {}
    with jax.numpy_dtype_promotion("standard"):  # of optax, which mixes dtypes
        exec(textwrap.dedent(text), found)
    history = found["history"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0] - 0.25
    assert float(found["running"].batches) == len(history)
