"""Which process this is; single-process runs are process 0 of 1."""

from __future__ import annotations

import jax


def is_primary_process() -> bool:
    """True on the one process that prints progress and writes tables."""
    return jax.process_index() == 0
