from ._clustermap import clustermap as clustermap
from ._confusion import confusion as confusion
from ._cross_validation import cross_validation as cross_validation
from ._embedding import embedding as embedding
from ._history import history as history
from ._loadings import loadings as loadings
from ._permutation_test import permutation_test as permutation_test
from ._predictions import predictions as predictions
