"""A first alignment report: 19 encoders of five modalities on 1,000 QM9 molecules.

Strings, 2-D graphs, 3-D structures, a language model of English as text control, and controls.

    jaxalign run --config=configs/molecules.py --workdir=demo

Takes about 5 minutes on two CPU cores after 230 MB of weights are in the cache. Expected: the
members of ANI-1x and ANI-1ccx, which share their data, agree most; every pretrained pair lies above
Gaussian noise, whose mutual kNN is k/(n − 1) = 0.010.

Override anything, e.g. --config.dataset.n=5000 --config.k=25
--config.models="('ecfp4','ani-1x-0')".
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The default run."""
    config = config_dict.ConfigDict()
    config.title = config_dict.placeholder(str)  # None: named after models and data
    config.dataset = config_dict.create(
        name="qm9",
        path="",  # or a file: SMILES csv/smi(.gz), SDF, xyz, CIF, POSCAR, ASE db
        n=1000,
        seed=0,
        elements=("H", "C", "N", "O"),  # ANI-1x knows no others; QM9 also has F
        perturb=config_dict.create(
            kind="",  # or rattle, strain, rotation, permutation, vacancies: copies of all molecules
            amplitudes=(),  # (): the usual ones of the kind
            copies=1,
            seed=0,
        ),
    )
    config.models = (
        "rxnfp-bert-pretrained",
        "rxnmapper-albert",
        "all-minilm-l6-v2",
        "admet-dmpnn-classification-0",
        "minimol",
        "ani-1x-0",
        "ani-1x-1",
        "ani-1ccx-0",
        "ani-2xt",
        "so3lr",
        "rxnfp-bert-random",
        "rxnmapper-albert-random",
        "admet-dmpnn-random",
        "ani-1x-random",
        "composition",
        "smiles-tokens",
        "ecfp4",
        "soap",
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
        by="",  # or scaffold, atom_count, …: structures that may change places; "": composition
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
