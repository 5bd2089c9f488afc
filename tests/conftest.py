"""Strict settings for every test: silent promotion, rank promotion and warnings are errors."""

import jax
import pytest

jax.config.update(
    "jax_num_cpu_devices", 8
)  # before first use: the sharded paths run on every laptop
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def rng(request) -> "np.random.Generator":
    """A generator whose seed is fresh in every run and printed when the test fails."""
    import numpy as np

    seed = int(np.random.SeedSequence().entropy % 2**32)
    request.node.add_report_section("setup", "random seed", f"seed of rng: {seed}")
    return np.random.default_rng(seed)
