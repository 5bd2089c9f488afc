"""Compilations are counted once each, and not when a program runs again."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.profiling.compilations import Compilations, compilations


def test_a_new_program_counts_and_a_second_call_does_not(rng):
    factor = float(rng.normal())  # so that no other test has compiled this very program
    program = jax.jit(lambda x: jnp.sort(x * factor))
    x = jax.device_put(np.ones(7, np.float32))
    before = compilations()
    program(x).block_until_ready()
    made = compilations() - before
    assert made.compiled == 1
    assert made.cached == 0
    assert made.seconds > 0
    before = compilations()
    program(x).block_until_ready()
    assert compilations() - before == Compilations()


def test_description_names_the_cache_only_where_it_was_read():
    assert Compilations(3, 0, 1.26).describe() == "compiled 3 programs, in 1.3 s"
    assert "read 2 from the compilation cache" in Compilations(1, 2, 0.1).describe()
