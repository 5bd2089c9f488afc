"""The JAX version guard: work never starts on a release that is known to compute wrong results."""

from __future__ import annotations

import functools
import importlib.metadata

from jaxalign.types import JaxalignError

_FAULT = (
    "a vmapped matrix-vector product followed by a reduction returns a wrong last row on CPU, "
    "silently (jax issue 39103)"
)
EXCLUDED_VERSIONS = {"0.10.2": _FAULT, "0.11.0": _FAULT, "0.11.1": _FAULT}
_FIX = (
    "pip install 'jax>=0.10,!=0.10.2,!=0.11.0,!=0.11.1' 'jaxlib>=0.10,!=0.10.2,!=0.11.0,!=0.11.1'"
)


class UnsupportedJaxError(JaxalignError):
    """The installed jax or jaxlib is known to compute wrong results."""


def check_versions(versions: dict[str, str]) -> None:
    """Refuses excluded releases.

    Args:
      versions: installed version of each package, e.g. `{"jax": "0.10.1", "jaxlib": "0.10.1"}`.

    Raises:
      UnsupportedJaxError: naming the version, the fault and the fix.
    """
    for package, version in versions.items():
        fault = EXCLUDED_VERSIONS.get(version.split("+")[0])
        if fault is not None:
            raise UnsupportedJaxError(
                f"{package} {version} computes wrong results: {fault}. "
                f"Install another release, then run again:\n    {_FIX}"
            )


@functools.cache
def require_sound_jax() -> None:
    """Checks the installed jax and jaxlib once; called where work starts, never on import."""
    check_versions({name: importlib.metadata.version(name) for name in ("jax", "jaxlib")})
