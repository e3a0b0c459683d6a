"""The options of the method that are objects of their own."""

from scggml._core.learn.canonical import Canonical
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.exact import Exact

__all__ = ["Canonical", "Coreset", "Exact"]
