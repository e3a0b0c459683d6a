from ._enrich_gmt import enrich_gmt as enrich_gmt
from ._gprofiler import gprofiler as gprofiler
