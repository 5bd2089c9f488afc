"""The optional packages of this room: scikit-learn, imported where it is used."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType

from jaxalign.types import MissingExtraError as MissingExtraError


def require_sklearn(module: str = "") -> ModuleType:
    """A module of scikit-learn.

    Args:
      module: its name below `sklearn`; "" for the package.

    Raises:
      MissingExtraError: scikit-learn is not installed; the message names the extra.
    """
    return _require(f"sklearn.{module}" if module else "sklearn")


def single_thread() -> contextlib.AbstractContextManager:
    """Runs linear algebra of NumPy and scikit-learn in one thread.

    Fits of some hundred rows take 10 to 30 times the processor time where threads wait for each
    other.
    """
    return _require("threadpoolctl").threadpool_limits(limits=1)


def _require(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"probes need scikit-learn, which cannot be imported ({error}); install it with: "
            "pip install 'jaxalign[learning]'"
        ) from error
