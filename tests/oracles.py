"""Independent references: dense, float64, NumPy. They share no code with the package."""

import numpy as np


def l2_rows(x):
    """The float32-rounded normalized rows that all exact rules refer to."""
    x = np.asarray(x, np.float64)
    norms = np.sqrt((x * x).sum(1, keepdims=True))
    return (x / np.where(norms == 0, 1, norms)).astype(np.float32)


def order_keys(rows, similarity):
    """[n, n] keys, larger is nearer, -inf on the diagonal."""
    rows = np.asarray(rows, np.float64)
    if similarity == "euclidean":
        keys = -np.stack([((row - rows) ** 2).sum(1) for row in rows])
    else:
        keys = rows @ rows.T
    np.fill_diagonal(keys, -np.inf)
    return keys


def knn(rows, k, similarity="inner", groups=None):
    """Ids by (key descending, id ascending)."""
    keys = order_keys(rows, similarity)
    if groups is not None:
        groups = np.asarray(groups)
        keys[groups[:, None] == groups[None, :]] = -np.inf
    return np.argsort(-keys, axis=1, kind="stable")[:, :k]


def mask(rows, k):
    """[n, n] 0/1 neighbor mask."""
    out = np.zeros((len(rows), len(rows)))
    np.put_along_axis(out, knn(rows, k), 1, 1)
    return out


def mutual_knn(x, y, k):
    return (mask(x, k) * mask(y, k)).sum() / (len(x) * k)


def cknna_formula(x, y, k):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    K, L = x @ x.T, y @ y.T
    K, L = K - K.mean(1, keepdims=True), L - L.mean(1, keepdims=True)
    a, b = mask(x, k), mask(y, k)
    return (a * b * K * L).sum() / np.sqrt((a * K * K).sum() * (b * L * L).sum())


def hsic_unbiased(K, L):
    K, L = K.copy(), L.copy()
    np.fill_diagonal(K, 0)
    np.fill_diagonal(L, 0)
    m = len(K)
    value = (K * L.T).sum() + K.sum() * L.sum() / ((m - 1) * (m - 2)) - 2 * (K @ L).sum() / (m - 2)
    return value / (m * (m - 3))


def cknna_platonic(x, y, k, epsilon=0.0):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    K, L, a, b = x @ x.T, y @ y.T, mask(x, k), mask(y, k)

    def similarity(K, L, m):
        return hsic_unbiased(m * K, m * L)

    kk, ll = similarity(K, K, a), similarity(L, L, b)
    return similarity(K, L, a * b) / (np.sqrt(kk * ll) + epsilon)


def cka_linear_debiased(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    K, L = x @ x.T, y @ y.T
    return hsic_unbiased(K, L) / np.sqrt(hsic_unbiased(K, K) * hsic_unbiased(L, L))


def anisotropic(rng, n, d, mean_cosine):
    """Rows of the given mean cosine to each other, of varied length."""
    noise = rng.normal(size=(n, d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    axis = rng.normal(size=d)
    axis /= np.linalg.norm(axis)
    x = np.sqrt(mean_cosine) * axis + np.sqrt(1 - mean_cosine) * noise
    return (x * rng.uniform(0.5, 2, size=(n, 1))).astype(np.float32)


def stretched(x, factor=30):
    """The rows with one of the first four columns stretched: some of these must change a score."""
    return [x * np.where(np.arange(x.shape[1]) == j, factor, 1).astype(x.dtype) for j in range(4)]


def related_pair(rng, n, dx, dy, mean_cosine=0.0, shared=8):
    """Two embeddings of one latent space, of the given anisotropy."""
    z = rng.normal(size=(n, shared))
    x = z @ rng.normal(size=(shared, dx)) + 0.7 * rng.normal(size=(n, dx))
    y = z @ rng.normal(size=(shared, dy)) + 0.7 * rng.normal(size=(n, dy))
    out = []
    for v in (x, y):
        scale = np.linalg.norm(v, axis=1).mean()
        axis = rng.normal(size=v.shape[1])
        axis *= scale * np.sqrt(mean_cosine / (1 - mean_cosine)) / np.linalg.norm(axis)
        out.append((v + axis).astype(np.float32))
    return out
