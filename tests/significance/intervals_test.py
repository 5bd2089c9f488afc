"""Standard errors against closed forms and simulations; coverage of intervals of scores."""

import itertools
import math

import numpy as np
import pytest

from jaxalign.significance.intervals import jackknife_errors, score_intervals, subset_errors

UNBOUNDED = {"low": np.array([-math.inf]), "high": np.array([math.inf])}


def pairs_of_halves(rng, x, score, count):
    """Scores of both halves of `count` random splits of every row of x: `[2 count, rows]`."""
    shuffled = (rng.permuted(x, axis=1) for _ in range(count))
    m = x.shape[1] // 2
    return np.array([score(part) for z in shuffled for part in (z[:, :m], z[:, m : 2 * m])])


def test_all_splits_give_the_error_of_a_mean_exactly(rng):
    x = rng.normal(size=(8, 3)) * [1, 5, 0.1]
    halves = [set(rows) for rows in itertools.combinations(range(8), 4)]
    replicates = [x[list(rows)].mean(axis=0) for h in halves for rows in (h, set(range(8)) - h)]
    for of_tuples in (True, False):  # halves of a mean have one mean
        found = subset_errors(
            np.array(replicates), taken=4.0, total=8, of_tuples=np.full(3, of_tuples)
        )
        np.testing.assert_allclose(found, x.std(axis=0, ddof=1) / math.sqrt(8), rtol=1e-12)


def test_smaller_subsets_estimate_the_same_error(rng):
    x = rng.normal(size=(500, 40))
    thirds = []
    for _ in range(10):
        z = rng.permuted(x, axis=1)
        thirds += [z[:, :10].mean(axis=1), z[:, 10:20].mean(axis=1)]
    found = subset_errors(np.array(thirds), taken=10.0, total=40, of_tuples=np.zeros(500, bool))
    assert 0.9 < np.mean(found**2) * 40 < 1.1


def test_leaving_out_single_structures_gives_the_error_of_a_mean_exactly(rng):
    x = rng.normal(size=(12, 2))
    replicates = np.array([np.delete(x, row, axis=0).mean(axis=0) for row in range(12)])
    found = jackknife_errors(x.mean(axis=0), replicates, sizes=[1] * 12)
    np.testing.assert_allclose(found, x.std(axis=0, ddof=1) / math.sqrt(12), rtol=1e-12)


def test_equal_blocks_follow_the_plain_formula(rng):
    score, replicates = rng.normal(size=3), rng.normal(size=(5, 3))
    found = jackknife_errors(score, replicates, sizes=[7] * 5)
    plain = np.sqrt(4 / 5 * np.square(replicates - replicates.mean(axis=0)).sum(axis=0))
    np.testing.assert_allclose(found, plain, rtol=1e-12)


def test_blocks_of_unequal_size_have_the_right_error_on_average(rng):
    sizes = [1, 2, 3, 4, 10, 20]
    ends = np.cumsum([0, *sizes])
    x = rng.normal(size=(4000, 40))  # 4,000 samples side by side
    sums = np.add.reduceat(x, ends[:-1], axis=1)
    replicates = ((x.sum(axis=1)[:, None] - sums) / (40 - np.array(sizes))).T
    errors = jackknife_errors(x.mean(axis=1), replicates, sizes=sizes)
    assert 0.85 < np.mean(errors**2) * 40 < 1.15


def degenerate(x):
    """The mean of x_i x_j over pairs: of degree two alone where x has mean zero."""
    n = x.shape[-1]
    return (x.sum(axis=-1) ** 2 - np.square(x).sum(axis=-1)) / (n * (n - 1))


@pytest.mark.parametrize(("shift", "linear"), [(0.0, 2.0), (1.0, 1.0)])
def test_averages_over_pairs_have_the_right_error_whatever_they_consist_of(rng, shift, linear):
    """Without a shift all of the variance is of pairs, and falls as 1/n² and not as 1/n."""
    n, samples = 60, 3000
    x = shift + rng.choice([-1.0, 1.0], size=(samples, n))
    replicates = pairs_of_halves(rng, x, degenerate, 20)
    truth = 4 * shift**2 / n + 2 / (n * (n - 1))
    plain, exact = (
        subset_errors(replicates, taken=30.0, total=n, of_tuples=np.full(samples, of_tuples))
        for of_tuples in (False, True)
    )
    assert linear * 0.8 < np.mean(plain**2) / truth < linear * 1.2
    # It is never below one half of the plain variance, so noise can only make it larger.
    assert 0.85 < np.mean(exact**2) / truth < 0.85 * linear + 0.3
    assert (exact <= plain).all()
    assert (exact >= plain * math.sqrt(0.5) * (1 - 1e-12)).all()


