"""The metrics of neighbor lists against Python-level references, closed forms and their claims."""

import jax
import numpy as np
import pytest
from scipy.stats import ortho_group

import tests.oracles as oracles
import tests.oracles_graphs as references
from jaxalign.metrics._cycle_knn import CYCLE_KNN, cycle_knn
from jaxalign.metrics._edit_knn import EDIT_KNN, edit_knn
from jaxalign.metrics._jaccard_knn import JACCARD_KNN, jaccard_knn
from jaxalign.metrics._lcs_knn import LCS_KNN, lcs_knn
from jaxalign.metrics._mutual_knn import MUTUAL_KNN, mutual_knn
from jaxalign.pairwise.edges import graph_statistics
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.shared_edges import shared_edges

N, D, K = 150, 10, 7
METRICS = {
    mutual_knn: (MUTUAL_KNN, references.mutual_rows),
    jaccard_knn: (JACCARD_KNN, references.jaccard_rows),
    lcs_knn: (LCS_KNN, references.lcs_rows),
    edit_knn: (EDIT_KNN, references.edit_rows),
    cycle_knn: (CYCLE_KNN, references.cycle_rows),
}
every_metric = pytest.mark.parametrize("function", METRICS)


def graph_of_ids(ids):
    """A graph of given lists; what metrics of lists do not read is left at zero."""
    zeros = np.zeros(ids.shape, np.float32)
    return graph_statistics(np.zeros((len(ids), 1), np.float32), ids.astype(np.int32), zeros)


def score_of_ids(metric, a, b):
    pairs = np.array([[0, 1], [0, 0], [1, 1]])
    terms = graph_pair_terms(
        stack_graphs([graph_of_ids(a), graph_of_ids(b)]), pairs, (metric.term,)
    )
    return metric.score(*terms[:, 0].tolist(), *a.shape)[0]


def random_lists(rng, n=N, k=K):
    others = np.stack([rng.permutation(n - 1)[:k] for _ in range(n)])
    return others + (others >= np.arange(n)[:, None])


@every_metric
@pytest.mark.parametrize("mean_cosine", [0.0, 0.998])
def test_agrees_with_python_and_with_its_contributions(rng, function, mean_cosine):
    metric, reference = METRICS[function]
    x, y = oracles.related_pair(rng, N, D, D, mean_cosine)
    x[3], y[10:13] = 0, y[20]  # a zero row; four equal rows
    a, b = (oracles.knn(oracles.l2_rows(v), K) for v in (x, y))
    expected = reference(a, b)
    score = function(x, y, k=K)
    assert score.metric == metric.id
    assert float(score) == pytest.approx(expected.mean(), abs=1e-12)
    graphs = graph_of_ids(a), graph_of_ids(b)
    with jax.enable_x64(True):
        rows = jax.jit(lambda p, q: metric.rows(p, q, shared_edges(p, q)))(*graphs)
    np.testing.assert_allclose(np.asarray(rows), expected, rtol=1e-12, atol=1e-15)
    assert metric.low <= float(score) <= metric.high


@every_metric
def test_all_others_as_neighbors(rng, function):
    metric, reference = METRICS[function]
    a, b = (random_lists(rng, 24, 23) for _ in "ab")
    assert score_of_ids(metric, a, b) == pytest.approx(reference(a, b).mean(), abs=1e-12)
    if function in (mutual_knn, jaccard_knn, cycle_knn):
        assert score_of_ids(metric, a, b) == 1.0


@every_metric
@pytest.mark.slow
def test_long_lists_take_the_table(rng, function):
    metric, reference = METRICS[function]
    a, b = (random_lists(rng, 90, 60) for _ in "ab")
    assert score_of_ids(metric, a, b) == pytest.approx(reference(a, b).mean(), abs=1e-12)


@every_metric
def test_symmetry_is_as_stated(rng, function):
    metric, reference = METRICS[function]
    a, b = random_lists(rng), random_lists(rng)
    if not metric.symmetric:
        # 0 has several ways out of b that lead back in a; each of these nodes has one, by 0.
        a = np.array([[3, 4], [0, 3], [0, 3], [4, 2], [3, 2]])
        b = np.array([[1, 2], [3, 4], [3, 4], [1, 0], [1, 0]])
    forth, back = score_of_ids(metric, a, b), score_of_ids(metric, b, a)
    assert (forth == back) == metric.symmetric
    assert back == pytest.approx(reference(b, a).mean())


@every_metric
def test_identity(rng, function):
    metric, reference = METRICS[function]
    a = random_lists(rng)
    own = score_of_ids(metric, a, a)
    if metric.best is None:
        assert own < 1
        assert own == pytest.approx(reference(a, a).mean())
    else:
        assert own == metric.best


