"""Every study that is shipped can be planned: its models, data sets and settings exist."""

import importlib.util
from pathlib import Path

import pytest

from jaxalign.alignment.plan import plan_metrics
from jaxalign.launch.run_settings import dataset_settings, model_corpora
from jaxalign.models.registry import model_entry
from jaxalign.structures.datasets import list_datasets

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", ["regimes", "paper"])
def test_a_study_names_what_there_is(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = module.get_config().to_dict()
    sizes = {card.name: card.size for card in list_datasets()}
    trained = set()
    for own in dataset_settings(settings).values():
        n = own["dataset"]["n"] or sizes[own["dataset"]["name"]]
        assert n <= sizes[own["dataset"]["name"]]
        plan_metrics(own["metrics"], k=own["k"], normalize=own["normalize"], n=n)
        assert len(set(own["models"])) == len(own["models"])
        trained |= {m for m in own["models"] if model_entry(m).card.pretrained}
        assert set(own["in_distribution_of"]) <= set(own["models"])
        if not isinstance(own.get("energies") or False, bool):
            assert set(own["energies"]) <= set(own["models"])
    assert set(model_corpora(settings["training_data"])) <= trained
    assert name != "regimes" or len(trained) >= 30
