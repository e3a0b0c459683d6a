from ._cross_validation import CrossValidation as CrossValidation
from ._cross_validation import cross_validation as cross_validation
from ._enrichment_df import enrichment_df as enrichment_df
from ._metric import Metric as Metric
from ._metric import metric as metric
from ._power import Power as Power
from ._power import power as power
from ._rank_genes_df import rank_genes_df as rank_genes_df
