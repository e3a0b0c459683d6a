from ._clustermap import clustermap as clustermap
from ._embedding import embedding as embedding
from ._history import history as history
from ._loadings import loadings as loadings
