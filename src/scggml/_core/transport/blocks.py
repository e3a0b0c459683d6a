"""How a batch is computed: with its costs held, or on a GPU by one kernel that holds none."""

from scggml._core.transport.batches import Batch
from scggml._core.transport.dense import DenseBlock
from scggml._core.transport.devices import Place
from scggml._core.transport.scaling import Block
from scggml._core.transport.typical import Kind


def block_of(batch: Batch, place: Place, kind: Kind) -> Block:
    """Return the batch with a way to compute it."""
    return DenseBlock(batch, place, kind)


def room_of(place: Place, kind: Kind = "euclidean", n_coordinates: int = 1) -> int:
    """Return how many costs a batch may have, as far as one pair has not more."""
    return place.budget
