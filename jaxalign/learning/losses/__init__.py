"""Alignment as a loss: differentiable CKA, distance correlation and CKNNA of soft neighborhoods.

`*_loss` is 1 − score of one batch, a scalar to add to a task loss. `*_terms` are the three numbers
of which the score is the ratio; `running_loss` takes the ratio of their averages over batches,
whose bias is that of many batches together. Definitions are those of `jaxalign.metrics`, and so are
the values. All are pure functions under `jax.jit`, `jax.grad`, `jax.vmap` and `jax.shard_map`.

A batch split over devices: pass `axis_name` inside `jax.shard_map`. Every device then holds its
rows of the matrices of pairs, and value and gradient are those of the whole batch (with the default
`check_vma=True`, also where gradients are taken inside). A linear student that learns the
geometry of a teacher:

    import functools

    import jax
    import numpy as np
    import optax

    from jaxalign.learning import losses
    from jaxalign.parallel.mesh import SPLIT, WHOLE, make_mesh, split, whole

    mesh = make_mesh()  # all devices
    terms = jax.shard_map(
        functools.partial(losses.cka_terms, axis_name=mesh.axis_names),
        mesh=mesh,
        in_specs=SPLIT,  # rows over all devices
        out_specs=WHOLE,
    )
    optimizer = optax.adam(0.1)

    def objective(params, running, inputs, teacher):
        student = inputs @ params
        alignment, running = losses.running_loss(running, terms(student, teacher))
        return alignment, running  # a task loss is added here

    @jax.jit
    def step(params, state, running, inputs, teacher):
        gradient = jax.value_and_grad(objective, has_aux=True)
        (loss, running), gradient = gradient(params, running, inputs, teacher)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, running, loss

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20, 64, 16)).astype(np.float32)  # batches of 64 rows
    teacher = np.tanh(inputs[..., :4] @ rng.normal(size=(4, 8))).astype(np.float32)
    params, history = rng.normal(size=(16, 6)).astype(np.float32), []
    start = params, optimizer.init(params), losses.init_running()
    params, state, running = jax.device_put(start, whole(mesh))
    for batch in zip(inputs, teacher):
        placed = jax.device_put(batch, split(mesh))
        params, state, running, loss = step(params, state, running, *placed)
        history.append(float(loss))
"""

from jaxalign.learning.losses.cka import cka_loss as cka_loss
from jaxalign.learning.losses.cka import cka_terms as cka_terms
from jaxalign.learning.losses.distance_correlation import (
    distance_correlation_loss as distance_correlation_loss,
)
from jaxalign.learning.losses.distance_correlation import (
    distance_correlation_terms as distance_correlation_terms,
)
from jaxalign.learning.losses.running import RunningAlignment as RunningAlignment
from jaxalign.learning.losses.running import init_running as init_running
from jaxalign.learning.losses.running import running_loss as running_loss
from jaxalign.learning.losses.soft_cknna import soft_cknna_loss as soft_cknna_loss
from jaxalign.learning.losses.soft_cknna import soft_cknna_terms as soft_cknna_terms
from jaxalign.learning.losses.terms import AlignmentTerms as AlignmentTerms
