"""The ladder of `convergence.py` in seconds: two small networks on 256 molecules.

    jaxalign train --config=configs/convergence_smoke.py --workdir=smoke

Takes half a minute on two CPU cores, most of it compilation; its figures mean nothing.
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """The smallest ladder."""
    config = config_dict.ConfigDict()
    config.dataset = config_dict.create(name="qm9", path="", n=256, seed=0, elements=())
    config.task = config_dict.create(
        label="u0_hartree",
        composition=True,
        validation=32,
        test=32,
        train=config_dict.placeholder(int),
        seed=0,
    )
    config.ladder = (("invariant", 8, 1), ("dmpnn", 8, 1))
    config.seeds = 1
    config.training = config_dict.create(
        steps=40,
        minibatch=32,
        learning_rate=5e-3,
        warmup=5,
        weight_decay=1e-4,
        clip=1.0,
        loss="huber",
        evaluate_every=config_dict.placeholder(int),
        patience=20,
        checkpoints_per_decade=2,
    )
    config.cpu_devices = 1
    config.save_seconds = 15.0
    config.tracking = config_dict.create(
        title="The smallest ladder",
        checkpoints=3,
        metrics=("cknna", "cka", "id:twonn"),
        k=5,
        halves=4,
        confidence=config_dict.placeholder(float),
    )
    config.tracking.datasets = config_dict.ConfigDict(
        {"test": {"split": "test", "controls": ("composition",)}}, sort_keys=False
    )
    config.distillation = config_dict.create(
        students=(("dmpnn", 8, 1),),
        labels=(64,),
        seeds=3,
        training=config_dict.create(steps=12, minibatch=32, warmup=3),
    )
    config.distillation.arms = (
        {"name": "alone"},
        {"name": "distilled", "teacher": "coulomb-matrix"},
    )
    return config
