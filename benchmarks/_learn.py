"""The jobs that measure scggml's learning step by step, for the scripts that compare and scale it."""

import argparse
import ast
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from _data import load
from _worker import Gate, Memory, stop_at_passes

import scggml as sg
from scggml._core.cohort import Cohort, from_clouds
from scggml._core.learn.objective import Objective
from scggml._core.learn.triplets import Descent, Schedule, fit


def value(text: str) -> Any:
    """What a user wrote on the command line: a literal, an object of `sg.tl` such as `Exact(max_iter=100)`, or text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        found = ast.parse(text, mode="eval").body
    except SyntaxError:
        return text
    return _object(found) if isinstance(found, ast.Call) else text


def _object(node: ast.expr) -> Any:
    """A literal, or an object of `sg.tl` whose options are such."""
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not (isinstance(node.func, ast.Name) and hasattr(sg.tl, node.func.id)):
        raise ValueError(f"{ast.unparse(node.func)} is no object of sg.tl.")
    positional = [_object(argument) for argument in node.args]
    named = {argument.arg: _object(argument.value) for argument in node.keywords if argument.arg is not None}
    return getattr(sg.tl, node.func.id)(*positional, **named)


def arguments(texts: list[str]) -> dict[str, Any]:
    """`["n_comps=2", "method=Triplets(lr=0.1)"]` as keyword arguments."""
    pairs = [text.partition("=") for text in texts]
    return {name: value(written) for name, _, written in pairs}


def add_learning_options(parser: argparse.ArgumentParser) -> None:
    """Numbers of the objective and of Adam; the defaults are those of the reference's `train_emd2`."""
    parser.add_argument("--steps", type=int, default=30, help="steps of Adam (default 30)")
    parser.add_argument("--alpha", type=float, default=10.0, help="margin (default 10)")
    parser.add_argument("--reg", type=float, default=0.001, help="weight of the Frobenius norm (default 0.001)")
    parser.add_argument("--lr", type=float, default=0.05, help="step of Adam (default 0.05)")
    parser.add_argument("--solver", default="Exact()", help='solver of scggml, such as "Exact(max_iter=1000)"')


def learning(options: argparse.Namespace) -> dict[str, Any]:
    """The part of a worker's config that these options fill."""
    return {name: getattr(options, name) for name in ("steps", "alpha", "reg", "lr", "solver")}


def objective_of(config: Mapping[str, Any]) -> Objective:
    """The reference's objective."""
    return Objective(
        margin=config["alpha"],
        reg=config["reg"],
        squared=config.get("squared", False),
        solver=value(config["solver"]),
        n_jobs=config.get("threads", 1),
    )


def train(cohort: Cohort, W0: np.ndarray, config: Mapping[str, Any], steps: int) -> Descent:
    """Plain Adam on all samples, as the reference does it."""
    schedule = Schedule(lr=config["lr"], max_iter=steps, tol=0.0, batch_size=None)
    rng = np.random.default_rng(0)
    return fit(cohort, W0, objective_of(config), schedule, n_comps=len(W0), scale_free=False, rng=rng, progress=True)


def first_call(config: Mapping[str, Any], k: int, d: int) -> float:
    """Seconds of the first calls of this process, on next to nothing: imports, and compiled code made or loaded."""
    began = time.perf_counter()
    clouds = np.random.default_rng(0).standard_normal((4, 6, d)).astype(np.float32)  # the precision of the data
    cohort = from_clouds(list(clouds), np.arange(4) % 2)
    result = train(cohort, np.eye(k, d), config, 2)
    objective_of(config).distances(cohort, result.components)
    return time.perf_counter() - began


def steps(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Learn, with a gate before each step and one at the end; W, losses and memory."""
    clouds, labels, W0 = load(config["data"])
    warm_up = first_call(config, *W0.shape)
    cohort = from_clouds(list(clouds), labels)
    del clouds
    memory = Memory()
    gate()
    with stop_at_passes(gate):
        result = train(cohort, W0, config, config["steps"])
    extra = memory.extra
    began = time.perf_counter()
    if config.get("distances", False):
        objective_of(config).distances(cohort, result.components)
    return {
        "W": result.components.tolist(),
        "loss": result.loss.tolist(),
        "active": result.active.tolist(),
        "memory": extra,
        "first_call": warm_up,
        "distances": time.perf_counter() - began,
    }


def losses(config: dict[str, Any], gate: Gate) -> list[float]:
    """Objective at each of the metrics `config["metrics"]`."""
    clouds, labels, _ = load(config["data"])
    cohort = from_clouds(list(clouds), labels)
    gate()
    return [objective_of(config).evaluate(cohort, np.array(W)).value for W in config["metrics"]]
