"""Do networks become alike as they learn? Four kinds of them, three sizes, three seeds, on QM9.

    jaxalign train --config=configs/convergence.py --workdir=convergence

Trains all networks on energies beyond composition, follows 7 checkpoints of each on molecules kept
out of training, on larger ones and on such with sulfur and chlorine (drug-like molecules of MOSES
with coordinates of a force field), beside pretrained potentials and descriptors; tests claim T9b;
teaches a student of 2-D graphs with and without a 3-D teacher; and writes one report. The same
command resumes.

Takes about 45 minutes on two CPU cores (training 24, tracking 15, distillation 6), after weights
of three potentials are in the cache. Expected: test errors of about 70 meV (invariant, 64 wide) to
480 meV (transformer, 16 wide); alignment to other architectures rises with training on molecules
like those of QM9, and not clearly on others; the teacher does not help (docs/results.md).

Override anything, e.g. --config.seeds=5 --config.training.steps=500
--config.ladder="(('invariant', 32, 2), ('dmpnn', 32, 2))".
"""

from ml_collections import config_dict

_MOSES = config_dict.FrozenConfigDict(
    {"name": "moses-scaffolds", "path": "", "n": 5000, "seed": 0, "elements": ()}
)
_POTENTIALS = config_dict.FrozenConfigDict(
    {"ANI": ("ani-2xt",), "So3krates": ("so3lr",), "CHGNet": ("chgnet-0.3.0",)}
)
_CONTROLS = ("composition", "ecfp4")


def get_config() -> config_dict.ConfigDict:
    """The default ladder."""
    config = config_dict.ConfigDict()
    config.dataset = config_dict.create(
        name="qm9",
        path="",  # or a file with the label: extended xyz, csv, SDF
        n=10_000,
        seed=0,
        elements=(),
    )
    config.task = config_dict.create(
        label="u0_hartree",  # its name ends with the unit: _hartree, _ev, _ev_per_atom
        composition=True,  # take out what the counts of elements explain: for energies
        validation=1000,
        test=1000,
        train=config_dict.placeholder(int),  # None: all others
        seed=0,  # of the split, which all runs share
    )
    # (architecture, width, depth), or with a fourth entry of further settings, {"cutoff": 4.0}
    config.ladder = (
        *(("invariant", width, depth) for width, depth in ((16, 1), (32, 2), (64, 3))),
        *(("equivariant", width, depth) for width, depth in ((8, 1), (16, 2), (32, 2))),
        *(("dmpnn", width, depth) for width, depth in ((16, 1), (32, 2), (64, 3))),
        *(("transformer", width, depth) for width, depth in ((16, 1), (32, 2), (64, 3))),
    )
    config.seeds = 3
    config.training = config_dict.create(
        steps=2500,
        minibatch=64,
        learning_rate=2e-3,
        warmup=100,
        weight_decay=1e-4,
        clip=1.0,
        loss="huber",  # of standardized residuals; or mse
        evaluate_every=config_dict.placeholder(int),  # None: an epoch
        patience=20,  # evaluations without a new best one
        checkpoints_per_decade=4,
    )
    config.cpu_devices = (
        1  # virtual ones that share a minibatch; other platforms use what they have
    )
    config.save_seconds = 15.0  # between states from which a killed run goes on
    config.tracking = _tracking()
    config.distillation = _distillation()
    return config


def _tracking() -> config_dict.ConfigDict:
    """Which checkpoints are compared with what, on which molecules."""
    tracking = config_dict.create(
        title="Networks that learn the energies of QM9",
        checkpoints=7,  # of each run, log-spaced, untrained and best ones among them
        metrics=("cknna", "cka", "mutual_knn", "id:twonn", "id:mle"),
        k=config_dict.placeholder(int),  # None: each metric's default (25 and 10)
        halves=8,  # random halves of the molecules, for intervals of trajectories
        confidence=config_dict.placeholder(float),  # e.g. 0.95: intervals of the last networks, too
    )
    common = {"references": _POTENTIALS, "controls": _CONTROLS}
    elsewhere = {"dataset": _MOSES, "n": 500, "seed": 0, "conformers": True}
    # Up to 27 heavy atoms, where QM9 has 9.
    larger = {**elsewhere, "within": ("H", "C", "N", "O", "F")}
    foreign = {
        **elsewhere,
        "within": ("H", "C", "N", "O", "F", "S", "Cl"),
        "containing": ("S", "Cl"),
    }
    tracking.datasets = config_dict.ConfigDict(
        {
            "test": {"split": "test", **common},
            "larger": {**larger, **common},
            "other_elements": {**foreign, **common},
        },
        sort_keys=False,
    )
    return tracking


def _distillation() -> config_dict.ConfigDict:
    """Students, their teacher, and the numbers of labels."""
    distillation = config_dict.create(
        students=(("dmpnn", 32, 2),),
        labels=(125, 500, 2000, 8000),  # of 8,000: 1.6 % to all
        seeds=5,
        training=config_dict.create(
            steps=1000,
            minibatch=64,
            learning_rate=2e-3,
            warmup=100,
            patience=20,
            evaluate_every=50,
        ),
    )
    distillation.arms = (
        {"name": "alone"},
        {"name": "distilled", "teacher": "ani-2xt", "weight": 1.0},
        {"name": "pool first", "teacher": "ani-2xt", "weight": 1.0, "pool": 0.5},
        {"name": "untrained teacher", "teacher": "ani-2xt-random", "weight": 1.0, "pool": 0.5},
    )
    return distillation
