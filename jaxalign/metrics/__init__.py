"""One estimator a file: statistics per model, terms per pair, scores.

Public functions take two arrays (one, for `intrinsic_dimension`) and return a `Score`; the engine
(`jaxalign.align`) evaluates the same definitions for all pairs of many models. `METRICS` lists
every definition by the id that `align` and the command line take.
"""

from jaxalign.metrics._cca import cca as cca
from jaxalign.metrics._cca import pwcca as pwcca
from jaxalign.metrics._cca import svcca as svcca
from jaxalign.metrics._cka import cka as cka
from jaxalign.metrics._cknna import cknna as cknna
from jaxalign.metrics._cycle_knn import cycle_knn as cycle_knn
from jaxalign.metrics._distance_correlation import distance_correlation as distance_correlation
from jaxalign.metrics._edit_knn import edit_knn as edit_knn
from jaxalign.metrics._idcor import idcor as idcor
from jaxalign.metrics._information_imbalance import information_imbalance as information_imbalance
from jaxalign.metrics._intrinsic_dimension import intrinsic_dimension as intrinsic_dimension
from jaxalign.metrics._jaccard_knn import jaccard_knn as jaccard_knn
from jaxalign.metrics._lcs_knn import lcs_knn as lcs_knn
from jaxalign.metrics._mutual_knn import mutual_knn as mutual_knn
from jaxalign.metrics._procrustes import procrustes as procrustes
from jaxalign.metrics._reconstruction import reconstruction_error as reconstruction_error
from jaxalign.metrics._rsa import rsa as rsa
from jaxalign.metrics.registry import METRICS as METRICS