def test_intervals_are_those_of_student_and_end_with_the_range():
    scores, errors = np.array([0.5, 0.98, 0.01]), np.array([0.1, 0.1, 0.1])
    low, high, reasons = score_intervals(
        scores, errors, confidence=0.9, freedom=7, low=np.zeros(3), high=np.ones(3)
    )
    half = 1.894579 * 0.1  # tables of Student's t
    np.testing.assert_allclose(low, [0.5 - half, 0.98 - half, 0.0], atol=1e-7)
    np.testing.assert_allclose(high, [0.5 + half, 1.0, 0.01 + half], atol=1e-7)
    assert reasons == ("", "", "")


def test_scores_without_interval_have_a_reason():
    scores, errors = np.array([math.nan, 0.3, 1.0, 0.3]), np.array([0.1, math.nan, 0.0, 0.1])
    ends = {"low": np.zeros(4), "high": np.ones(4)}
    low, high, reasons = score_intervals(scores, errors, confidence=0.95, freedom=9, **ends)
    assert np.isnan(low[:3]).all()
    assert np.isnan(high[:3]).all()
    assert low[3] < 0.3 < high[3]
    assert "itself is NaN" in reasons[0]
    assert "without some" in reasons[1]
    assert "the same without any" in reasons[2]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.1, math.nan])
def test_a_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        score_intervals(np.zeros(1), np.ones(1), confidence=confidence, freedom=3, **UNBOUNDED)


@pytest.mark.parametrize(("count", "taken"), [(2, 3.0), (5, 3.0), (4, 4.0), (4, 0.0)])
def test_subsets_come_in_disjoint_pairs(count, taken):
    with pytest.raises(ValueError, match=r"at least 2 pairs|must be disjoint"):
        subset_errors(np.zeros((count, 2)), taken=taken, total=7, of_tuples=np.zeros(2, bool))


def test_a_jackknife_needs_blocks():
    with pytest.raises(ValueError, match="at least 2 blocks: got 1"):
        jackknife_errors(np.zeros(2), np.zeros((1, 2)), sizes=[3])
    with pytest.raises(ValueError, match="its size"):
        jackknife_errors(np.zeros(2), np.zeros((3, 2)), sizes=[3, 0, 2])


# Coverage: scores in dense float64, of models that see one latent space through noise.


def mask(similarity, k):
    similarity = similarity.copy()
    np.fill_diagonal(similarity, -np.inf)
    out = np.zeros(similarity.shape)
    np.put_along_axis(out, np.argpartition(-similarity, k - 1, axis=1)[:, :k], 1, axis=1)
    return out


def u_centered(matrix):
    n, rows = len(matrix), matrix.sum(axis=1)
    out = matrix - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    return out


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def mutual_knn(x, y):
    return (mask(x["cosine"], 10) * mask(y["cosine"], 10)).sum() / (10 * len(x["cosine"]))


def cknna(x, y):
    masks = [mask(side["cosine"], 15) for side in (x, y)]
    kernels = [s["cosine"] - s["cosine"].mean(axis=1, keepdims=True) for s in (x, y)]
    a, b = (m * k for m, k in zip(masks, kernels, strict=True))
    return cosine(a, b)


def cka(x, y):
    return cosine(*(u_centered(side["hollow"]) for side in (x, y)))


def dcor(x, y):
    return cosine(*(u_centered(side["distance"]) for side in (x, y)))


def information_imbalance(x, y):
    distances = [
        side["distance"] + np.diag(np.full(len(side["distance"]), np.inf)) for side in (x, y)
    ]
    nearest = distances[0].argmin(axis=1)
    threshold = np.take_along_axis(distances[1], nearest[:, None], axis=1)
    return 2 / len(nearest) * ((distances[1] < threshold).sum(axis=1) + 1).mean()


