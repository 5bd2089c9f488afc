"""Settings of a study as its config states them → settings of each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def dataset_settings(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Data set → the settings of a plain run of it.

    Args:
      settings: the config as a plain dictionary. `regimes` maps data set → what is different there
        from the rest; of `dataset` single keys are enough.

    Returns:
      Settings by data set, in the order of the config.
    """
    common = {name: value for name, value in settings.items() if name != "regimes"}
    return {
        name: {**common, **own, "dataset": {**common["dataset"], **own.get("dataset", {})}}
        for name, own in settings["regimes"].items()
    }


def model_corpora(training_data: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Model → training corpus.

    Args:
      training_data: corpus → models.

    Raises:
      ValueError: a model under two corpora.
    """
    found: dict[str, str] = {}
    for corpus, names in training_data.items():
        for name in names:
            if name in found:
                raise ValueError(
                    f"training_data names {name!r} under {found[name]!r} and under {corpus!r}: "
                    "every model has one corpus here; name their union"
                )
            found[name] = corpus
    return found
