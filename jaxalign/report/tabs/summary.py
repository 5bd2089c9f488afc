"""What the numbers say, in sentences; and the facts of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.models.card import ModelCard
from jaxalign.report.tabs.parts import Part
from jaxalign.report.vocabulary import labels, tables
from jaxalign.report.vocabulary.relations import kind
from jaxalign.report.vocabulary.source import AlignmentLike, MetricView, Pair

_KINDS = (
    ("untrained", "untrained model"),
    ("descriptor", "descriptor"),
    ("noise", "noise control"),
)
_UNLISTED = (
    *(
        "ids",
        "graph_keys",
        "models",
        "metrics",
        "skipped",
        "unseen_inputs",
        "failed_models",
        "command",
        "title",
        "estimates",
        "rotations",
        "exchangeable",
        "explanations",
        "score_curves",
        "energy_errors",
        "disagreements",
        "replicates",
        "in_distribution_of",
        "training_data",
        "labels",
        "sources",
        "recipe",
        "embedding",
    ),
)
_HANDLED = ("n", "dataset", "devices", "tile_size", "precision", "versions", "seconds", "seed")


def lead(cards: Sequence[ModelCard], diagnostics: Mapping[str, Any]) -> str:
    """One paragraph: what was compared."""
    where = f" of {data}" if (data := dataset_name(diagnostics)) else ""
    structures = labels.count(int(diagnostics.get("n") or 0), "structure")
    return (
        f"{structures}{where} were embedded by {_model_words(cards)}. For every pair of models the "
        "scores below say how far the two agree about which structures resemble each other."
    )


def _model_words(cards: Sequence[ModelCard]) -> str:
    """Number of models and of each kind."""
    pretrained = [card for card in cards if kind(card) == "model"]
    parts = []
    if pretrained:
        families = {card.family for card in pretrained if card.family}
        modalities = sorted({card.modality for card in pretrained if card.modality})
        words = labels.count(len(pretrained), "pretrained model" if families else "model")
        if families and modalities:
            words += f" of {labels.count(len(families), 'family', 'families')}"
            words += f" (input: {labels.joined(modalities)})"
        parts.append(words)
    for name, noun in _KINDS:
        if found := sum(kind(card) == name for card in cards):
            parts.append(labels.count(found, noun))
    models = labels.count(len(cards), "model")
    return models if parts == [models] else f"{models}: {labels.joined(parts)}"


def findings(view: MetricView, *, n: int, tested: bool) -> list[str]:
    """What stands out under one metric, with its numbers and without claims beyond them.

    Args:
      view: scores of all pairs.
      n: number of structures.
      tested: whether the run computed p-values.

    Returns:
      Sentences.
    """
    said = [_chance(view, n), *_discoveries(view)]
    said += _group(view, "same_family", "Pretrained models of the same family")
    said += _group(view, "cross_modality", "Pretrained models across modalities")
    said += _group(view, "untrained", "Pairs with an untrained network")
    if best := _strongest(view):
        value = labels.score(best.value)
        names = f"{view.ids[best.a]} and {view.ids[best.b]}"
        said.append(f"Strongest pair across modalities: {names} with {value}.")
    if not any(np.isfinite(pair.value) for pair in view.pairs):
        said.append("No pair of different models has a value.")
    if not tested:
        said.append(
            "These are raw scores of one sample of structures: no significance test or interval "
            "has been computed."
        )
    return said


def study_lead(parts: Sequence[Part]) -> str:
    """One paragraph: what was compared, over all data sets."""
    if len(parts) == 1:
        return lead(list(parts[0].alignment.cards.values()), parts[0].alignment.diagnostics)
    cards = {name: card for part in parts for name, card in part.alignment.cards.items()}
    sizes = labels.joined([f"{part.name} ({part.n:,})" for part in parts])
    return (
        f"Structures of {len(parts)} data sets, {sizes}, were embedded by "
        f"{_model_words(list(cards.values()))}. For every pair of models the scores below say how "
        "far the two agree about which structures resemble each other."
    )


def dataset_name(diagnostics: Mapping[str, Any]) -> str:
    """Name of the data set, or ""."""
    data = diagnostics.get("dataset") or ""
    return str(data.get("name") or "") if isinstance(data, Mapping) else str(data)


def run_facts(alignment: AlignmentLike, views: Sequence[MetricView]) -> list[tuple[str, str]]:
    """(name, value) lines that make the run repeatable."""
    facts = alignment.diagnostics
    data = facts.get("dataset")
    content = data if isinstance(data, Mapping) else {}
    lines = [("Structures", f"{int(facts.get('n') or 0):,}"), ("Data set", dataset_name(facts))]
    lines += [(_words(key), _plain(value)) for key, value in content.items() if key != "name"]
    for view in views:
        settings = [f"k = {view.k}" if view.k is not None else "", view.normalization]
        lines.append((f"{view.title} ({view.metric})", ", ".join(filter(None, settings))))
    types = sorted({str(t) for t in alignment.table.get("dtype", ()) if isinstance(t, str)})
    lines.append(("Type of the embeddings", labels.joined(types)))
    lines += [
        (_words(key), _plain(facts.get(key))) for key in ("precision", "tile_size", "devices")
    ]
    lines.append(("Seed", _plain(facts.get("seed"))))
    lines.append(("Time per stage", _seconds(facts.get("seconds") or {})))
    lines.append(("Versions", _plain(facts.get("versions"))))
    others = [key for key in facts if key not in (*_HANDLED, *_UNLISTED)]
    lines += [(_words(key), _plain(facts[key])) for key in others]
    return [(name, value) for name, value in lines if value]


def losses(
    alignment: AlignmentLike, views: Sequence[MetricView]
) -> dict[str, list[tuple[str, str]]]:
    """What is missing and why: heading → (what, reason) lines; empty groups are left out."""
    facts = alignment.diagnostics
    skipped = [
        (
            " · ".join(str(item[key]) for key in ("model", "where", "id") if item.get(key)),
            str(item.get("reason") or ""),
        )
        for item in facts.get("skipped") or ()
    ]
    unseen = [(str(name), str(what)) for name, what in (facts.get("unseen_inputs") or {}).items()]
    failed = [(str(name), str(why)) for name, why in (facts.get("failed_models") or {}).items()]
    cells = [(f"{view.title}: {where}", why) for view in views for where, why in view.nan_reasons]
    groups = {
        "Skipped structures": skipped,
        "Parts of structures that a model does not see": unseen,
        "Models without scores": failed,
        "Cells without a value": cells,
    }
    return {name: lines for name, lines in groups.items() if lines}


def _chance(view: MetricView, n: int) -> str:
    words = []
    if view.floor is not None:
        pairs = labels.count(view.spreads["noise"].count, "pair")
        words.append(f"Noise floor: {pairs} with noise score {labels.score(view.floor)} on average")
    if view.null is not None:
        expected = f"independent representations are expected to score {labels.score(view.null)}"
        settings = f"k = {view.k}, n = {n:,}" if view.k is not None else f"n = {n:,}"
        words.append(f"{expected} ({settings})")
    if not words:
        return "This run has no noise control, and the metric no closed form of its chance level."
    sentence = "; ".join(words) + "."
    return sentence[:1].upper() + sentence[1:]


def _discoveries(view: MetricView) -> list[str]:
    q, _ = view.tested
    if not len(q):
        return []
    found = int((q <= tables.DISCOVERY).sum())
    return [
        f"{found:,} of {labels.count(len(q), 'pair')} stand out from a random relabelling of the "
        f"structures at a false-discovery rate of {100 * tables.DISCOVERY:.0f} %. What both models "
        "see in common, such as composition or size, is enough for that."
    ]


def _group(view: MetricView, name: str, subject: str) -> list[str]:
    found = view.spreads.get(name)
    if found is None or not found.count:
        return []
    mean, pairs = labels.score(found.mean), labels.count(found.count, "pair")
    base = view.floor if view.floor is not None else view.null
    ratio = ""
    # Ratios to a floor near zero, or of a metric that may be negative, would say nothing.
    if view.similarity and base is not None and base > 1e-3 and found.mean > 0:
        against = "the noise floor" if view.floor is not None else "the chance level"
        ratio = f", {labels.fixed(found.mean / base, 1)} times {against}"
    if found.count == 1:
        return [f"{subject}: {mean}, a single pair{ratio}."]
    limits = f"{labels.score(found.low)} to {labels.score(found.high)}"
    return [f"{subject}: {mean} on average over {pairs} ({limits}){ratio}."]


def _strongest(view: MetricView) -> Pair | None:
    found = [
        pair for pair in view.pairs if pair.relation == "cross_modality" and np.isfinite(pair.value)
    ]
    sign = 1.0 if view.similarity else -1.0
    return max(found, key=lambda pair: sign * pair.value, default=None)


def _words(key: str) -> str:
    return key[:1].upper() + key[1:].replace("_", " ")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        stated = {str(k): _plain(v) for k, v in value.items()}
        return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in stated.items() if v)
    if isinstance(value, list | tuple | set):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _seconds(stages: Mapping[str, float]) -> str:
    if not isinstance(stages, Mapping):
        return f"{float(stages):,.1f} s"
    return ", ".join(f"{_words(name).lower()} {float(s):,.1f} s" for name, s in stages.items())
