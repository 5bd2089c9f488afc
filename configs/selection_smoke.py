"""A selection in seconds that fetches nothing: descriptors on 120 molecules and 120 crystals.

    jaxalign select --config=configs/selection_smoke.py --workdir=selection_smoke

Shows the way, and says nothing about encoders: the orders of four descriptors are few.
"""

import importlib.util
from pathlib import Path

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The default selection with few structures and descriptors alone."""
    path = Path(__file__).with_name("selection.py")
    spec = importlib.util.spec_from_file_location("selection", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for own in config.datasets.values():
        own.dataset.n = 120
        own.models = ("composition", "atom-count", "soap", "gaussian-noise")
    config.target = 40
    config.test = 40
    config.draws = 2
    config.metrics = ("cka",)
    config.permutations = 199
    return config
