"""So3krates by its definition: NumPy in float64, every directed pair on its own."""

import jax
import numpy as np
import scipy.special

DEGREES = (1, 2, 3, 4)


def scipy_harmonics(vectors):
    """Real harmonics from SciPy's complex ones, m = −l … l, without the sign (−1)ᵐ."""
    r, columns = np.linalg.norm(vectors, axis=1), []
    theta, phi = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    for degree in DEGREES:
        for m in range(-degree, degree + 1):
            value = scipy.special.sph_harm_y(degree, abs(m), theta, phi) * (-1) ** m
            value = value * np.sqrt(2) if m else value
            columns.append(value.imag if m < 0 else value.real)
    return np.stack(columns, axis=1)


def oracle(params, atoms, cutoff=4.5):
    """The definition in float64, for a molecule: every directed pair on its own."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def dense(linear, x):
        return x @ linear["kernel"] + linear["bias"]

    def silu(x):
        return x / (1 + np.exp(-x))

    def norm(n, x):
        x = x - x.mean(axis=1, keepdims=True)
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6) * n["scale"] + n["bias"]

    def invariants(v):
        parts = np.split(v, np.cumsum([2 * degree + 1 for degree in DEGREES])[:-1], axis=1)
        return np.stack([(u**2).sum(axis=1) / np.sqrt(u.shape[1]) for u in parts], axis=1)

    positions = atoms.positions
    i, j = np.nonzero(~np.eye(len(positions), dtype=bool))
    vectors = positions[i] - positions[j]
    r = np.linalg.norm(vectors, axis=1)
    i, j, vectors, r = (array[r < cutoff] for array in (i, j, vectors, r))
    u, x, k = r / cutoff, np.exp(-0.9448630629184640 * r)[:, None], np.arange(32)
    phi = 1 - 6 * u**5 + 15 * u**4 - 10 * u**3
    radial = scipy.special.comb(31, k) * x**k * (1 - x) ** (31 - k)
    of_sphere, heads = scipy_harmonics(vectors), np.arange(4)
    rows = [{1: 0, 6: 1, 7: 2, 8: 3, 9: 4, 15: 5, 16: 6, 17: 7}[z] for z in atoms.numbers.tolist()]
    x, v = p["species"][rows] / np.sqrt(3), np.zeros((len(atoms), 24))
    for number in (1, 2, 3):
        block, change = p[f"block_{number}"], invariants(v[j] - v[i])
        alpha = {}
        for kind in ("inv", "ev"):
            f = block[f"filter_{kind}"]
            w = dense(f["radial_out"], silu(dense(f["radial_in"], radial)))
            w = w + dense(f["change_out"], silu(dense(f["change_in"], change)))
            q, key = (
                np.einsum("nhd,hde->nhe", x.reshape(-1, 4, 32), block[f"{side}_{kind}"])
                for side in "qk"
            )
            alpha[kind] = (q[i] * key[j] * w.reshape(-1, 4, 32)).sum(axis=2) / 13.168995780096482
        values = np.einsum("nhd,hde->nhe", x.reshape(-1, 4, 32), block["v_inv"])[j]
        sent = (phi[:, None] * alpha["inv"])[:, heads, None] * values
        turned = phi[:, None] * np.repeat(alpha["ev"], [3, 5, 7, 9], axis=1) * of_sphere
        x, v = x.copy(), v.copy()
        np.add.at(x, i, sent.reshape(-1, 128))
        np.add.at(v, i, turned)
        x = norm(block["norm_1"], x)
        x = x + dense(block["residual_out"], silu(dense(block["residual_in"], silu(x))))
        mixed = dense(block["exchange"], np.concatenate([x, invariants(v)], axis=1))
        x = norm(block["norm_2"], x + mixed[:, :128])
        v = v * (1 + np.repeat(mixed[:, 128:], [3, 5, 7, 9], axis=1))
    return {"block_3": x, "block_3_equivariant": v}