def matrices(x):
    gram = x @ x.T
    norms = np.sqrt(np.diag(gram))
    squares = norms[:, None] ** 2 + norms[None, :] ** 2 - 2 * gram
    hollow = gram.copy()
    np.fill_diagonal(hollow, 0.0)
    distance = np.sqrt(np.maximum(squares, 0.0))
    return {
        "cosine": gram / norms[:, None] / norms[None, :],
        "hollow": hollow,
        "distance": distance,
    }


class Process:
    """Pairs of models of one kind: latent variables, two maps, noise."""

    def __init__(self, rng, kind):
        self.rng, self.kind = rng, kind
        self.maps = rng.normal(size=(5, 20)), rng.normal(size=(5, 30))
        self.centers = 2 * rng.normal(size=(8, 5))

    def draw(self, n):
        z = self.rng.normal(size=(n, 5))
        if self.kind == "clusters":
            z = 0.6 * z + self.centers[self.rng.integers(8, size=n)]
        if self.kind == "heavy tails":
            z = self.rng.standard_t(4, size=(n, 5))
        noise = [self.rng.normal(size=(n, len(m.T))) for m in self.maps]
        if self.kind == "independent":
            return [matrices(each) for each in noise]
        x, y = np.tanh(0.5 * z @ self.maps[0]), z @ self.maps[1]
        return [matrices(x + 0.5 * noise[0]), matrices(y + 1.5 * noise[1])]


def part(matrices, rows):
    return {name: matrix[np.ix_(rows, rows)] for name, matrix in matrices.items()}


STATISTICS = (mutual_knn, cknna, information_imbalance, cka, dcor)
OF_TUPLES = np.array([False, False, False, True, True])


def replicates_of(rng, x, y, *, splits):
    n, found = len(x["cosine"]), []
    for _ in range(splits):
        order = rng.permutation(n)
        halves = order[: n // 2], order[n // 2 : 2 * (n // 2)]
        found += [[f(part(x, rows), part(y, rows)) for f in STATISTICS] for rows in halves]
    return np.array(found)


def coverage(rng, *, kind, n, samples, truths, splits=20):
    """Share of samples whose interval covers the mean score; ratio of mean and true variance."""
    process, count = Process(rng, kind), len(STATISTICS)
    true = np.array([[f(*pair) for f in STATISTICS] for pair in map(process.draw, [n] * truths)])
    mean, found = true.mean(axis=0), []
    for _ in range(samples):
        x, y = process.draw(n)
        replicates = replicates_of(rng, x, y, splits=splits)
        errors = subset_errors(replicates, taken=float(n // 2), total=n, of_tuples=OF_TUPLES)
        low, high, _ = score_intervals(
            np.array([f(x, y) for f in STATISTICS]),
            errors,
            confidence=0.95,
            freedom=splits,
            low=np.full(count, -np.inf),
            high=np.full(count, np.inf),
        )
        found.append(((low <= mean) & (mean <= high), np.square(errors)))
    covered, variances = (np.mean(each, axis=0) for each in zip(*found, strict=True))
    return covered, variances / true.var(axis=0, ddof=1)


def test_few_samples_have_intervals_of_the_right_length(rng):
    covered, ratio = coverage(rng, kind="one cloud", n=80, samples=25, truths=60, splits=6)
    assert (covered > 0.6).all()  # of 25; 95 % are expected
    assert ((ratio > 0.35) & (ratio < 4)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n", "samples"),
    [("one cloud", 200, 160), ("clusters", 200, 160), ("heavy tails", 200, 160),
     ("one cloud", 400, 80), ("clusters", 800, 30)],
)  # fmt: skip
def test_intervals_cover_as_often_as_they_say(rng, kind, n, samples):
    covered, _ = coverage(rng, kind=kind, n=n, samples=samples, truths=2 * samples)
    # Four standard errors, with that of the true mean.
    chance = 4 * math.sqrt(2 * 0.05 * 0.95 / samples)
    assert (covered > 0.90 - chance).all(), covered
    assert (covered < 0.98 + chance).all(), covered


@pytest.mark.slow
def test_intervals_of_independent_models_are_wide_rather_than_short(rng):
    covered, _ = coverage(rng, kind="independent", n=200, samples=100, truths=200)
    assert (covered > 0.85).all(), covered
