"""Result records shared by all rooms, and the base class of errors that speak to the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

# An `[n, d]` array of floats as users pass it (NumPy, JAX, nested lists). `validation.check_matrix`
# checks shape and dtype on the host, with messages that say how to mend them.
MatrixLike = Any
# One label or id a row, as users pass them.
Labels = Sequence[Any] | np.ndarray


class JaxalignError(Exception):
    """An error whose message alone tells the user what came, what was wanted and how to mend it.

    The command line prints it as one message without a traceback and exits with status 1.
    """


class MissingExtraError(JaxalignError):
    """Packages that an extra of jaxalign brings are not installed; the message names the extra."""


@dataclasses.dataclass(frozen=True)
class Score:
    """One alignment value with everything needed to read it.

    Attributes:
      value: the score; NaN when the input is degenerate (`diagnostics["reason"]` then says why).
      metric: metric id, e.g. `"cknna"` or `"cknna:platonic"`.
      diagnostics: n, k, normalization, variant, dtype, precision, duplicate groups, zero rows,
        tie fraction, hubness, …
    """

    value: float
    metric: str
    diagnostics: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __float__(self) -> float:
        return float(self.value)


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbors:
    """Exact k nearest neighbors of every row, nearest first; a row is never its own neighbor.

    Attributes:
      indices: `[n, k]` int32 row numbers; equal ordering values are ordered by row number.
      scores: `[n, k]` float32; similarities (descending) for `"cosine"` and `"inner"`, distances
        (ascending) for `"euclidean"`.
      similarity: `"cosine"`, `"inner"` or `"euclidean"`.
      diagnostics: tie fraction, number of rows searched in full, tile size, …
    """

    indices: Int[np.ndarray, "n k"]
    scores: Float[np.ndarray, "n k"]
    similarity: str
    diagnostics: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def k(self) -> int:
        """Neighbors per row."""
        return self.indices.shape[1]
