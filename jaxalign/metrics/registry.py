"""All metrics by id."""

from __future__ import annotations

import difflib

from jaxalign.metrics._cca import CCA, PWCCA, SVCCA
from jaxalign.metrics._cka import CKA, CKA_BIASED, CKA_RBF, CKA_RBF_BIASED
from jaxalign.metrics._cknna import CKNNA, CKNNA_PLATONIC
from jaxalign.metrics._cycle_knn import CYCLE_KNN
from jaxalign.metrics._definition import Metric
from jaxalign.metrics._distance_correlation import DISTANCE_CORRELATION, DISTANCE_CORRELATION_V
from jaxalign.metrics._edit_knn import EDIT_KNN
from jaxalign.metrics._idcor import IDCOR
from jaxalign.metrics._information_imbalance import INFORMATION_IMBALANCE
from jaxalign.metrics._intrinsic_dimension import ID_GRIDE, ID_MLE, ID_TWONN
from jaxalign.metrics._jaccard_knn import JACCARD_KNN
from jaxalign.metrics._lcs_knn import LCS_KNN
from jaxalign.metrics._mutual_knn import MUTUAL_KNN
from jaxalign.metrics._procrustes import PROCRUSTES, PROCRUSTES_ANGULAR
from jaxalign.metrics._reconstruction import RECONSTRUCTION
from jaxalign.metrics._rsa import RSA, RSA_SPEARMAN

METRICS: dict[str, Metric] = {
    metric.id: metric
    for metric in (
        *(MUTUAL_KNN, CYCLE_KNN, JACCARD_KNN, LCS_KNN, EDIT_KNN, CKNNA, CKNNA_PLATONIC),
        *(CKA, CKA_BIASED, CKA_RBF, CKA_RBF_BIASED),
        *(DISTANCE_CORRELATION, DISTANCE_CORRELATION_V, RSA, RSA_SPEARMAN),
        *(INFORMATION_IMBALANCE, PROCRUSTES, PROCRUSTES_ANGULAR, CCA, SVCCA, PWCCA),
        *(RECONSTRUCTION, ID_TWONN, ID_MLE, ID_GRIDE, IDCOR),
    )
}


def metric_definition(name: str) -> Metric:
    """Definition of a metric.

    Args:
      name: metric id, e.g. `"cknna"`.

    Raises:
      ValueError: unknown id; close matches and all ids are named.
    """
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.7)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown metric {name!r}{hint}; available: {', '.join(METRICS)}")
    return METRICS[name]
