from ._cross_validation import CrossValidation as CrossValidation
from ._cross_validation import cross_validation as cross_validation
from ._metric import Metric as Metric
from ._metric import metric as metric
