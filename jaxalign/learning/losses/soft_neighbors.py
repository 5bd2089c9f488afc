"""Soft neighborhoods: every other row is a neighbor to a degree, and the degrees sum to k.

    p_ij = σ(s_ij − t_i),  t_i such that Σ_j p_ij = k.

This p maximizes Σ_j p_ij s_ij + Σ_j H(p_ij) over 0 ≤ p ≤ 1 with Σ_j p_ij = k, H the entropy of a
coin: the smooth form of choosing the k largest. Scores divided by a falling temperature approach
that choice wherever the k-th and the next score differ.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float

from jaxalign.learning.losses.gram_terms import row_sums
from jaxalign.parallel.ring import varying_like

_MOST_STEPS = 200  # far more than any needs: about 5, and 30 at temperatures near 0


def soft_neighbors(
    scores: Float[Array, "b n"], candidates: Bool[Array, "b n"], k: float | int
) -> Float[Array, "b n"]:
    """Degrees p to which columns are neighbors of rows; each row sums to k.

    Derivatives go through the threshold by the implicit function theorem.

    Args:
      scores: larger is nearer, in units of the temperature.
      candidates: columns that may be neighbors, more than k in each row; others have p = 0.
      k: neighbors of a row; need not be whole.
    """
    t = _threshold(scores, candidates, k)
    return jnp.where(candidates, jax.nn.sigmoid(scores - t[:, None]), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _threshold(
    scores: Float[Array, "b n"], candidates: Bool[Array, "b n"], k: float | int
) -> Float[Array, " b"]:
    return _solve(scores, candidates, k)


@_threshold.defjvp
def _threshold_jvp(k, primals, tangents):
    """Implicit derivative: as Σ p stays k, dt = Σ w ds / Σ w with w = p(1 − p)."""
    scores, candidates = primals
    t = _threshold(scores, candidates, k)
    v = scores - t[:, None]
    # ln w = ln p + ln(1 − p) = 2 ln p − v: weights even where all w are too small for floats.
    logarithms = 2 * jax.nn.log_sigmoid(v) - v
    weights = jax.nn.softmax(jnp.where(candidates, logarithms, -jnp.inf), axis=1)
    return t, row_sums(weights * jnp.where(candidates, tangents[0], 0))


def _solve(scores, candidates, k):
    """Newton steps on the logit of the mean degree, nearly linear in t, inside a bracket.

    p of the smallest score is at most the mean degree k/m, and that of the largest at least, which
    is the first bracket.
    """
    dtype = scores.dtype
    m = candidates.sum(1).astype(dtype)
    wanted = jnp.log(k / (m - k))
    low, high = (
        extreme(jnp.where(candidates, scores, fill), axis=1) - wanted
        for extreme, fill in ((jnp.min, jnp.inf), (jnp.max, -jnp.inf))
    )
    tolerance = 32 * jnp.finfo(dtype).eps

    def sums(t):
        p = jax.nn.sigmoid(scores - t[:, None])
        p = jnp.where(candidates, p, 0)
        return row_sums(p), row_sums(p * (1 - p))

    def unsolved(state):
        step, *_, open_rows = state
        return (step < _MOST_STEPS) & open_rows.any()

    def narrow(state):
        step, t, low, high, last, open_rows = state
        found, slope = sums(t)
        error = jnp.abs(found - k)
        low, high = jnp.where(found > k, t, low), jnp.where(found > k, high, t)
        logit = jnp.log(found / (m - found)) - wanted
        newton = t + logit * found * (m - found) / (m * slope)
        # Where scores are far apart, the sum is a staircase, which sends Newton back and forth.
        usable = (newton > low) & (newton < high) & (error <= last / 2)
        following = jnp.where(usable, newton, (low + high) / 2)
        width = (high - low) <= tolerance / 16 * jnp.maximum(jnp.abs(low), jnp.abs(high))
        done = (error <= tolerance * k) | width | jnp.isnan(found)
        t = jnp.where(open_rows & ~done, following, t)
        last = jnp.where(usable, error, jnp.inf)
        return step + 1, t, low, high, last, open_rows & ~done

    start = jnp.clip(_normal_threshold(scores, candidates, m, k), low, high)
    last = varying_like(jnp.full_like(start, jnp.inf), start)
    state = (jnp.int32(0), start, low, high, last, ~jnp.isnan(start))
    return jax.lax.while_loop(unsolved, narrow, state)[1]


def _normal_threshold(scores, candidates, m, k):
    """The threshold at temperature zero of normally distributed scores."""
    mean = row_sums(jnp.where(candidates, scores, 0)) / m
    deviations = jnp.where(candidates, scores - mean[:, None], 0)
    return mean - ndtri(k / m) * jnp.sqrt(row_sums(jnp.square(deviations)) / m)
