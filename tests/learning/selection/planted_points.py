"""Tasks whose criteria are planted."""

from jaxalign.learning.selection.criteria import ALIGNMENT, LABEL_FREE, PROBE, Criterion
from jaxalign.learning.selection.points import TaskPoints

CRITERIA = (
    Criterion("probe:ridge", "ridge", PROBE, -1, ""),
    Criterion("label:cka", "CKA", ALIGNMENT, 1, ""),
    Criterion("own:width", "width", LABEL_FREE, 1, ""),
)
FAMILIES = ("a", "a", "b", "c", "d", "d", "e", "f")


def planted(task, rng, *, good="label:cka", dataset="data", draws=3):
    """Eight candidates; one criterion follows the errors closely, the others are noise."""
    errors = 0.2 + rng.permutation(8) / 8 + 0.001 * rng.uniform(size=(draws, 8))
    scores = rng.normal(size=(draws, len(CRITERIA), 8))
    place = [criterion.id for criterion in CRITERIA].index(good)
    scores[:, place] = -errors + 1e-4 * rng.normal(size=(draws, 8))
    names = tuple(f"m{number}" for number in range(8))
    ids = tuple(criterion.id for criterion in CRITERIA)
    return TaskPoints(task, dataset, names, FAMILIES, ids, scores, errors)
