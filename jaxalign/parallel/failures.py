"""An error on one process is an error on all: nobody waits for a process that has given up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jaxalign.parallel.multihost import exchange_objects
from jaxalign.types import JaxalignError


@contextlib.contextmanager
def stop_together() -> Iterator[None]:
    """A block that all processes enter; if it fails on some of them, it raises on all.

    The block itself must not exchange anything. Every process raises the error of the first process
    that failed, of the same kind and with the same text; one process alone is not affected.

    Raises:
      Exception: what the block raised, here or elsewhere.
    """
    mine: Exception | None = None
    try:
        yield
    except Exception as error:
        mine = error
    stated = exchange_objects(None if mine is None else [type(mine).__name__, str(mine)])
    first = next((index for index, found in enumerate(stated) if found), None)
    if first is None:
        return
    kind, text = stated[first]
    if mine is not None and [type(mine).__name__, str(mine)] == [kind, text]:
        raise mine
    raise _kinds().get(kind, JaxalignError)(text)


def _kinds() -> dict[str, type[Exception]]:
    found: dict[str, type[Exception]] = {"ValueError": ValueError, "TypeError": TypeError}
    waiting: list[type[Exception]] = [JaxalignError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found
