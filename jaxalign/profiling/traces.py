"""Traces of `jax.profiler`, and the names under which stages of the work appear in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jax


def stage(name: str) -> contextlib.AbstractContextManager[None]:
    """Names what the host does inside the block; costs nothing while nobody traces.

    Traces show it as `jaxalign NAME`, above the device programs that the block starts.
    """
    return jax.profiler.TraceAnnotation(f"jaxalign {name}")


@contextlib.contextmanager
def trace(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Writes a trace of the block for TensorBoard, XProf or Perfetto; None writes nothing.

    Args:
      folder: where it goes; of several processes, each writes into a folder of its own below.
    """
    if folder is None:
        yield
        return
    if jax.process_count() > 1:
        folder = os.path.join(folder, f"process-{jax.process_index():04d}")
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # calls of Python functions would drown the stages
    with jax.profiler.trace(os.fspath(folder), profiler_options=options):
        yield
