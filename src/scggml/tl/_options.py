"""Options that are objects."""

from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner
from scggml._core.learn.triplets import Triplets
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.exact import Exact

__all__ = ["Canonical", "Coreset", "Exact", "Learner", "Triplets"]
