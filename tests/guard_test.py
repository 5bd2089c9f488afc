"""The guard refuses faulty releases, and the fault itself does not occur on the installed one."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import guard


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0", "0.11.1", "0.10.2+cpu"])
@pytest.mark.parametrize("package", ["jax", "jaxlib"])
def test_faulty_release_is_named_with_fault_and_fix(package, version):
    with pytest.raises(guard.UnsupportedJaxError) as error:
        guard.check_versions({"jax": "0.10.1", "jaxlib": "0.10.1", package: version})
    message = str(error.value)
    assert f"{package} {version}" in message
    assert "wrong last row" in message
    assert re.search(r"pip install .*jaxlib>=0\.10,!=0\.10\.2", message)


def test_installed_release_is_accepted():
    guard.require_sound_jax()


def test_importing_starts_nothing():
    heavy = ("jax", "rdkit", "ase", "pandas", "matplotlib")
    code = f"import sys, jaxalign; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("dtype", "n"), [(np.float64, 16_385), (np.float32, 32_769)])
def test_vmapped_matvec_and_reduction_is_right_in_every_row(dtype, n):
    # The reproduction of jax issue 39103: on jaxlib 0.10.2 the last row is wrong under jit.
    with jax.enable_x64(True):
        x = np.stack([np.arange(n), np.zeros(n), np.zeros(n)], axis=1).astype(dtype)
        matrix = jnp.eye(3, dtype=dtype)
        f = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))
        np.testing.assert_array_equal(np.asarray(f(x)), np.arange(n).astype(dtype) ** 2)
