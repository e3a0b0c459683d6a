from ._convert_genes import convert_genes as convert_genes
from ._enrich_gmt import enrich_gmt as enrich_gmt
from ._gprofiler import gprofiler as gprofiler
