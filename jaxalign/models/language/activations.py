"""Activation functions of language models by the names that their configurations use."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
from jaxtyping import Array, Float

_Values = Float[Array, "..."]

_TANH_GELU = functools.partial(jax.nn.gelu, approximate=True)

# "gelu" is x Φ(x) with the exact error function; the others of that name go through tanh.
ACTIVATIONS: Mapping[str, Callable[[_Values], _Values]] = MappingProxyType(
    {
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "gelu_new": _TANH_GELU,
        "gelu_pytorch_tanh": _TANH_GELU,
        "relu": jax.nn.relu,
        "silu": jax.nn.silu,
        "swish": jax.nn.silu,
    }
)
