"""Networks by name of their architecture."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jaxalign.learning.networks.bond_messages import build_dmpnn
from jaxalign.learning.networks.invariant import build_invariant
from jaxalign.learning.networks.network import Network
from jaxalign.learning.networks.smiles_transformer import build_transformer
from jaxalign.types import MissingExtraError

_Builder = Callable[..., Network]


def _equivariant() -> _Builder:
    try:
        importlib.import_module("e3nn_jax")
    except ImportError as error:
        raise MissingExtraError(
            f"the equivariant network needs e3nn-jax, which cannot be imported ({error}); install "
            "it with: pip install 'jaxalign[learning]'"
        ) from error
    # Only now, so that this module imports without the extra.
    from jaxalign.learning.networks.equivariant import build_equivariant

    return build_equivariant


_BUILDERS: Mapping[str, Callable[[], _Builder]] = MappingProxyType(
    {
        "invariant": lambda: build_invariant,
        "equivariant": _equivariant,
        "dmpnn": lambda: build_dmpnn,
        "transformer": lambda: build_transformer,
    }
)
ARCHITECTURES = tuple(_BUILDERS)
"""Names that `build_network` knows."""


def build_network(architecture: str, *, width: int, depth: int, **more: Any) -> Network:
    """A network without parameters.

    Args:
      architecture: a name of `ARCHITECTURES`.
      width: channels of a node, and the width of its embeddings.
      depth: steps of message passing, or layers.
      more: further settings of the architecture, e.g. `cutoff` in Å.

    Returns:
      The network; its `settings` hold also those that were left at their default.

    Raises:
      ValueError: for an unknown architecture or setting, or a size that cannot be.
      JaxalignError: if a package of the extra `learning` is missing; the message names the extra.
    """
    if architecture not in _BUILDERS:
        raise ValueError(
            f"unknown architecture {architecture!r}; pass one of {', '.join(ARCHITECTURES)}"
        )
    builder = _BUILDERS[architecture]()
    defaults = _further_settings(builder)
    if unknown := sorted(set(more) - set(defaults)):
        raise ValueError(
            f"{architecture} has no setting {', '.join(map(repr, unknown))}; besides width and "
            f"depth there is: {', '.join(sorted(defaults)) or 'nothing'}"
        )
    sizes = {"width": width, "depth": depth, **more}
    for name, size in sizes.items():
        _check_size(name, size, whole=not isinstance(defaults.get(name), float))
    return _named_after_settings(builder(**sizes), defaults)


def _further_settings(builder: _Builder) -> dict[str, Any]:
    """Name → default; width and depth have none."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _check_size(name: str, size: Any, *, whole: bool) -> None:
    number = isinstance(size, int if whole else int | float) and not isinstance(size, bool)
    if not number or not (1 if whole else 0) <= size < float("inf") or not size:
        wanted = "an integer of at least 1" if whole else "a positive number"
        raise ValueError(f"{name} of a network must be {wanted}: got {size!r}")


def _named_after_settings(network: Network, defaults: Mapping[str, Any]) -> Network:
    """The settings that are no defaults go into the id: networks of one id are the same."""
    changed = (
        f"-{name}{network.settings[name]:g}"
        for name, default in defaults.items()
        if network.settings[name] != default
    )
    card = dataclasses.replace(network.card, id=network.card.id + "".join(changed))
    return dataclasses.replace(network, card=card)
