"""The part of a run that looks for trivial explanations: its settings, and what the report gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxalign import api
from jaxalign.analysis.confounding.explained import explain
from jaxalign.analysis.confounding.explained_summary import explanation_summary
from jaxalign.analysis.confounding.strata import KINDS
from jaxalign.models.registry import model_entry
from jaxalign.significance.permutations import require_permutations

_KEYS = ("given", "by", "metrics", "permutations")


def check_settings(settings: ConfigDict | Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings of a config, checked before any model runs.

    Args:
      settings: `permutations` (0: no explanations), `given` (registry ids of controls), `by` (kind
        of strata) and `metrics`; what is missing or empty has the defaults of `explain`.

    Returns:
      Arguments of `explain`; empty if nothing is to be explained.

    Raises:
      ValueError: an unknown name, or too few permutations.
    """
    given = dict(settings or {})
    if unknown := sorted(set(given) - set(_KEYS)):
        raise ValueError(f"explain takes {', '.join(_KEYS)}: got {', '.join(unknown)} too")
    if not given.get("permutations"):
        return {}
    require_permutations(given["permutations"])
    for name in given.get("given") or ():
        model_entry(name)
    if given.get("by") and given["by"] not in KINDS:
        raise ValueError(f"explain.by={given['by']!r} is unknown: choose one of {', '.join(KINDS)}")
    return {
        "given": tuple(given.get("given") or ()),
        "by": given.get("by") or "",
        "metrics": tuple(given.get("metrics") or ()),
        "permutations": given["permutations"],
    }


def explanations_of(
    embeddings: Mapping[str, Any],
    alignment: api.Alignment,
    structures: api.StructureSet,
    wanted: Mapping[str, Any],
    **settings: Any,
) -> dict[str, Any] | None:
    """Writes the tables and returns what the report shows of them.

    Args:
      embeddings: what was aligned.
      alignment: the alignment.
      structures: what was embedded.
      wanted: see `check_settings`.
      **settings: further arguments of `explain`; of several k the first alone is asked, for every
        null draw computes them all.
    """
    if not wanted:
        return None
    settings["k"] = _first(settings.get("k"))
    explained = explain(embeddings, alignment, structures, **wanted, **settings)
    return explanation_summary(explained, alignment.cards)


def _first(k: Any) -> Any:
    if isinstance(k, Mapping):
        return {metric: _first(values) for metric, values in k.items()}
    return k[0] if isinstance(k, Sequence) else k
