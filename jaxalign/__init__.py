"""How far do the representations of scientific foundation models agree?

    import jaxalign as ja

    structures = ja.load_dataset("qm9", n=1000, seed=0)
    x, y = (ja.embed(model, structures) for model in ("ecfp4", "composition"))
    alignment = ja.align({"ecfp4": x, "composition": y})
    alignment.matrix("cknna")

Importing the package starts nothing and imports neither JAX nor RDKit: names are resolved on first
use (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxalign import metrics as metrics
    from jaxalign.alignment.results import Alignment as Alignment
    from jaxalign.api import Embeddings as Embeddings
    from jaxalign.api import Energies as Energies
    from jaxalign.api import ModelCard as ModelCard
    from jaxalign.api import Neighbors as Neighbors
    from jaxalign.api import NodeEmbeddings as NodeEmbeddings
    from jaxalign.api import Score as Score
    from jaxalign.api import Structure as Structure
    from jaxalign.api import StructureSet as StructureSet
    from jaxalign.api import align as align
    from jaxalign.api import compare as compare
    from jaxalign.api import compare_scores as compare_scores
    from jaxalign.api import conditional_alignment as conditional_alignment
    from jaxalign.api import embed as embed
    from jaxalign.api import embed_nodes as embed_nodes
    from jaxalign.api import explanations as explanations
    from jaxalign.api import load as load
    from jaxalign.api import load_dataset as load_dataset
    from jaxalign.api import load_weights as load_weights
    from jaxalign.api import nearest_models as nearest_models
    from jaxalign.api import neighbors as neighbors
    from jaxalign.api import perturb as perturb
    from jaxalign.api import predict_energies as predict_energies
    from jaxalign.api import read_embeddings as read_embeddings
    from jaxalign.api import read_structures as read_structures
    from jaxalign.api import rotation_drift as rotation_drift
    from jaxalign.api import score_curves as score_curves
    from jaxalign.api import strata as strata
    from jaxalign.api import write_report as write_report
    from jaxalign.learning import losses as losses
    from jaxalign.learning.networks.architectures import build_network as build_network
    from jaxalign.learning.selection.select import select as select
    from jaxalign.learning.training.settings import TrainingSettings as TrainingSettings
    from jaxalign.learning.training.task import make_task as make_task
    from jaxalign.learning.training.train import train as train

__all__ = [
    "Alignment",
    "Embeddings",
    "Energies",
    "ModelCard",
    "Neighbors",
    "NodeEmbeddings",
    "Score",
    "Structure",
    "StructureSet",
    "TrainingSettings",
    "align",
    "build_network",
    "compare",
    "compare_scores",
    "conditional_alignment",
    "embed",
    "embed_nodes",
    "explanations",
    "load",
    "load_dataset",
    "load_weights",
    "losses",
    "make_task",
    "metrics",
    "nearest_models",
    "neighbors",
    "perturb",
    "predict_energies",
    "read_embeddings",
    "read_structures",
    "rotation_drift",
    "score_curves",
    "select",
    "strata",
    "train",
    "write_report",
]


_MODULES = {"metrics": "jaxalign.metrics", "losses": "jaxalign.learning.losses"}
# Not through `api`, which every command imports: orbax takes a second.
_LEARNING = {
    "TrainingSettings": "jaxalign.learning.training.settings",
    "build_network": "jaxalign.learning.networks.architectures",
    "make_task": "jaxalign.learning.training.task",
    "select": "jaxalign.learning.selection.select",
    "train": "jaxalign.learning.training.train",
}


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in __all__:
        raise AttributeError(f"module 'jaxalign' has no attribute {name!r}")
    return getattr(importlib.import_module(_LEARNING.get(name, "jaxalign.api")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
