"""Two criteria in closed form: the evidence of a linear model, and the effective rank."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from jaxalign.learning.selection.extra import require_sklearn


def log_evidence(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"]) -> float:
    """Greatest log evidence per structure of Bayesian linear regression.

        1/n max_{α, β} ln ∫ N(y | Xw, β⁻¹ I) N(w | 0, α⁻¹ I) dw

    Columns and labels are standardized first, which the published criterion does not do.

    Args:
      x: embeddings.
      y: labels that vary.

    Returns:
      The evidence in nats; larger is better.

    Raises:
      MissingExtraError: scikit-learn is not installed.

    References:
      You, Liu, Wang, Long: LogME, ICML (2021).
    """
    scaled = require_sklearn("preprocessing").StandardScaler().fit_transform(x)
    model = require_sklearn("linear_model").BayesianRidge(compute_score=True)
    return float(model.fit(scaled, (y - y.mean()) / y.std()).scores_[-1]) / len(y)


def effective_rank(x: Float64[np.ndarray, "n d"]) -> float:
    """Exponential of the entropy of the normalized singular values of centered embeddings.

        exp(−Σ p_i ln p_i),  p_i = σ_i / Σ σ

    Args:
      x: embeddings.

    Returns:
      Between 1 and min(n − 1, d); NaN if all rows are equal.

    References:
      Roy, Vetterli: The effective rank, EUSIPCO (2007); Garrido et al.: RankMe, ICML (2023), of
      embeddings that are not centered, as a criterion without labels.
    """
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    if values.sum() == 0:
        return float("nan")
    share = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(share * np.log(share))))
