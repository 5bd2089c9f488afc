"""Flags of every verb that computes: compilation cache, profiler; and the count of compilations.

A verb adopts them with `flags.adopt_module_key_flags(runtime)` and works inside `session()`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
from absl import flags, logging

from jaxalign.profiling.compilations import compilations
from jaxalign.profiling.traces import trace

# Off unless asked for: on CPUs a stored program holds instructions of the machine that compiled it,
# and a home folder may serve unlike hosts.
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder that keeps compiled programs for later runs on the same kind of machine (also gs://); "
    "worth it on TPUs and GPUs, and for runs of seconds. On CPUs XLA prints a line for every "
    "program that it reads back.",
)
_PROFILE = flags.DEFINE_string(
    "profile",
    None,
    "Folder for a jax.profiler trace (TensorBoard, XProf; *.trace.json.gz also for Perfetto), in "
    "which stages are named `jaxalign …`. For runs of seconds to a minute: traces grow quickly.",
)


def profile_folder() -> Path | None:
    """What --profile names."""
    return Path(_PROFILE.value) if _PROFILE.value else None


@contextlib.contextmanager
def session(*, profile: bool = True) -> Iterator[None]:
    """The settings of the flags around a verb's work; logs what was compiled at the end.

    Args:
      profile: trace the whole block if --profile is given; False for verbs that trace parts.
    """
    if _CACHE.value:
        use_compilation_cache(_CACHE.value)
    before = compilations()
    with trace(profile_folder() if profile else None):
        yield
    logging.info("%s", (compilations() - before).describe())


def use_compilation_cache(folder: str) -> None:
    """Keeps compiled programs in a folder, however small they are.

    Args:
      folder: local or remote; created at the first write.
    """
    jax.config.update("jax_compilation_cache_dir", folder)
    # The defaults of JAX keep what took a second; the programs here take less, and are many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
