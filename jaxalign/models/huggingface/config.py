"""A config.json, read as what a stranger wrote: every value is checked before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxalign.models.weight_files.weights import WeightsError

MAX_CONFIG_BYTES = 2**20
MOST_LAYERS = 1000
_LARGEST = 2**31 - 1


class ModelConfig:
    """The values of a config.json, each of the type that is asked for.

    Args:
      values: name → value.
      source: what to call it in messages.
    """

    def __init__(self, values: Mapping[str, Any], *, source: str = "config.json"):
        self._values, self._source = dict(values), source

    @classmethod
    def from_json(cls, data: bytes, *, source: str = "config.json") -> ModelConfig:
        """Reads the content of a file.

        Raises:
          WeightsError: if it is too long, no JSON or no object.
        """
        if len(data) > MAX_CONFIG_BYTES:
            raise WeightsError(
                f"{source} has {len(data):,} bytes; the limit is {MAX_CONFIG_BYTES:,}"
            )
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{source} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise WeightsError(f"{source} holds a {type(values).__name__}, no object")
        return cls(values, source=source)

    def get(self, name: str) -> Any:
        """The value as it is, or None."""
        return self._values.get(name)

    def replaced(self, **values: Any) -> ModelConfig:
        """The same configuration with other values."""
        return ModelConfig({**self._values, **values}, source=self._source)

    def integer(
        self, name: str, default: int | None = None, *, least: int = 1, most: int = _LARGEST
    ) -> int:
        """A whole number from `least` to `most`; null counts as not stated."""
        value = self._values.get(name)
        value = default if value is None else value
        if type(value) is not int or not least <= value <= most:
            raise self._error(name, f"a whole number from {least} to {most:,}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A positive finite number."""
        value = self._values.get(name)
        value = default if value is None else value
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not 0 < value <= 1e300 or not math.isfinite(value):
            raise self._error(name, "a positive number")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self._values.get(name)
        value = default if value is None else value
        if type(value) is not bool:
            raise self._error(name, "true or false")
        return value

    def choice(self, name: str, known: Sequence[str], default: str | None = None) -> str:
        """One of several words."""
        value = self._values.get(name)
        value = default if value is None else value
        if not isinstance(value, str) or value not in known:
            raise self._error(name, f"one of {', '.join(known)}")
        return value

    def part(self, name: str) -> ModelConfig | None:
        """An object inside the configuration; None if there is none."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._error(name, "an object")
        return ModelConfig(value, source=f"{name} of {self._source}")

    def require(self, name: str, wanted: Any, *, default: Any, why: str) -> None:
        """Makes sure that a setting has the one value that is supported.

        Raises:
          WeightsError: if not; the message names it and says why.
        """
        value = self._values.get(name)
        value = default if value is None else value
        if value != wanted:
            raise WeightsError(
                f"{self._source} says {name} = {value!r}; supported is {wanted!r} ({why})"
            )

    def _error(self, name: str, wanted: str) -> WeightsError:
        came = repr(self._values[name]) if name in self._values else "absent"
        return WeightsError(f"{name} in {self._source} is {came:.80}; wanted {wanted}")
