r"""Interatomic potentials on 1,000 crystals of the Materials Project, beside descriptors.

    jaxalign run --config=configs/materials.py --workdir=demo

Eight trained potentials, two untrained twins and five descriptors. Takes about 5 minutes on two CPU
cores after 57 MB of weights are in the cache. Expected: potentials of one family agree most (mutual
kNN .31 to .63), above all SevenNet-0 of July 2024 and SevenNet-MF-0 in its PBE mode; CHGNet with
SevenNet about .32. The composition alone reaches .29 to .44 with CHGNet and .18 to .20 with
SevenNet, and untrained twins as much: read the scores beside these. Gaussian noise stays at
k/(n − 1) = .010.

Override anything, e.g. --config.dataset.n=3938 --config.k=25
--config.models="('chgnet-0.3.0','sevennet-l3i5')". Further and further from the relaxed crystals
that such potentials were trained around:

    jaxalign run --config=configs/materials.py --workdir=rattled \
        --config.dataset.perturb.kind=rattle --config.dataset.perturb.amplitudes="(0.2,)"
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The default run."""
    config = config_dict.ConfigDict()
    config.title = config_dict.placeholder(str)  # None: named after models and data
    config.dataset = config_dict.create(
        name="crystals",
        path="",  # or a file: CIF, POSCAR, extended xyz, ASE db
        n=1000,
        seed=0,
        elements=(),  # () for all; the potentials know all elements of these crystals
        perturb=config_dict.create(
            kind="",  # or rattle, strain, rotation, permutation, vacancies: copies of all crystals
            amplitudes=(),  # (): the usual ones of the kind
            copies=1,
            seed=0,
        ),
    )
    config.models = (
        "chgnet-0.2.0",
        "chgnet-0.3.0",
        "chgnet-r2scan",
        "sevennet-0-22may2024",
        "sevennet-0-11jul2024",
        "sevennet-l3i5",
        "sevennet-mf-0-pbe",
        "sevennet-mf-0-r2scan",
        "chgnet-random",
        "sevennet-0-random",
        "composition",
        "atom-count",
        "soap",
        "sine-matrix",
        "gaussian-noise",
    )
    config.layer = config_dict.placeholder(str)  # None: each model card's default
    config.pooling = config_dict.placeholder(str)
    config.metrics = (
        *("mutual_knn", "cknna", "cknna:platonic", "cka", "dcor", "information_imbalance"),
        *("id:twonn", "id:mle"),
    )
    config.rotation_test = 32  # structures turned to check claims of invariance; 0: none
    config.explain = config_dict.create(
        permutations=20,  # null draws of alignments given trivial facts; 0: no explanations
        given=(),  # controls that are taken out; (): composition and size
        by="",  # structures that may change places; "": composition
        metrics=(),  # (): mutual_knn and cka
    )
    config.energies = False  # True, or models: also energies, and their errors beside labels
    config.permutations = 0  # e.g. 999: sampled where closed forms do not decide
    config.permute_within = ""  # or composition, scaffold, …: what may change places in them
    config.confidence = config_dict.placeholder(float)  # e.g. 0.95: intervals; 40 half runs
    config.score_curves = False  # scores against the number of structures
    config.k = config_dict.placeholder(int)  # None: each metric's default (10 and 25)
    config.normalize = config_dict.placeholder(str)
    config.similarity = config_dict.placeholder(str)  # of neighbors; None: cosine
    config.tile_size = config_dict.placeholder(int)
    config.memory_budget = "2GiB"
    return config
