"""Trains a toy network into the folder that it is given: a program to be killed."""

import sys

import jax

from jaxalign.learning.training.train import train
from tests.learning.training import toys

if __name__ == "__main__":
    folder, seed, devices = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    jax.config.update("jax_num_cpu_devices", devices)
    settings = toys.settings(steps=40, evaluate_every=4, checkpoints_per_decade=3)
    train(toys.network(), toys.quick_task(seed), settings, folder, seed=seed, save_seconds=0)
