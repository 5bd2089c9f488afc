r"""Do models of matter converge, and where not? 31 trained encoders on eight data sets of 2,000.

    jaxalign run --config=configs/regimes.py --workdir=regimes

Molecules of QM9, drug-like ones of MOSES and ligands of proteins, relaxed crystals of the Materials
Project, QM9 and crystals rattled far from equilibrium, crystals strained, and protein chains; each
encoder on what it can read. Beside every data set's own results the run writes `claims.csv`,
`claims.md` and `report/index.html` over all of them: eleven published claims about the convergence
of such models, each with estimate, interval, p and a verdict. docs/results.md holds them from a run
made here.

Some 500 MB of weights and structures are fetched into the cache first. Expected time on two idle
CPU cores: 41 minutes, 15 of them for networks; the same command resumes. Measured were 37 for six
of the sets in one go, and 4 when strained crystals and ligands came in.

| data set            | encoders                                    | minutes |
|---------------------|---------------------------------------------|---------|
| `crystals`          | eight potentials, with energies             | 5.4     |
| `crystals_rattled`  | eight potentials                            | 2.5     |
| `crystals_strained` | eight potentials                            | 2.3     |
| `qm9`               | strings, graphs, 3-D potentials, text       | 19.1    |
| `qm9_rattled`       | ANI, SO3LR                                  | 0.7     |
| `ligands`           | ANI, SO3LR                                  | 1.5     |
| `moses`             | strings, graphs, text                       | 3.1     |
| `proteins`          | two of sequences, three of backbones        | 5.7     |

Of those of QM9 some 10 are draws from the null of equal compositions.

Expected: CKNNA orders pairs of models as distance correlation does; strings and 3-D structures of
QM9 align above their null, also within equal compositions; potentials with smaller errors align
better with the best one; families align more within than between where there are several, and the
tree keeps them together. The dimension of QM9 is 7 to 8 rather than 5, untrained networks have no
higher one, and sequences and backbones of proteins align less than views of small molecules, by the
small encoders at hand.
Whether training data or architecture groups models stays open: eight models are too few.

Override anything, e.g. --config.dataset.n=500 (of every data set), --config.confidence=None, or
--config.regimes.qm9.models="('ecfp4','ani-1x-0')".
"""

from ml_collections import config_dict

_STRINGS = ("rxnfp-bert-pretrained", "rxnfp-bert-ft", "rxnmapper-albert")
_TEXT = ("all-minilm-l6-v2",)
_GRAPHS = (
    *("admet-dmpnn-classification-0", "admet-dmpnn-classification-1"),
    *("admet-dmpnn-regression-0", "admet-dmpnn-regression-1"),
    *("minimol", "chython-rxnmap"),
)
_MOLECULAR = (
    *("ani-1x-0", "ani-1x-1", "ani-1x-2", "ani-1ccx-0", "ani-1ccx-1", "ani-1ccx-2"),
    *("ani-2xt", "so3lr"),
)
_PERIODIC = (
    *("chgnet-0.2.0", "chgnet-0.3.0", "chgnet-r2scan"),
    *("sevennet-0-22may2024", "sevennet-0-11jul2024", "sevennet-l3i5"),
    *("sevennet-mf-0-pbe", "sevennet-mf-0-r2scan"),
)
_UNTRAINED_STRINGS = ("rxnfp-bert-random", "rxnmapper-albert-random")
_UNTRAINED_GRAPHS = ("admet-dmpnn-random", "minimol-random")
_UNTRAINED_MOLECULAR = ("ani-1x-random", "so3lr-random")
_UNTRAINED_PERIODIC = ("chgnet-random", "sevennet-0-random")
_PROTEINS = (
    *("unirep-64", "near"),
    *("ligandmpnn-v-32-005-25", "ligandmpnn-v-32-020-25", "proteinmpnn-ca-v-48-020"),
)

# Corpus → models, where cards name several, or one in several words. Weights of one corpus that
# were trained on with another count as trained on both.
_TRAINING_DATA = {
    "MPtrj": (
        *("chgnet-0.2.0", "chgnet-0.3.0"),
        *("sevennet-0-22may2024", "sevennet-0-11jul2024", "sevennet-l3i5"),
    ),
    "MPtrj and MP-r2SCAN": ("chgnet-r2scan", "sevennet-mf-0-pbe", "sevennet-mf-0-r2scan"),
    "reactions in patents": (*_STRINGS, "chython-rxnmap"),
    "ADMET measurements": tuple(name for name in _GRAPHS if name.startswith("admet")),
    "ANI-1x": tuple(name for name in _MOLECULAR if name.startswith("ani-1x")),
    "ANI-1x and ANI-1ccx": tuple(name for name in _MOLECULAR if name.startswith("ani-1ccx")),
}


