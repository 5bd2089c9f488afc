"""Published p, q and calibrated scores under models whose alignment is known."""

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.alignment import engine
from jaxalign.alignment.inputs import collect_inputs
from jaxalign.alignment.plan import plan_metrics
from jaxalign.alignment.sampled_nulls import Sampling, sample_scores
from jaxalign.alignment.state import State
from jaxalign.significance.permutations import exchangeable_cells

GRAPHS = ("mutual_knn", "cknna", "information_imbalance")
GRAMS = ("cka", "cka:biased", "cka:rbf", "dcor", "dcor:v", "rsa")


def gaussian(rng, n):
    return rng.normal(size=(n, 12))


def wide(rng, n):
    """Twice as many features as rows: biased scores are near 1."""
    return rng.normal(size=(n, 2 * n))


def hubs(rng, n):
    """Anisotropic, heavy-tailed, off the origin."""
    radius = np.exp(0.7 * rng.normal(size=(n, 1)))
    return 1 + radius * rng.standard_t(3, size=(n, 8)) * np.logspace(0.5, -1, 8)


def duplicates(rng, n):
    """Structures that many rows share, with next to no differences."""
    return rng.normal(size=(n // 4, 6))[rng.integers(0, n // 4, size=n)]


def independent(rng, make, n, count):
    return {f"m{i}": make(rng, n).astype(np.float32) for i in range(count)}


def scored(table):
    return table[(table["model_a"] != table["model_b"]) & table["p"].notna()]


def bound(level, count):
    """P(p ≤ level) of `count` independent tests, with 4 standard errors."""
    return level + 4 * np.sqrt(level * (1 - level) / count)


def test_power_rises_with_the_signal(rng):
    n = 60
    latent = rng.normal(size=(n, 4))
    models = {"seen": latent}
    for noise in (0.2, 1.0, 2.0, 50.0):
        models[f"{noise}"] = latent + noise * rng.normal(size=(n, 4))
    models = {name: rows.astype(np.float32) for name, rows in models.items()}
    table = scored(ja.align(models, metrics=("mutual_knn",), k=6).table)
    rows = table[table["model_a"] == "seen"]
    z, calibrated = rows["z"].to_numpy(), rows["calibrated"].to_numpy()
    assert z[0] > z[1] > z[2] - 3
    assert z[0] > z[3] + 10
    assert calibrated[0] > calibrated[1] > calibrated[3]
    assert rows["p"].iloc[0] < 1e-10


def test_false_discoveries_are_few(rng):
    """Six of 28 pairs are aligned, and pairs share models: of what is found, few are not."""
    shares, found = [], []
    for _ in range(4):
        table = discoveries(rng, metrics=("mutual_knn",))
        chosen = table[table["q"] <= 0.1]
        shares.append((~chosen["aligned"]).sum() / max(len(chosen), 1))
        found.append(chosen["aligned"].sum())
    # Of four runs with a rate of at most .1 each.
    assert np.mean(shares) < 0.4
    assert np.mean(found) > 4


def discoveries(rng, *, metrics, n=60, together=4, alone=4, **settings):
    latent = rng.normal(size=(n, 4))
    models = independent(rng, gaussian, n, alone)
    for i in range(together):
        rows = latent @ rng.normal(size=(4, 9)) + rng.normal(size=(n, 9))
        models[f"x{i}"] = rows.astype(np.float32)
    table = scored(ja.align(models, metrics=metrics, k=5, **settings).table)
    aligned = table["model_a"].str.startswith("x") & table["model_b"].str.startswith("x")
    return table.assign(aligned=aligned)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mutual_knn", "dcor"])
def test_false_discovery_rate(rng, metric):
    for level in (0.05, 0.2):
        shares = []
        for _ in range(60):
            table = discoveries(rng, metrics=(metric,))
            chosen = table[table["q"] <= level]
            shares.append((~chosen["aligned"]).sum() / max(len(chosen), 1))
        assert np.mean(shares) <= level + 4 * np.std(shares) / np.sqrt(len(shares))


def rates_of(rng, make, *, metrics, runs, count=20, n=64, **settings):
    """(metric, k) → p-values of all pairs of `runs` runs of `count` independent models."""
    p = {}
    for _ in range(runs):
        models = independent(rng, make, n, count)
        table = scored(ja.align(models, metrics=metrics, **settings).table)
        for key, rows in table.fillna({"k": 0}).groupby(["metric", "k"]):
            p.setdefault(key, []).extend(rows["p"])
    return {key: np.array(values) for key, values in p.items()}


@pytest.mark.slow
@pytest.mark.parametrize("make", [gaussian, hubs])
def test_gamma_tails_of_graphs_hold_their_level_about(rng, make):
    """They know three moments of a discrete score: approximate, neither exact nor conservative.

    Of rows that are duplicates of each other, graphs have no closed form.
    """
    ks = {"mutual_knn": (1, 5, 20), "cknna": (2, 5, 20), "information_imbalance": (1, 10)}
    for key, values in rates_of(rng, make, metrics=GRAPHS, k=ks, runs=5).items():
        # Pairs that share a model are weakly dependent: half of them count.
        for level, slack in ((0.05, 1.15), (0.01, 1.25), (0.001, 2.0)):
            assert (values <= level).mean() <= bound(slack * level, len(values) / 2), (key, level)


@pytest.mark.slow
@pytest.mark.parametrize("make", [gaussian, wide, hubs, duplicates])
def test_the_chi_square_test_is_conservative(rng, make):
    """P(p ≤ α) ≤ α + 3 standard errors for α ≤ .05.

    Given one model, pairs with it are independent, and how often they are rejected hardly depends
    on it: pairs of a run are next to uncorrelated, so the error is that of as many coins as pairs
    (from run to run the rates vary by 0.3 to 1.1 of it).
    """
    exceeds = ("cka:biased",) if make is hubs else ()
    metrics = [metric for metric in GRAMS if metric not in exceeds]
    for (metric, _), values in rates_of(rng, make, metrics=metrics, runs=30).items():
        for level in (0.05, 0.01, 0.001):
            error = np.sqrt(level * (1 - level) / len(values))
            assert (values <= level).mean() <= level + 3 * error, (metric, level)


@pytest.mark.slow
def test_the_chi_square_test_of_biased_cka_is_not_conservative_for_heavy_tails(rng):
    """A row far from all others matters through its similarity to itself, which no χ² covers.

    The squares of such entries have heavier tails than the bound assumes; the debiased score leaves
    the diagonal out and keeps its level.
    """
    found = rates_of(rng, hubs, metrics=("cka", "cka:biased"), runs=30)
    biased, debiased = found["cka:biased", 0], found["cka", 0]
    for level, slack in ((0.05, 1.15), (0.01, 2.5), (0.001, 6.0)):
        assert (biased <= level).mean() <= bound(slack * level, len(biased)), level
        assert (debiased <= level).mean() <= bound(level, len(debiased)), level
    assert (biased <= 0.01).sum() > (debiased <= 0.01).sum()


@pytest.mark.slow
def test_closed_or_sampled_p_values_are_super_uniform(rng):
    """Whichever of the two decides: permutations serve where closed forms are near the level."""
    p = []
    for _ in range(6):
        models = independent(rng, hubs, 50, 12)
        settings = {"metrics": ("mutual_knn", "procrustes"), "k": 4, "permutations": 99}
        p.extend(scored(ja.align(models, seed=int(rng.integers(1e6)), **settings).table)["p"])
    p = np.array(p)
    for level in (0.01, 0.05, 0.1, 0.3):
        # Permutations are common to all pairs of a run: a quarter of the pairs counts.
        assert (p <= level).mean() <= bound(level, len(p) / 4), level


@pytest.mark.slow
def test_independent_gaussians_score_zero_where_the_v_statistic_scores_nine_tenths(rng):
    models = {str(i): rng.normal(size=(64, 128)).astype(np.float32) for i in range(40)}
    table = scored(ja.align(models, metrics=("cka", "dcor", "dcor:v")).table)
    means = table.groupby("metric")["value"].mean()
    assert abs(means["dcor:v"] - 0.89) < 0.02
    for metric in ("cka", "dcor"):
        rows = table[table["metric"] == metric]
        assert abs(means[metric]) < 5 * rows["value"].std() / np.sqrt(len(rows) / 2)
    for _, rows in table.groupby("metric"):
        # z of the mean is small for every statistic, and calibrated scores are 0 but for 5 %.
        assert abs(rows["z"].mean()) < 5 / np.sqrt(len(rows) / 2)
        assert (rows["calibrated"] > 0).mean() <= bound(0.05, len(rows) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("make", [hubs, duplicates])
def test_closed_form_moments_are_those_of_sampled_permutations(rng, make):
    """Every metric with a closed form, with ties, duplicates and hubs."""
    n, permutations = 40, 100
    models = independent(rng, make, n, 2)
    inputs = collect_inputs(models, ids=None, groups=None, on_nonfinite="error")
    metrics = (*GRAPHS, "cka", "cka:biased", "dcor", "dcor:v", "rsa")
    plans = plan_metrics(metrics, k=5, normalize=None, n=n)
    state = State(inputs, folder=None, tile_size=None, memory_budget=1 << 28, progress=False)
    scores = [s for s in engine.run(state, plans) if s.a != s.b]
    everything = {model.name: model.name for model in inputs.models}
    sampling = Sampling(exchangeable_cells(n), permutations, encoders=everything, words="")
    drawn = sample_scores(state, scores, sampling)
    # Two graphs that both break many ties by row number have no closed form.
    without = {cell[0].metric.id for cell in drawn if cell not in state.nulls}
    assert without <= (set(GRAPHS) if make is duplicates else set())
    for cell, samples in drawn.items():
        if cell not in state.nulls:
            continue
        null = state.nulls[cell]
        error = null.sd / np.sqrt(permutations)
        assert abs(samples.mean() - null.mean) < 5 * error, cell
        # Of ranks among all structures, as n is below the sample's size; kurtosis widens the rest.
        spread = samples.std(ddof=1)
        kurtosis = ((samples - samples.mean()) ** 4).mean() / spread**4
        slack = 5 * np.sqrt(max(kurtosis - 1, 2) / (4 * permutations))
        assert abs(spread / null.sd - 1) < slack + 0.05, cell
