"""One entry of the table of `comparison.py`: a method with a solver and a summary, cross-validated on one cohort."""

import contextlib
import json
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
from _environment import REFERENCE
from _worker import Gate, Memory, Worker
from generalisation import load
from sklearn.base import BaseEstimator

import scggml as sg
from scggml._core.cohort import from_clouds
from scggml._core.evaluate.classify import knn_votes
from scggml._core.evaluate.methods import ByDistance, FixedMetric, needs_of
from scggml._core.evaluate.rivals import RIVALS
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric, cross_distances
from scggml._core.transport.solvers import SOLVERS
from scggml._core.transport.summaries import COMBINATIONS, SUMMARIES, SUMMARY_TRAITS, WHOLE
from scggml.tl._methods import as_method

NEIGHBORS = 3
TYPES = "cell_type"
OWN_CENTERS = "groups, own centers"
FIXED = ("euclidean", "cosine")
TIME_STEPS = "Scarvelis and Solomon"
"""Riemannian metric learning, which follows populations over time: these cohorts have one time."""


class Package(NamedTuple):
    """A package in an environment of its own: what is installed, and before it."""

    requirement: str
    first: tuple[str, ...]


PACKAGES = {
    "itml": Package("metric-learn==0.7.0", ("scikit-learn<1.6",)),  # it calls what scikit-learn 1.8 took away
    "wda": Package("POT[dr]==0.9.7", ()),
    "wsingular": Package("wsingular==0.1.7", ("torch",)),
    "ggml-ot": Package(REFERENCE, ("torch",)),
}
"""The rivals of `_rivals.py`."""


@dataclass(frozen=True)
class Entry:
    """A row of the table."""

    method: str
    solver: str = "exact"
    summary: str = WHOLE

    @property
    def name(self) -> str:
        """What differs from exact transport between all cells stands behind the method."""
        solver = () if self.solver == "exact" or not self.able else (self.solver,)
        return ", ".join((self.method, *solver, *(() if self.summary == WHOLE else (self.summary,))))

    @property
    def able(self) -> bool:
        """Whether there is a choice of solvers."""
        return len(SUMMARY_TRAITS[self.summary.partition(",")[0]].solvers) > 1

    @property
    def learned(self) -> bool:
        """Whether it is one of scggml's own metrics."""
        return self.method in {method for *_, method in COMBINATIONS}

    @property
    def needs_types(self) -> bool:
        """Whether it needs cell types."""
        if self.summary.startswith("groups"):
            return True
        base = ByDistance(FixedMetric("euclidean"))
        return self.method in RIVALS and "cell_types" in needs_of(as_method(self.method, base))


def entries(everything: bool) -> list[Entry]:
    """Return the rows: one thing changed at a time from the default, or each combination of what scggml has; rivals."""
    if everything:
        own = [Entry(method, solver, name) for (name, solver, method), legal in COMBINATIONS.items() if legal]
    else:
        own = [Entry(method) for method in dict.fromkeys(method for *_, method in COMBINATIONS)]
        own += [Entry("canonical", solver) for solver in SOLVERS if solver != "exact"]
        own += [Entry("canonical", SUMMARY_TRAITS[name].solvers[0], name) for name in SUMMARIES]
    own.append(Entry("canonical", "exact", OWN_CENTERS))
    return [*own, *map(Entry, FIXED), *map(Entry, RIVALS), *map(Entry, PACKAGES), Entry(TIME_STEPS)]


def summary_of(entry: Entry, points: int) -> Any:
    """Return the object that makes a summary of each sample; None for all cells."""
    objects = {
        WHOLE: None,
        "coreset": sg.tl.Coreset(points),
        "groups": sg.tl.Groups(TYPES),
        OWN_CENTERS: sg.tl.Groups(TYPES, shared=False),
    }
    return objects[entry.summary] if entry.summary in objects else SUMMARIES[entry.summary]()


class Elsewhere(BaseEstimator):
    """A rival in its own environment, as a method of `sg.tl.cross_validate`.

    It learns there from the training samples of a fold. Samples are compared here, by exact transport under what it
    has learned, and the votes are those of all other methods.
    """

    def __init__(self, place: "Place") -> None:
        self.place = place

    def __sklearn_clone__(self) -> "Elsewhere":
        """Return one that has seen nothing, at the same place."""
        return Elsewhere(self.place)

    def fit(self, clouds: list[np.ndarray], y: np.ndarray) -> "Elsewhere":
        """Let the rival learn."""
        return self.take(self.place.learn(clouds, y), clouds, y)

    def take(self, found: dict[str, np.ndarray], clouds: list[np.ndarray], y: np.ndarray) -> "Elsewhere":
        """Keep what was learned, and the samples that it was learned from."""
        self.found, self.clouds, self.labels = found, clouds, np.asarray(y)
        return self

    def predict_proba(self, clouds: list[np.ndarray]) -> np.ndarray:
        """Votes (n, C) of the nearest training samples."""
        return knn_votes(self.distances(clouds), self.labels, int(self.labels.max()) + 1, NEIGHBORS)

    def distances(self, clouds: list[np.ndarray]) -> np.ndarray:
        """Distances (n, P) to the training samples."""
        if "W" in self.found:
            metric = GroundMetric(self.found["W"], "euclidean")
            both = from_clouds(clouds), from_clouds(self.clouds)
            return cross_distances(metric, *both, solver=Exact(), among=False)
        shares, known = (np.array([self._shares(cloud) for cloud in part]) for part in (clouds, self.clouds))
        return np.array([[Exact().solve(a, b, self.found["cost"]).cost for b in known] for a in shares])

    def _shares(self, cloud: np.ndarray) -> np.ndarray:
        centers = self.found["centers"]
        nearest = ((cloud[:, None, :] - centers) ** 2).sum(axis=2).argmin(axis=1)
        return np.bincount(nearest, minlength=len(centers)) / len(cloud)