@pytest.mark.parametrize(
    "metric",
    [
        # One of them in minutes: the lists are compared by the same program.
        pytest.param(m, marks=[] if m.id == "mutual_knn" else pytest.mark.slow, id=m.id)
        for m, _ in METRICS.values()
        if m.is_metric
    ],
)
@pytest.mark.slow
def test_one_minus_score_obeys_the_triangle_inequality(rng, metric):
    for _ in range(20):
        base = random_lists(rng, 20, 5)
        a, b, c = (rng.permuted(base, axis=1) for _ in range(3))
        b[:10] = random_lists(rng, 20, 5)[:10]
        d = [1 - score_of_ids(metric, p, q) for p, q in ((a, b), (b, c), (a, c))]
        assert d[2] <= d[0] + d[1] + 1e-12


@pytest.mark.parametrize("metric", [MUTUAL_KNN, JACCARD_KNN], ids=lambda m: m.id)
def test_null_is_the_mean_over_relabelled_structures(rng, metric):
    # Hubs in both: the closed form must hold for any pair of graphs, not for random ones alone.
    a, b = (np.sort(random_lists(rng), axis=1) // 4 for _ in "ab")
    a, b = (np.stack([_distinct(rng, row, i) for i, row in enumerate(part)]) for part in (a, b))
    scores = []
    for _ in range(150):
        order = rng.permutation(N)
        moved = np.empty_like(b)
        moved[order] = order[b]
        rows = references.mutual_rows if metric is MUTUAL_KNN else references.jaccard_rows
        scores.append(rows(a, moved).mean())
    error = np.std(scores) / np.sqrt(len(scores))
    assert metric.null(N, K) == pytest.approx(np.mean(scores), abs=5 * error)


def _distinct(rng, row, i):
    chosen = dict.fromkeys(int(j) for j in row if j != i)
    for j in rng.permutation(N).tolist():
        if len(chosen) < K and j != i:
            chosen.setdefault(j)
    return list(chosen)[:K]


@pytest.mark.parametrize(("n", "k"), [(2, 1), (150, 7), (40, 39), (5000, 512)])
def test_jaccard_null_is_the_hypergeometric_mean(n, k):
    assert JACCARD_KNN.null(n, k) == pytest.approx(references.jaccard_null(n, k), rel=1e-9)


@every_metric
@pytest.mark.slow
def test_invariances_as_stated_and_no_others(rng, function):
    metric, _ = METRICS[function]
    x, _ = oracles.related_pair(rng, N, D, D, 0.5)
    whole = x.astype(np.float64)

    def score(values):
        return float(function(values.astype(np.float32), x, k=K))

    plain = score(whole)
    assert metric.invariances == ("rotation", "isotropic scaling")
    turned = whole @ ortho_group.rvs(D, random_state=rng) * 3
    assert score(turned) == pytest.approx(plain, abs=0.02)
    # One image may score like the original by chance; six do not.
    moved = [whole - 2 * whole.mean(0) * rng.uniform(0, 2, size=D) for _ in range(6)]
    sheared = [whole * rng.permutation([40.0] + [1.0] * (D - 1)) for _ in range(6)]
    for images in (moved, sheared):
        assert max(abs(score(image) - plain) for image in images) > 0.005


@every_metric
def test_similarity_orders_the_neighbors(rng, function):
    _, reference = METRICS[function]
    x, y = oracles.related_pair(rng, N, D, D, 0.5)
    x *= rng.uniform(0.2, 5, size=(N, 1)).astype(np.float32)
    settings = {"k": K, "normalize": "none"}
    found = {s: function(x, y, similarity=s, **settings) for s in ("inner", "euclidean", "cosine")}
    for similarity in ("inner", "euclidean"):
        a, b = (oracles.knn(v, K, similarity) for v in (x, y))
        assert float(found[similarity]) == pytest.approx(reference(a, b).mean(), abs=1e-12)
        assert found[similarity].diagnostics["similarity"] == similarity
    assert float(found["cosine"]) == float(function(x, y, k=K))
    assert (oracles.knn(x, K, "inner") != oracles.knn(x, K, "euclidean")).any()


@every_metric
def test_degenerate_and_bad_input(rng, function):
    x = rng.normal(size=(N, D)).astype(np.float32)
    score = function(np.ones((N, D), np.float32), x, k=K)
    assert np.isnan(float(score))
    assert score.diagnostics["reason"].startswith("x: all rows are equal")
    with pytest.raises(ValueError, match=f"got k={N}, n={N}; pass k <= {N - 1}"):
        function(x, x, k=N)
    with pytest.raises(ValueError, match="unknown similarity 'dot'"):
        function(x, x, k=K, similarity="dot")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes_and_extreme_scales(rng, dtype):
    x, y = oracles.related_pair(rng, N, D, D)
    x, y = x.astype(dtype), y.astype(dtype)
    a, b = (oracles.knn(oracles.l2_rows(v), K) for v in (x, y))
    for scale in (1.0,) if dtype == "float16" else (1e-20, 1e20):
        assert float(lcs_knn(x * x.dtype.type(scale), y, k=K)) == pytest.approx(
            references.lcs_rows(a, b).mean(), abs=1e-12
        )
