"""Training: it learns, it stops, the same bits from one seed, and clear ends when it cannot go."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

from jaxalign.learning.training import health
from jaxalign.learning.training import train as train_module
from jaxalign.learning.training.checkpoints import list_checkpoints, load_checkpoint
from jaxalign.learning.training.health import TrainingError
from jaxalign.learning.training.minibatches import MinibatchOrder
from jaxalign.learning.training.train import train
from jaxalign.learning.training.trained_run import load_run
from tests.learning.training import toys


@pytest.fixture
def task(rng):
    return toys.quick_task(int(rng.integers(2**31)))


def curve(folder):
    return (folder / "metrics.jsonl").read_bytes()


def run(task, folder, network=None, devices=1, seed=0, **changes):
    network = network or toys.network()
    mesh = jax.devices()[:devices]
    return train(network, task, toys.settings(**changes), folder, seed=seed, mesh=mesh)


def test_training_learns_and_keeps_what_it_says(task, tmp_path):
    result = run(task, tmp_path, steps=150, warmup=10)
    baseline = np.abs(task.targets(task.splits.test)).mean() * task.std
    assert result.test_mae_ev < 0.6 * baseline
    assert load_run(tmp_path) == result
    table = pd.read_json(tmp_path / "metrics.jsonl", lines=True, precise_float=True)
    assert set(table["split"]) == {"train", "validation", "test"}
    validation = table[table["split"] == "validation"].set_index("step")["mae_ev"]
    assert result.best_step == validation.idxmin()
    assert result.validation_mae_ev == pytest.approx(validation.min(), abs=1e-12)
    kept = {c.step: c.validation_mae_ev for c in list_checkpoints(tmp_path)}
    assert tuple(kept) == toys.settings(steps=150, warmup=10).checkpoint_steps()
    assert all(validation[step] == pytest.approx(error) for step, error in kept.items())
    # An independent way to the test error: parameters from disk, one batch, NumPy.
    params = load_checkpoint(tmp_path, None, network=toys.network())
    batch = toys.collate([toys.featurize(s) for s in task.splits.test], 8, 20)
    error = np.abs(np.asarray(toys.predict(params, batch)) - task.targets(task.splits.test))
    assert result.test_mae_ev == pytest.approx(error.mean() * task.std, rel=1e-5)


def test_training_losses_are_means_over_updates(task, tmp_path):
    run(task, tmp_path, steps=5, warmup=0, checkpoints_per_decade=1, learning_rate=1e-9)
    records = [json.loads(line) for line in curve(tmp_path).splitlines()]
    train = [r for r in records if r["split"] == "train"]
    assert [r["step"] for r in train] == [1, 5]
    # Predictions stay 0: losses are those of the targets.
    order, targets = MinibatchOrder(80, 16, 0), task.targets(task.splits.train)
    means = [np.abs(targets[order.rows(step)]).mean() for step in range(5)]
    assert train[0]["mae_ev"] == pytest.approx(means[0] * task.std, rel=1e-4)
    assert train[1]["mae_ev"] == pytest.approx(np.mean(means[1:]) * task.std, rel=1e-4)


def test_one_seed_gives_the_same_bits_and_another_does_not(task, tmp_path):
    for name, seed in {"one": 3, "two": 3, "three": 4}.items():
        run(task, tmp_path / name, seed=seed, devices=2)
    assert curve(tmp_path / "one") == curve(tmp_path / "two") != curve(tmp_path / "three")
    params = [load_checkpoint(tmp_path / n, 24, network=toys.network()) for n in ("one", "two")]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_the_curve_does_not_depend_on_the_number_of_devices(task, tmp_path):
    losses = []
    for devices in (1, 2, 4):
        run(task, tmp_path / str(devices), devices=devices)
        losses.append(
            [json.loads(line)["loss"] for line in curve(tmp_path / str(devices)).splitlines()]
        )
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-3)


def test_a_finished_run_is_not_repeated_and_another_is_refused(task, tmp_path, monkeypatch):
    result = run(task, tmp_path)
    monkeypatch.setattr(
        train_module, "make_inputs", lambda *args, **options: pytest.fail("repeated")
    )
    assert run(task, tmp_path) == result
    with pytest.raises(ValueError, match=r"training.learning_rate was 0.02 and is now 0.5"):
        run(task, tmp_path, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"network.width was 4 and is now 6.*another folder"):
        run(task, tmp_path, toys.network(width=6))


def test_patience_ends_a_run_that_learns_nothing_more(rng, tmp_path):
    task = toys.quick_task(
        int(rng.integers(2**31)), label="gap_hartree", composition=False
    )  # noise
    result = run(task, tmp_path, steps=2000, learning_rate=0.1, patience=4)
    assert result.stopped == "patience"
    assert result.steps < 2000
    steps = [json.loads(r)["step"] for r in curve(tmp_path).splitlines() if b"validation" in r]
    assert steps.index(result.steps) - steps.index(result.best_step) == 4
    assert list_checkpoints(tmp_path)[-1].step == result.steps


def test_a_loss_that_is_no_number_names_step_structures_and_checkpoint(task, tmp_path, rng):
    poison = task.splits.train.ids[int(rng.integers(80))]
    order = MinibatchOrder(80, 16, 0)
    ids = task.splits.train.ids
    first = next(s for s in range(50) if poison in {ids[row] for row in order.rows(s)})
    with pytest.raises(TrainingError) as caught:
        run(task, tmp_path, toys.network(poison=(poison,)))
    error = caught.value
    assert error.step == first + 1
    assert list(error.ids) == [ids[row] for row in order.rows(first)]
    assert "the loss is nan" in str(error)
    assert poison in str(error)
    assert str(error.checkpoint) in str(error)
    last = list_checkpoints(tmp_path)[-1]
    assert last.path.samefile(error.checkpoint)
    assert last.step <= first
    assert load_run(tmp_path) is None
    params = load_checkpoint(tmp_path, last.step, network=toys.network())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_validation_structures_may_be_at_fault(task, tmp_path):
    poison = task.splits.validation.ids[4]
    with pytest.raises(TrainingError, match=f"1 of 20 validation .* such as {poison}") as caught:
        run(task, tmp_path, toys.network(poison=(poison,)))
    assert caught.value.checkpoint is None
    assert (caught.value.step, caught.value.ids) == (0, ())


def test_a_learning_rate_that_diverges_ends_with_advice(task, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "LONG", 12)
    with pytest.raises(TrainingError, match="lower the learning rate tenfold") as caught:
        run(task, tmp_path, steps=60, learning_rate=1e4)
    assert 12 < caught.value.step <= 24
    assert caught.value.checkpoint.exists()