def get_config() -> config_dict.ConfigDict:
    """The study."""
    config = config_dict.ConfigDict()
    config.title = "Do models of matter converge, and where not?"
    config.dataset = config_dict.create(  # of every data set, unless it says otherwise
        name="",
        path="",
        n=2000,
        seed=0,
        elements=(),
        perturb=config_dict.create(kind="", amplitudes=(), copies=1, seed=0),
    )
    config.regimes = _regimes()
    config.training_data = _TRAINING_DATA  # of other models: what their card names first
    config.layer = config_dict.placeholder(str)  # None: each model card's default
    config.pooling = config_dict.placeholder(str)
    config.metrics = (
        *("mutual_knn", "cknna", "cka", "dcor", "information_imbalance", "id:twonn", "id:mle"),
    )
    # The first k of a metric is the one that is compared; the others show how it depends on k.
    config.k = {"cknna": (25, 2, 10, 50, 100), "information_imbalance": (50,)}
    config.normalize = config_dict.placeholder(str)
    config.similarity = config_dict.placeholder(str)  # of neighbors; None: cosine
    config.rotation_test = 0  # structures turned to check claims of invariance; 0: none
    config.explain = config_dict.create(permutations=0, given=(), by="", metrics=())
    config.energies = False  # True, or models: also energies, and their errors beside labels
    config.permutations = 0
    config.permute_within = ""
    config.confidence = config_dict.placeholder(float)  # 0.95: of all scores, 10 times the work
    config.halves = (
        20  # runs of CKNNA over halves of the structures: errors of trees and best pairs
    )
    config.score_curves = False
    config.tile_size = config_dict.placeholder(int)
    config.memory_budget = "2GiB"
    return config


def _regimes() -> config_dict.ConfigDict:
    """Data set → what is different there; `in_distribution_of` names models at home in it."""
    light = ("H", "C", "N", "O")  # ANI-1x knows no others
    rattled = {"kind": "rattle", "copies": 1, "seed": 0}
    strained = {**rattled, "kind": "strain"}
    regimes = dict(
        crystals=dict(
            dataset=dict(name="crystals"),
            models=(
                *(*_PERIODIC, *_UNTRAINED_PERIODIC),
                *("composition", "soap", "sine-matrix", "gaussian-noise"),
            ),
            in_distribution_of=_PERIODIC,
            energies=True,
        ),
        crystals_rattled=dict(
            dataset=dict(name="crystals", perturb={**rattled, "amplitudes": (0.3,)}),
            models=(*_PERIODIC, "composition", "soap", "gaussian-noise"),
            in_distribution_of=(),
        ),
        crystals_strained=dict(
            dataset=dict(name="crystals", perturb={**strained, "amplitudes": (0.1,)}),
            models=(*_PERIODIC, "composition", "soap", "gaussian-noise"),
            in_distribution_of=(),
        ),
        qm9=dict(
            dataset=dict(name="qm9", elements=light),
            models=(
                *(*_STRINGS, *_TEXT, *_GRAPHS, *_MOLECULAR, *_PERIODIC),
                *(*_UNTRAINED_STRINGS, *_UNTRAINED_GRAPHS, *_UNTRAINED_MOLECULAR),
                *("composition", "smiles-tokens", "ecfp4", "soap", "gaussian-noise"),
            ),
            in_distribution_of=(*_MOLECULAR, "minimol"),
            energies=(*_MOLECULAR, "chgnet-0.3.0", "sevennet-0-11jul2024"),
            # What strings and structures share beyond composition.
            explain=dict(permutations=49, given=(), by="composition", metrics=("cknna",)),
        ),
        qm9_rattled=dict(
            dataset=dict(name="qm9", elements=light, perturb={**rattled, "amplitudes": (0.3,)}),
            models=(*_MOLECULAR, *_UNTRAINED_MOLECULAR, "composition", "soap", "gaussian-noise"),
            in_distribution_of=(),
        ),
        ligands=dict(  # most are larger than what ANI-1x was trained on; SO3LR has seen such
            dataset=dict(name="ligands", elements=light),
            models=(*_MOLECULAR, *_UNTRAINED_MOLECULAR, "composition", "soap", "gaussian-noise"),
            in_distribution_of=(),
        ),
        moses=dict(
            dataset=dict(name="moses-scaffolds"),
            models=(
                *(*_STRINGS, *_TEXT, *_GRAPHS, *_UNTRAINED_STRINGS, *_UNTRAINED_GRAPHS),
                *("smiles-tokens", "ecfp4", "gaussian-noise"),
            ),
            in_distribution_of=(*_STRINGS, *_GRAPHS),
        ),
        proteins=dict(
            dataset=dict(name="proteins"),
            models=(
                *_PROTEINS,
                *("residue-composition", "dipeptide-composition"),
                *("backbone-torsions", "contact-density", "gaussian-noise"),
            ),
            in_distribution_of=_PROTEINS,
            # Chains of one entry are a group: no closed-form nulls. Ranks, which the information
            # imbalance needs, would make a permutation ten times as long.
            permutations=99,
            metrics=("mutual_knn", "cknna", "dcor", "id:twonn", "id:mle"),
            k={"cknna": (25, 2, 10, 50, 100)},
        ),
    )
    return config_dict.ConfigDict(regimes, sort_keys=False)  # run in this order
