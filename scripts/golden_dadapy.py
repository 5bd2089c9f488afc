"""Freezes what DADApy finds in seeded data, for `tests/metrics/dadapy_test.py`.

    python -m venv D && D/bin/pip install 'dadapy==0.3.4' 'numpy<2'
    D/bin/python scripts/golden_dadapy.py

DADApy needs NumPy 1 and cannot stand beside this package: its outputs are kept instead, with the
inputs that gave them, in tests/data/golden_dadapy.npz.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from dadapy import Data, MetricComparisons

TARGET = Path(__file__).parents[1] / "tests" / "data" / "golden_dadapy.npz"
N, RANGE, KS = 400, 64, (1, 5)


def sheet(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two embeddings of a curved sheet: one with noise, one that sees a part of it."""
    u = rng.uniform(-1, 1, size=(N, 2))
    whole = np.column_stack([u, np.sin(3 * u[:, 0]), u[:, 0] * u[:, 1], np.cos(2 * u[:, 1])])
    part = np.column_stack([u[:, 0], u[:, 0] ** 2 + 0.3 * rng.normal(size=N), np.abs(u[:, 1])])
    noisy = whole + 0.01 * rng.normal(size=whole.shape)
    return noisy.astype(np.float32), part.astype(np.float32)


def dimensions(x: np.ndarray) -> dict[str, np.ndarray]:
    """TwoNN by both fits, and the scale curve of GRIDE with its errors."""
    found = {}
    for name, algorithm in (("ml", "ml"), ("regression", "base")):
        data = Data(coordinates=x.astype(np.float64), maxk=N - 1)
        found[f"twonn_{name}"] = data.compute_id_2NN(algorithm=algorithm, mu_fraction=0.9)[0]
    data = Data(coordinates=x.astype(np.float64), maxk=N - 1)
    values, errors, _ = data.return_id_scaling_gride(range_max=RANGE)
    return found | {"gride": values, "gride_errors": errors}


def imbalances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Information imbalance of x → y and y → x for every k."""
    both = np.column_stack([x, y]).astype(np.float64)
    comparison = MetricComparisons(coordinates=both, maxk=N - 1)
    first, second = list(range(x.shape[1])), list(range(x.shape[1], both.shape[1]))
    return np.array([comparison.return_inf_imb_two_selected_coords(first, second, k=k) for k in KS])


def main() -> None:
    """Writes the file."""
    x, y = sheet(np.random.default_rng(20251))
    found = {"x": x, "y": y, "ks": KS, "imbalances": imbalances(x, y)}
    for name, rows in (("x", x), ("y", y)):
        found |= {f"{name}_{key}": value for key, value in dimensions(rows).items()}
    np.savez(TARGET, **found, versions=f"dadapy {version('dadapy')}, numpy {version('numpy')}")
    print({key: value for key, value in found.items() if key not in ("x", "y")})


if __name__ == "__main__":
    main()
