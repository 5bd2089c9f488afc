"""Which points a configuration means, and which it must not mean."""

import importlib.util
import math
from pathlib import Path

import pytest

from jaxalign.scaling.parts import PARTS
from jaxalign.scaling.plan import plan_sweep


@pytest.fixture
def config():
    path = Path(__file__).parents[2] / "configs" / "scaling.py"
    spec = importlib.util.spec_from_file_location("scaling_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config().to_dict()


def test_strong_holds_n_and_weak_holds_the_work_of_a_device(config):
    series = plan_sweep(config, devices=8).points()
    for part in config["parts"]:
        strong = [p for p in series["strong"] if p.part == part]
        assert [p.devices for p in strong] == [1, 2, 4, 8]
        assert len({p.n for p in strong}) == 1
        work = [p.n**2 / p.devices for p in series["weak"] if p.part == part]
        assert max(work) / min(work) < 1.01
    ranks = next(p for p in series["strong"] if p.part == "ranks")
    assert ranks.n == config["base"]["n"] * config["share_of_n"]["ranks"]


def test_a_size_is_varied_only_where_it_matters(config):
    series = plan_sweep(config, devices=1).points()
    assert {p.part for p in series["models"]} == {"grams", "ranks", "pairs", "align"}
    assert {p.part for p in series["k"]} == {"search", "ranks", "pairs", "align"}
    assert all(p.models is None for points in series.values() for p in points if p.part == "search")
    assert all(p.devices == 1 for points in series.values() for p in points)


def test_grid_combines_all_and_measures_nothing_twice(config):
    config |= {"mode": "grid", "strong": (), "weak": (), "share_of_n": {}}
    config["vary"] |= {"n": (512, 1024), "d": (8, 16, 32), "k": (5,), "models": (), "tile_size": ()}
    series = plan_sweep(config, devices=1).points()
    assert list(series) == ["grid"]
    counts = {part: sum(p.part == part for p in series["grid"]) for part in PARTS}
    assert counts == {"search": 6, "grams": 6, "ranks": 6, "align": 6, "pairs": 2}


def test_devices_of_several_processes(config):
    series = plan_sweep(config, devices=12, processes=3).points()
    assert sorted({p.devices for p in series["strong"]}) == [3, 6, 12]
    assert {p.devices for p in series["n"]} == {3}
    assert sorted({p.n for p in series["weak"] if p.part == "search"})[0] == round(
        config["weak_n"] * math.sqrt(3)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ("search", "serch")}, r"unknown part \['serch'\]: choose from search, grams"),
        ({"parts": ()}, "unknown part"),
        ({"mode": "all"}, "unknown mode"),
        ({"vary": {"rows": (5,)}}, "unknown size to vary"),
        ({"share_of_n": {"rank": 0.5}}, "unknown part in share_of_n"),
        ({"strong": (2, 16)}, "devices=16: there are 8 devices; choose fewer"),
        ({"strong": (3,)}, "each of 2 processes must hold as many"),
        ({"weak_n": 2, "weak": (8,)}, "8 devices need at least as many rows"),
        ({"vary": {"k": (9000,)}}, "k must lie between 1 and n - 1"),
        ({"vary": {"models": (1,)}}, "it needs models >= 2"),
        ({"vary": {"tile_size": (0,)}}, "must be positive"),
        ({"metrics": ("cknn",)}, "unknown metric 'cknn', did you mean 'cknna'"),
        ({"kernels": ("gauss",)}, "gauss"),
        ({"repeats": 0}, "repeats"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(config, change, message):
    with pytest.raises(ValueError, match=message):
        plan_sweep(config | {"weak_n": 4096} | change, devices=8, processes=2)
