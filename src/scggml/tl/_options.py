"""Options that are objects."""

from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner
from scggml._core.learn.triplets import Triplets
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.exact import Exact
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.groups import Groups
from scggml._core.transport.mixture import Mixture
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.unbalanced import Unbalanced

__all__ = [
    "Canonical",
    "Coreset",
    "Exact",
    "Gaussian",
    "Groups",
    "Learner",
    "Mixture",
    "Sinkhorn",
    "SinkhornDivergence",
    "Triplets",
    "Unbalanced",
]
