"""The options of the method that are objects of their own."""

from scggml._core.initial import Canonical
from scggml._core.summary import Coreset
from scggml._core.transport import Exact

__all__ = ["Canonical", "Coreset", "Exact"]
