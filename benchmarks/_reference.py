"""The jobs of the reference, ggml-ot, which run in its own environment.

Its training loop is called as it is. Three of its names are replaced for the time of a run: the random start (by W0),
the loader (by one that stops before each epoch, which is one step since one batch holds all samples), and the triplet
loss (by one that notes its value).
"""

from collections.abc import Iterator
from typing import Any

import ggml_ot
import numpy as np
import torch
from _data import load
from _worker import Gate, Memory
from ggml_ot.optimization import _ggml, api


class StoppingLoader:
    """The reference's loader, with a gate before each pass over it."""

    def __init__(self, loader: Any, gate: Gate) -> None:
        self.loader, self.gate, self.dataset = loader, gate, loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self.gate()
        yield from self.loader


def dataset_of(clouds: np.ndarray, labels: np.ndarray) -> Any:
    """The reference's data set; double precision, which it cannot be asked for, is put in place afterwards."""
    dataset = ggml_ot.from_numpy(list(clouds), labels.tolist())
    if torch.get_default_dtype() == torch.float64:
        dataset.supports = torch.from_numpy(clouds.astype(np.float64))
    return dataset


def train(dataset: Any, W0: np.ndarray, *, config: dict[str, Any], steps: int, gate: Gate) -> dict[str, Any]:
    """W after each step, and the hinge before it."""
    hinges = []
    loss, loader = api.batch_triplet_loss_emd2, api._setup_dataloader

    def noted(*args: Any, **kwargs: Any) -> torch.Tensor:
        out = loss(*args, **kwargs)
        hinges.append(out.item())
        return out

    def given(*_: Any) -> torch.Tensor:
        return torch.tensor(W0, dtype=torch.get_default_dtype(), requires_grad=True)

    kept = _ggml._ggml_init
    _ggml._ggml_init, api.batch_triplet_loss_emd2 = given, noted
    api._setup_dataloader = lambda *args, **kwargs: StoppingLoader(loader(*args, **kwargs), gate)
    try:
        history, _ = ggml_ot.train_emd2(
            dataset,
            alpha=config["alpha"],
            reg=config["reg"],
            n_comps=len(W0),
            lr=config["lr"],
            max_iter=steps,
            plot_iter=0,
            squared_ground_cost=config["squared"],
            return_map_A_history=True,
        )
    finally:
        _ggml._ggml_init, api.batch_triplet_loss_emd2, api._setup_dataloader = kept, loss, loader
    return {"history": history, "hinges": hinges}


def steps(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Learn, with a gate before each step and one at the end; W, losses and memory."""
    ggml_ot.settings.n_threads = config["threads"]
    torch.set_default_dtype(getattr(torch, config["dtype"]))
    clouds, labels, W0 = load(config["data"])
    small = np.random.default_rng(0).standard_normal((4, 6, W0.shape[1])).astype(np.float32)
    train(dataset_of(small, np.arange(4) % 2), W0, config=config, steps=2, gate=lambda: None)
    dataset = dataset_of(clouds, labels)
    del clouds
    memory = Memory()
    trained = train(dataset, W0, config=config, steps=config["steps"], gate=gate)
    gate()
    norms = [float(np.linalg.norm(W)) for W in trained["history"]]
    return {
        "W": trained["history"][-1].tolist(),
        "loss": [hinge + config["reg"] * norm for hinge, norm in zip(trained["hinges"], norms, strict=False)],
        "memory": memory.extra,
    }
