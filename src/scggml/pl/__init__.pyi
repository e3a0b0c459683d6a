from ._attribution import attribution as attribution
from ._clustermap import clustermap as clustermap
from ._embedding import embedding as embedding
from ._enrichment import enrichment as enrichment
from ._gene_stability import gene_stability as gene_stability
from ._history import history as history
from ._loadings import loadings as loadings
from ._plan import plan as plan
