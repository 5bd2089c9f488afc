"""Alignment losses with their gradients beside the matrix product of the same rows, in one run.

Usage:
    python benchmarks/alignment_losses.py --rows=64,256,1024,2048 --widths=64,512 --output=x.json

Each loss is differentiated with respect to one side, as in training against a fixed teacher of the
same width. The floor is X Xᵀ alone, 2n²d flops at HIGHEST precision, written out; a step with
small batches takes microseconds, where calls themselves show.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from absl import app, flags, logging
from measuring import report, synthetic_model

from jaxalign.learning import losses
from jaxalign.profiling.timing import alternating

_ROWS = flags.DEFINE_list("rows", ["64", "256", "1024", "2048"], "Rows of a batch.")
_WIDTHS = flags.DEFINE_list("widths", ["64", "512"], "Features of both sides.")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Alternating repetitions.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")

LOSSES = {
    "cka": losses.cka_loss,
    "cka:rbf": functools.partial(losses.cka_loss, kernel="rbf"),
    "cka:rbf, sigma given": functools.partial(losses.cka_loss, kernel="rbf", sigma=(10.0, 10.0)),
    "dcor": losses.distance_correlation_loss,
}


def measure(n: int, d: int) -> list[dict]:
    """All losses and the floor for one shape."""
    x, y = (jnp.asarray(synthetic_model(index, 2, n, d)) for index in range(2))
    product = jax.jit(lambda x: jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST))
    works = {"X Xᵀ": lambda: product(x)}
    k = max(2, n // 40)
    soft = functools.partial(losses.soft_cknna_loss, k=k)
    for name, loss in {**LOSSES, "soft cknna": soft}.items():
        step = jax.jit(jax.value_and_grad(loss))
        works[name] = functools.partial(step, x, y)
    times = alternating(works, repeats=_REPEATS.value)
    floor = times["X Xᵀ"]
    return [
        {"what": name, "n": n, "d": d, "k": k if name == "soft cknna" else ""}
        | {"seconds": spent, "ratio": spent / floor}
        for name, spent in times.items()
    ]


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}")
    rows = []
    for n in map(int, _ROWS.value):
        for d in map(int, _WIDTHS.value):
            rows += measure(n, d)
            logging.info("n=%d d=%d, load %.1f", n, d, os.getloadavg()[0])
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    report(f"Value and gradient of alignment losses, float32, {load}", rows, _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
