"""Terms averaged over the batches of a training loop: a ratio that small batches do not bias."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxalign.learning.losses.terms import AlignmentTerms


class RunningAlignment(NamedTuple):
    """Averages of terms over past batches: a pytree to carry beside the optimizer's state.

    Attributes:
      terms: averages; 0 before the first batch.
      batches: number of batches that had enough rows.
    """

    terms: AlignmentTerms
    batches: Float[Array, ""]


def init_running(dtype: DTypeLike = jnp.float32) -> RunningAlignment:
    """The state before the first batch.

    Args:
      dtype: of the terms: float64 for float64 embeddings.
    """
    zero = jnp.zeros((), dtype)
    return RunningAlignment(AlignmentTerms(zero, zero, zero, zero), zero)


def running_loss(
    running: RunningAlignment, terms: AlignmentTerms, *, decay: float = 0.9
) -> tuple[Float[Array, ""], RunningAlignment]:
    """1 − score of terms averaged over batches, with the derivatives of the present batch.

    The averages are m ← m + w·(terms − m), w = max(1 − decay, 1/batches): a plain mean at first, an
    exponential one later. The value is 1 − ρ(m). Its derivative is taken through the present terms
    alone, at the averages,

        −[∇xy/√(xx·yy) − ρ/2·∇xx/xx − ρ/2·∇yy/yy],  ρ, xx, yy of m,

    which is linear in the terms of the batch: where these are unbiased and the averages are those
    of the full data, so is the gradient. The loss of single batches has a bias of order 1/b, in
    value and gradient, that no number of steps removes (.710 instead of .706 for CKA on batches of
    32 rows, in `benchmarks/alignment_batches.py`).

    Args:
      running: state of the loop.
      terms: of the present batch, e.g. of `cka_terms`.
      decay: of the averages; 1 averages over all batches alike. Embeddings move while they are
        trained: averages lag behind by about 1/(1 − decay) steps.

    Returns:
      The loss, and the state for the next batch (a constant for derivatives).

    Raises:
      ValueError: decay outside [0, 1].
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must lie in [0, 1]: got {decay}; 0.9 averages over ten batches")
    present = jax.lax.stop_gradient(terms)
    dtype = running.batches.dtype
    found = terms.rows > 0
    batches = running.batches + found.astype(dtype)
    weight = jnp.where(found, jnp.maximum(1 - decay, 1 / jnp.maximum(batches, 1)), 0)
    past = jax.lax.stop_gradient(running.terms)
    mean = jax.tree.map(lambda old, new: old + weight * (new - old), past, present)
    # Differences are 0 in value: they carry the derivatives of the batch to the ratio.
    steps = jax.tree.map(jnp.subtract, terms, present)
    value, change = jax.jvp(AlignmentTerms.loss, (mean,), (steps,))
    return value + change, RunningAlignment(mean, batches)
