r"""Sequence and structure encoders on 1,000 protein chains, beside what composition and size tell.

    jaxalign run --config=configs/proteins.py --workdir=demo

Eleven trained encoders, four of sequences and seven of backbones, five untrained twins and seven
controls. 384 MB of weights are fetched into the cache; those of UniRep are for non-commercial use
(CC BY-NC 4.0), those of NEAR under the GPL.
Chains of one entry of the Protein Data Bank never count as neighbors of each other. Read the scores
beside those of the controls: composition and length for sequences, distances and torsions for
backbones. Gaussian noise stays at k/(n − 1) = .010.

Expected time on two CPU cores: 23 minutes, measured beside other work. Expected: mutual kNN .55
within families, .06 between sequence models of two families and across modalities, .01 with noise;
untrained sequence networks see composition and hardly more. Given composition and length a quarter
to a half of the alignment with other families is left. Only 22 of these chains have a relative that
they may change places with, so that nothing can be said within families of proteins.

A first look, in 13 minutes of CPU time: --config.dataset.n=200.

Override anything, e.g. --config.dataset.n=2000 --config.k=25
--config.models="('unirep-1900','proteinmpnn-v-48-020','residue-composition')". One's own proteins,
from FASTA, PDB or mmCIF files or a folder of these (the latter with the extra `proteins`):

    jaxalign run --config=configs/proteins.py --workdir=own --config.dataset.path=FOLDER \
        --config.dataset.n=100 --on_error=skip
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The default run."""
    config = config_dict.ConfigDict()
    config.title = config_dict.placeholder(str)  # None: named after models and data
    config.dataset = config_dict.create(
        name="proteins",
        path="",  # or FASTA, PDB, mmCIF, a folder of PDB and mmCIF files
        n=1000,
        seed=0,
        elements=(),  # no atoms, no elements
        perturb=config_dict.create(
            kind="",  # or rattle, strain, rotation: copies of all backbones
            amplitudes=(),  # (): the usual ones of the kind
            copies=1,
            seed=0,
        ),
    )
    config.models = (
        "unirep-64",
        "unirep-256",
        "near",
        "antiberty",
        "proteinmpnn-v-48-002",
        "proteinmpnn-v-48-020",
        "proteinmpnn-v-48-030",
        "proteinmpnn-soluble-v-48-020",
        "proteinmpnn-ca-v-48-020",
        "ligandmpnn-v-32-020-25",
        "membranempnn-per-residue-v-48-020",
        "unirep-64-random",
        "near-random",
        "antiberty-random",
        "proteinmpnn-random",
        "proteinmpnn-ca-random",
        "residue-composition",
        "dipeptide-composition",
        "sequence-length",
        "backbone-distances",
        "backbone-torsions",
        "contact-density",
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
        given=(),  # controls that are taken out; (): residues and length
        by="",  # structures that may change places; "": protein_family
        metrics=(),  # (): mutual_knn and cka
    )
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
