"""How the engine scales with devices, structures, width, models, k and tile size.

    jaxalign sweep --config=configs/scaling.py --workdir=scaling

Takes 5 to 8 minutes on two CPU cores. Expected there: no speed-up from virtual devices, which
share the cores; nothing is compiled while a call is timed; search and sweep come nearer to their
floors as n grows.

Override anything, e.g. --config.base.n=16384 --config.vary.n="(4096,8192,16384,32768)"
--config.parts="('search','grams')" --config.mode=grid.
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The default sweep."""
    config = config_dict.ConfigDict()
    # neighbor search, Gram sweep, exact ranks, pairs of graphs, the whole alignment
    config.parts = ("search", "grams", "ranks", "pairs", "align")
    config.base = config_dict.create(
        n=8192,
        d=128,
        models=4,
        k=25,
        devices=config_dict.placeholder(int),  # None: one a process
        tile_size=config_dict.placeholder(int),  # None: each function's own
    )
    config.mode = "each"  # or "grid": all combinations of what is varied
    config.vary = config_dict.create(
        n=(2048, 4096, 8192, 16384),
        d=(128, 256),
        models=(4, 8),
        k=(25, 50),
        devices=(),
        tile_size=(),  # e.g. (128, 256, 512)
    )
    config.strong = config_dict.placeholder(tuple)  # devices; None: 1, 2, 4, … all
    config.weak = config_dict.placeholder(tuple)
    config.weak_n = 4096  # rows on one device; n grows with the root of the devices
    # Factor on every n of a part: ranks sort whole rows, an alignment runs all stages.
    config.share_of_n = config_dict.create(ranks=0.25, align=0.25)
    config.kernels = ("euclidean",)  # of the Gram sweep
    config.metrics = ("mutual_knn", "cknna", "dcor")  # of the whole alignment
    config.repeats = 3  # timed calls of a point; the median counts
    config.virtual_devices = 8  # of a CPU; other platforms have what they have
    return config
