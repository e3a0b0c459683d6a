"""Torch, which the entropic solvers alone need, and the device that they run on."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from scggml._core.cohort import Floats
from scggml._core.threads import one_thread

Device = Literal["auto", "cpu", "cuda", "mps"]

Tensor = Any
"""A tensor of torch, which may not be installed where types are checked."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")

ON_CPU, ON_DEVICE = 2**16, 2**25
"""Costs of a batch that are held at a time, as far as one pair has not more: what the cache of a core holds, and what
keeps a GPU busy (about 0.5 GB with what is computed from them)."""


@dataclass(frozen=True)
class Place:
    """Say where batches are computed, and in which precision."""

    torch: Any
    device: str
    dtype: Any
    budget: int

    def tensor(self, values: Any) -> Tensor:
        """Return numbers as a tensor of this place."""
        return self.torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def index(self, values: Any) -> Tensor:
        """Return whole numbers as a tensor of this place."""
        return self.torch.as_tensor(values, dtype=self.torch.int64, device=self.device)


@cache
def place_of(device: Device) -> Place:
    """Return the place of that name; `"auto"` takes CUDA where there is a GPU, and the CPU elsewhere.

    On the CPU numbers are in double precision, which gradients to 1e-4 and tolerances below 1e-5 need; GPUs compute in
    single precision, which is 30 times faster on most of them.
    """
    torch = torch_of()
    name = device
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        known = ", ".join(repr(each) for each, found in there.items() if found)
        raise ValueError(f"device={device!r} is not available to torch here; choose from {known}, or pass 'auto'.")
    if name == "cpu":
        return Place(torch, name, torch.float64, ON_CPU)
    return Place(torch, name, torch.float32, ON_DEVICE)


def torch_of() -> Any:
    """Import torch, or say how to get it."""
    try:
        import torch  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise ImportError(
            'The solvers "sinkhorn", "sinkhorn_divergence" and "unbalanced", and coresets on a GPU, need torch, which '
            'is not installed: pip install "scggml[torch]", or pass solver="exact" and device="cpu".'
        ) from error
    return torch


def as_array(tensor: Tensor) -> Floats:
    """Return a tensor as an array in double precision."""
    out: Floats = tensor.double().cpu().numpy() if tensor.device.type != "mps" else tensor.cpu().double().numpy()
    return out


def alone(place: Place, function: Callable[[Task], Answer], task: Task) -> Answer:
    """Return the answer to a task that torch computes in this thread alone, without notes for its own gradients."""
    place.torch.get_num_threads()  # begins torch in this thread, which sets the number of threads
    with place.torch.inference_mode(), one_thread("openmp") if place.device == "cpu" else nullcontext():
        return function(task)
