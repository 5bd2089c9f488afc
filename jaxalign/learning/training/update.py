"""One compiled update of parameters, and predictions, over the devices of a mesh.

Devices share the structures of a minibatch. The loss is a function of the outputs of all of them,
so the number of devices changes nothing but the rounding of sums.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxalign.learning.networks.network import Params
from jaxalign.learning.training.minibatches import PlacedBatch
from jaxalign.learning.training.objective import Objective, Outputs, leading
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.models.encoder import Batch
from jaxalign.parallel.mesh import SPLIT, WHOLE, split, whole
from jaxalign.parallel.padding import place_whole

LOSS = "loss"
GRADIENT = "gradient_norm"


class TrainState(NamedTuple):
    """Everything that an update changes; on the devices, or on the host.

    Attributes:
      step: updates done. With it, the seed tells everything random that is to come.
      params: of the network.
      opt_state: of the optimizer.
    """

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState


def init_state(params: Params, settings: TrainingSettings) -> TrainState:
    """The state before the first update, on the host."""
    opt_state = jax.jit(settings.optimizer().init)(params)
    return on_host(TrainState(jnp.int32(0), params, opt_state))


def on_host(tree: Any) -> Any:
    """A copy on the host, of which updates, that write over what they are given, know nothing."""
    return jax.tree.map(np.array, jax.device_get(tree))


def on_devices(tree: Any, mesh: Mesh) -> Any:
    """A copy on every device, in memory of its own: updates consume their state."""
    return jax.tree.map(lambda leaf: place_whole(np.array(leaf), mesh), tree)


class CompiledUpdate:
    """The update of one network, one objective and one set of settings.

    Args:
      objective: what is minimized.
      settings: of the optimizer.
      share: structures of a minibatch on each device.
      mesh: the devices.

    Attributes:
      count: compilations so far.
    """

    def __init__(self, objective: Objective, settings: TrainingSettings, *, share: int, mesh: Mesh):
        self._objective, self._optimizer = objective, settings.optimizer()
        self._spread = spread(objective.outputs, share=share, mesh=mesh)
        self.count = 0
        everywhere = whole(mesh)
        update = jax.jit(
            self._update,
            in_shardings=(everywhere, split(mesh), everywhere),
            out_shardings=everywhere,
            donate_argnums=0,
        )
        self.run = _in_turn(update, mesh)

    def _update(
        self, state: TrainState, batches: PlacedBatch, targets: Mapping[str, Array]
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """The state after one minibatch, and its numbers before the update."""
        self.count += 1  # Python runs only while tracing

        def loss_of(params):
            return self._objective.loss(self._spread(params, batches), targets)

        (loss, metrics), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        # optax raises floats to powers of integers, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = self._optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {**metrics, LOSS: loss, GRADIENT: optax.tree.norm(gradient)}
        return TrainState(state.step + jnp.int32(1), params, opt_state), metrics


# Cached, so that the seeds of one network compile nothing again.
@functools.lru_cache(maxsize=8)
def compiled_update(
    objective: Objective, settings: TrainingSettings, *, share: int, mesh: Mesh
) -> CompiledUpdate:
    """The update shared by all runs that differ in their seed alone."""
    return CompiledUpdate(objective, settings, share=share, mesh=mesh)


@functools.lru_cache(maxsize=8)
def compiled_outputs(
    outputs: Callable[[Params, Batch], Outputs], *, share: int, mesh: Mesh
) -> Callable[[Params, PlacedBatch], Outputs]:
    """A network's outputs for stacked batches, `[share · devices, ...]`, whole on every device."""
    run = jax.jit(
        spread(outputs, share=share, mesh=mesh),
        in_shardings=(whole(mesh), split(mesh)),
        out_shardings=whole(mesh),
    )
    return _in_turn(run, mesh)


def _in_turn(run: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """A compiled function that ends before the next one begins, on several devices of a CPU.

    There, programs that exchange something and are in flight together can wait for each other for
    ever, if there are no more cores than devices (jaxlib 0.10).
    """
    if mesh.size == 1 or mesh.devices.ravel()[0].platform != "cpu":
        return run
    return lambda *arguments: jax.block_until_ready(run(*arguments))


def spread(
    outputs: Callable[[Params, Batch], Outputs], *, share: int, mesh: Mesh
) -> Callable[[Params, PlacedBatch], Outputs]:
    """Outputs of stacked batches: each device runs its own, of `share` structures.

    Args:
      outputs: of one batch, slot by slot.
      share: structures of each batch; slots beyond are dropped.
      mesh: the devices.

    Returns:
      (params, batches `[devices, ...]`) → arrays `[share · devices, ...]`.
    """

    def run(params, batches):
        with jax.named_scope("network"):
            batch = jax.tree.map(lambda x: x[0], batches)
            return leading(outputs(params, batch), share)

    # Nothing is exchanged, and networks know nothing of the mesh: their constants need no mark.
    # Gradients of parameters, which all devices share, are summed where this is transposed.
    return jax.shard_map(run, mesh=mesh, in_specs=(WHOLE, SPLIT), out_specs=SPLIT, check_vma=False)