class Place:
    """Where a rival runs: its process, which takes one fold after the other, and what it has cost."""

    def __init__(self, rival: str, python: str, folder: Path, seed: int) -> None:
        self.data, self.found = folder / "data.npz", folder / "found.npz"
        self.config = {"rival": rival, "data": str(self.data), "found": str(self.found), "seed": seed}
        self.python = python
        self.worker: Worker | None = None
        self.cpu, self.MB = 0.0, 0.0

    def learn(self, clouds: list[np.ndarray], y: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the rival has learned from samples."""
        owner = np.repeat(np.arange(len(clouds)), list(map(len, clouds)))
        np.savez(self.data, cells=np.concatenate(clouds), owner=owner, labels=np.asarray(y))
        if self.worker is None:
            self.worker = Worker("_rivals:serve", self.config, threads=1, python=self.python)
        self.worker.step()
        with np.load(self.found) as file:
            out = {name: file[name] for name in file.files}
        self.cpu += float(out.pop("cpu"))
        self.MB = max(self.MB, float(out.pop("MB")))
        return out

    def forget(self) -> None:
        """Forget what it has cost."""
        self.cpu, self.MB = 0.0, 0.0

    def close(self) -> None:
        """End its process; the next fold starts another one."""
        if self.worker is not None:
            self.worker.close()
        self.worker = None


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise a TimeoutError after that many seconds (where the system has alarms)."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    kept = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)


def reason_without(entry: Entry, adata: ad.AnnData) -> str | None:
    """Return why an entry has no numbers on a cohort, as far as that is known before."""
    if entry.needs_types and TYPES not in adata.obs:
        return "no cell types"
    return None


def validate(adata: ad.AnnData, entry: Entry, method: Any, config: dict[str, Any], splits: int) -> None:
    """Cross-validate one method, on folds that depend on the cohort and the seed alone."""
    has = set(adata.obs)
    sg.tl.cross_validate(
        adata,
        "sample_id",
        "label",
        groups_key="patient_id" if "patient_id" in has else None,
        cell_type_key=TYPES if entry.needs_types and entry.summary == WHOLE else None,
        label_kind="classes",
        methods={entry.name: method},
        summary=summary_of(entry, config["points"]),
        n_cells=config["cells"],
        calibrate=False,  # what is predicted stays, and a row costs what its method does
        n_splits=splits,
        n_repeats=config["repeats"],
        n_neighbors=NEIGHBORS,
        rng=config["seed"],
        n_jobs=1,
        progress=False,
    )


def warm_up(adata: ad.AnnData, entry: Entry, method: Any, config: dict[str, Any]) -> None:
    """Do the same on a few samples of a few cells: imports, and compiled code made or loaded."""
    samples = adata.obs.groupby("sample_id", observed=True)["label"].first()
    few = samples.groupby(samples, observed=True).head(4).index
    small = adata[adata.obs["sample_id"].isin(few)].copy()
    with contextlib.suppress(ValueError):  # so few cells may lack what the cohort has
        validate(small, entry, method, config | {"cells": 10, "repeats": 1, "points": 5}, 2)


def row(config: dict[str, Any], gate: Gate) -> None:
    """Write the numbers of an entry on one cohort after each gate, or the reason why there are none."""
    warnings.simplefilter("ignore")
    entry = Entry(**config["entry"])
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place, method = None, entry.method
        if entry.method in PACKAGES:
            place = Place(entry.method, config["python"], Path(folder), config["seed"])
            stack.callback(place.close)
            method = Elsewhere(place)
        elif entry.learned:
            method = sg.tl.Learner(method=entry.method, solver=entry.solver)
        for path in config["paths"]:
            gate()
            found = on_cohort(load(Path(path), config["per_class"]), entry, method, place, config)
            Path(config["found"]).write_text(json.dumps(found), encoding="utf-8")
        gate()


def on_cohort(
    adata: ad.AnnData, entry: Entry, method: Any, place: Place | None, config: dict[str, Any]
) -> dict[str, Any]:
    """Return the numbers of an entry on a cohort, or why there are none."""
    sizes = {"samples": int(adata.obs["sample_id"].nunique()), "classes": int(adata.obs["label"].nunique())}
    reason = reason_without(entry, adata)
    if reason is not None:
        return sizes | {"reason": reason}
    warm_up(adata, entry, method if place is None else "euclidean", config)
    if place is not None:
        place.forget()
    memory, began = Memory(), time.process_time()
    try:
        with at_most(config["cap"]):
            validate(adata, entry, method, config, config["splits"])
    except (ValueError, RuntimeError, TimeoutError, MemoryError) as error:
        if place is not None:
            place.close()
        return sizes | {"reason": str(error) if isinstance(error, TimeoutError) else f"failed: {last_line(error)}"}
    cpu, extra = time.process_time() - began, memory.extra
    if place is not None:
        cpu, extra = cpu + place.cpu, max(extra, place.MB)
    return sizes | scores_of(adata) | {"seconds": cpu, "MB": extra}


def last_line(error: Exception) -> str:
    """Return what a message ends with."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]


def scores_of(adata: ad.AnnData) -> dict[str, float]:
    """Return the scores of all held-out samples, as means over repeats."""
    scores = sg.get.cross_validation(adata).scores
    whole = scores[scores["fold"] == -1].groupby("metric", observed=True)["value"].mean()
    return {name: float(whole[name]) for name in ("balanced_accuracy", "auroc") if name in whole.index}
