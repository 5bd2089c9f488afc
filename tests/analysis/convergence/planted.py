"""Checkpoints whose embeddings approach a common one at a planted rate."""

import numpy as np

from jaxalign.analysis.convergence.trajectories import Checkpoint

ARCHITECTURES = ("invariant", "dmpnn", "transformer")
STEPS = (0, 10, 100)


def checkpoints(rng, *, seeds=2, sizes=((8, 1), (16, 2)), steps=STEPS):
    """Records of runs whose errors fall with the step and with the size."""
    found = []
    for architecture in ARCHITECTURES:
        for width, depth in sizes:
            for seed in range(seeds):
                run = f"{architecture}-{width}x{depth}-s{seed}"
                for number, step in enumerate(steps):
                    error = 0.5 / (1 + number) / depth * np.exp(0.05 * rng.normal())
                    last = step == steps[-1]
                    record = Checkpoint(
                        model=f"{run}@{step}",
                        run=run,
                        architecture=architecture,
                        width=width,
                        depth=depth,
                        parameters=100 * width,
                        seed=seed,
                        step=step,
                        last=last,
                        error_ev=float(error),
                    )
                    found.append(record)
    return found


def embeddings(rng, records, *, n=80, d=6, rising=True):
    """One array a checkpoint: a common signal, the louder the smaller (or the larger) the error."""
    signal, found = rng.normal(size=(n, d)), {}
    for record in records:
        noise = 3 * record.error_ev if rising else 0.6 - record.error_ev
        own = rng.normal(size=(n, d))
        found[record.model] = (signal + noise * own).astype(np.float32)
    return found
