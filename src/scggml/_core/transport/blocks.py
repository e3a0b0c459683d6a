"""Choose how a batch is computed: with its costs held, or on a GPU by one kernel that holds none."""

from scggml._core.transport.batches import Batch
from scggml._core.transport.dense import DenseBlock
from scggml._core.transport.devices import Place
from scggml._core.transport.fused import FusedBlock
from scggml._core.transport.scaling import Block
from scggml._core.transport.sinkhorn_kernel import has_triton, sweep_fused
from scggml._core.transport.typical import Kind

MOST = 64
"""Coordinates up to which a sweep computes costs anew: with more, products of matrices are faster."""

FUSED = 2**31
"""Costs of a batch that one kernel sweeps over, which holds a few numbers for each cell of each pair."""


def is_fused(place: Place, kind: Kind, n_coordinates: int) -> bool:
    """Return whether batches are swept over by one kernel."""
    known = kind in ("euclidean", "sqeuclidean") and 0 < n_coordinates <= MOST
    return place.device == "cuda" and known and has_triton()


def block_of(batch: Batch, place: Place, kind: Kind) -> Block:
    """Return the batch with a way to compute it."""
    if is_fused(place, kind, int(batch.x.shape[2])):
        return FusedBlock(batch, place, kind, sweep_fused)
    return DenseBlock(batch, place, kind)


def room_of(place: Place, kind: Kind = "euclidean", n_coordinates: int = 1) -> int:
    """Return how many costs a batch may have, as far as one pair has not more."""
    return FUSED if is_fused(place, kind, n_coordinates) else place.budget
