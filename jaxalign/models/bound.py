"""Functions with settings bound to them, so that equal ones are one object."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any


@functools.cache
def bind(
    function: Callable[..., Any], *settings: Hashable, **named: Hashable
) -> Callable[..., Any]:
    """`functools.partial`, but the same object for the same function and equal settings.

    What is compiled is found again by the identity of the function: so checkpoints of one network,
    and a network that is loaded twice, share their compilations.

    Args:
      function: of settings and further arguments.
      *settings: its first arguments.
      **named: named arguments.

    Returns:
      The function of the further arguments.
    """
    return functools.partial(function, *settings, **named)
