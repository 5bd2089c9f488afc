"""What alignment scores of random minibatches are on average, beside the score of all rows.

Usage:
    python benchmarks/alignment_batches.py --n=1024 --batches=32,64,128 --draws=2000 --output=x.json

Two seeded pairs of embeddings of 32 features: of one latent space of 8 dimensions (`related`), and
of none (`independent`). Differences are in units of the score; `error` is the standard error of the
mean over draws. Soft CKNNA is taken with k in proportion to the rows, and with k as for all rows.
The last rows show how soft CKNNA of all rows tends to the metric as the temperature falls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from measuring import report

from jaxalign import metrics
from jaxalign.learning import losses

_N = flags.DEFINE_integer("n", 1024, "Rows of the data.")
_BATCHES = flags.DEFINE_list("batches", ["32", "64", "128"], "Rows of a batch.")
_K = flags.DEFINE_integer("k", 25, "Neighbors among all rows.")
_DRAWS = flags.DEFINE_integer("draws", 2000, "Random batches of each size.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")

_D, _LATENT, _AT_ONCE = 32, 8, 50
_TEMPERATURES = (0.3, 0.1, 0.03, 0.01, 0.001)
Loss = Callable[[jax.Array, jax.Array], jax.Array]


def pairs() -> dict[str, tuple[jax.Array, jax.Array]]:
    """Seeded embeddings; the second of the related ones sees the latent space through a tanh."""
    rng, n = np.random.default_rng(0), _N.value
    z = rng.normal(size=(n, _LATENT))
    x, y = (
        latent @ rng.normal(size=(_LATENT, _D)) + 0.7 * rng.normal(size=(n, _D))
        for latent in (z, np.tanh(z))
    )
    noise = rng.normal(size=(n, _D))
    x, y, noise = (jnp.asarray(side.astype(np.float32)) for side in (x, y, noise))
    return {"related": (x, y), "independent": (x, noise)}


def compared(rows: int) -> dict[str, tuple[Loss, Loss]]:
    """Loss of a batch of so many rows, and the loss of all rows that it stands for."""
    n, k = _N.value, _K.value
    found = {
        name: (loss, loss)
        for name, loss in {
            "cka": losses.cka_loss,
            "cka:biased": functools.partial(losses.cka_loss, debiased=False),
            "dcor": losses.distance_correlation_loss,
        }.items()
    }
    whole = functools.partial(losses.soft_cknna_loss, k=k)
    scaled = k * (rows - 1) / (n - 1)
    if scaled >= 1:
        part = functools.partial(losses.soft_cknna_loss, k=scaled)
        found[f"soft cknna, k={scaled:.2f}"] = part, whole
    if k <= rows - 2:
        found[f"soft cknna, k={k}"] = whole, whole
    return found


def batches(pair: str, x: jax.Array, y: jax.Array, rows: int) -> list[dict]:
    """Mean difference of the scores of batches to that of all rows."""
    rng = np.random.default_rng(rows)
    picks = np.stack([rng.choice(len(x), rows, replace=False) for _ in range(_DRAWS.value)])
    out = []
    for name, (part, whole) in compared(rows).items():
        drawn = jax.jit(
            lambda picks, part=part: jax.lax.map(
                lambda index: 1 - part(x[index], y[index]), picks, batch_size=_AT_ONCE
            )
        )
        values = np.asarray(drawn(picks), np.float64)
        full = 1 - float(jax.jit(whole)(x, y))
        error = float(values.std() / np.sqrt(len(values)))
        difference = float(values.mean() - full)
        out.append(
            {"pair": pair, "what": name, "n": len(x), "rows": rows, "score of all rows": full}
            | {"difference": difference, "error": error}
        )
        logging.info("%s", out[-1])
    return out


def temperatures(pair: str, x: jax.Array, y: jax.Array) -> list[dict]:
    """Soft CKNNA of all rows less the metric, as the temperature falls."""
    hard = float(metrics.cknna(np.asarray(x), np.asarray(y), k=_K.value))
    loss = jax.jit(functools.partial(losses.soft_cknna_loss, k=_K.value))
    return [
        {"pair": pair, "what": f"soft cknna at temperature {t:g}", "n": len(x), "rows": len(x)}
        | {"score of all rows": hard, "difference": 1 - float(loss(x, y, temperature=t)) - hard}
        for t in _TEMPERATURES
    ]


def main(argv: Sequence[str]) -> None:
    """Simulates and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}")
    rows = []
    for pair, sides in pairs().items():
        for size in map(int, _BATCHES.value):
            rows += batches(pair, *sides, size)
        rows += temperatures(pair, *sides)
    report("Alignment scores of minibatches", rows, _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
