from ._metric import Metric as Metric
from ._metric import metric as metric
