r"""Which encoder for which property? Four tasks, 21 and 14 candidates, 200 labels to choose by.

    jaxalign select --config=configs/selection.py --workdir=selection

Energies (beyond composition) and gaps of 2,000 QM9 molecules, formation energies and energies above
the hull of 2,000 crystals. Every criterion sees 200 labels; ridge and kNN probes on about 1,600
other structures and 400 test structures say what it should have chosen, five times over.

Some 300 MB of weights are fetched into the cache first. Expected time on two CPU cores: 17 minutes,
8 of them for embeddings, 5 for alignments, 4 for probes; the same command resumes.

Expected: the evidence of a linear model chooses best (Spearman .73 to .96 with held-out errors of
ridge probes), the ridge probe as well but for energies above the hull; of alignments with the label
information imbalance is best, mean alignment with other candidates is weak, and dimensions and
widths tell nothing.

Mind what the candidates were trained on: CHGNet and SevenNet learned energies of the Materials
Project, from which the crystals and their labels are taken, ANI and SO3LR energies of small
molecules. The ranking says which frozen embedding serves best here, not which would on new physics;
training data stand beside every ranking.

Override anything, e.g. --config.target=100 or --config.datasets.qm9.dataset.n=1000. Own embeddings
with own labels, in place of a data set:

    config.datasets = {"mine": {"dataset": {}, "models": (), "embeddings": "FOLDER",
                                "labels": ("gap",), "label_file": "labels.csv", "group_by": ""}}
"""

from ml_collections import config_dict

_MOLECULES = (
    *("rxnfp-bert-pretrained", "rxnmapper-albert", "all-minilm-l6-v2"),
    *("admet-dmpnn-classification-0", "admet-dmpnn-regression-0", "minimol"),
    *("ani-1x-0", "ani-1ccx-0", "ani-2xt", "so3lr", "chgnet-0.3.0", "sevennet-0-11jul2024"),
    *("rxnfp-bert-random", "admet-dmpnn-random", "ani-1x-random", "so3lr-random"),
    *("composition", "smiles-tokens", "ecfp4", "soap", "gaussian-noise"),
)
_CRYSTALS = (
    *("chgnet-0.2.0", "chgnet-0.3.0", "chgnet-r2scan"),
    *("sevennet-0-11jul2024", "sevennet-l3i5", "sevennet-mf-0-pbe"),
    *("chgnet-random", "sevennet-0-random", "orb-random"),
    *("composition", "atom-count", "soap", "sine-matrix", "gaussian-noise"),
)


def get_config() -> config_dict.ConfigDict:
    """The default run."""
    config = config_dict.ConfigDict()
    config.datasets = config_dict.ConfigDict(
        {
            "qm9": dict(
                dataset=dict(name="qm9", path="", n=2000, seed=0, elements=("H", "C", "N", "O")),
                models=_MOLECULES,
                embeddings="",  # or files and folders of embeddings, beside the models
                labels=("u0_hartree", "gap_hartree"),
                label_file="",  # or a .csv: ids in the first column, these labels in others
                group_by="",  # structures that stay together; "": the groups that they have
            ),
            "crystals": dict(
                dataset=dict(name="crystals", path="", n=2000, seed=0, elements=()),
                models=_CRYSTALS,
                embeddings="",
                labels=("formation_energy_ev_per_atom", "energy_above_hull_ev_per_atom"),
                label_file="",
                group_by="composition",  # polymorphs of one formula
            ),
        },
        sort_keys=False,
    )
    config.beyond_composition = ("u0_hartree", "total_energy_ev", "energy_hartree")
    config.target = 200  # labels that criteria see; 0: all, with test=0 and draws=1
    config.test = 400  # structures of a test set; 0: nothing is held out
    config.draws = 5  # target sets, each with its own split
    config.metrics = (
        *("cka", "cka:rbf", "cka:biased", "dcor", "mutual_knn", "cknna", "information_imbalance"),
        *("id:twonn", "id:mle"),
    )
    config.k = config_dict.placeholder(int)  # None: each metric's default (10, 25, …)
    config.rank_by = "probe:ridge"  # criterion of ranking.csv
    config.permutations = 9999  # of candidates, for p-values of rank correlations
    config.confidence = 0.95
    config.seed = 0
    return config
