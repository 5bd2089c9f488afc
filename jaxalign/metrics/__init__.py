"""One estimator a file: statistics per model, terms per pair, scores.

Public functions take two arrays and return a `Score`; the engine (`jaxalign.align`) evaluates the
same definitions for all pairs of many models.
"""

from jaxalign.metrics._cknna import cknna as cknna
from jaxalign.metrics._mutual_knn import mutual_knn as mutual_knn
