"""A stored metric learned again, on other donors or under other labels."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from anndata import AnnData
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from scggml._anndata.genes import read_axes, read_genes
from scggml._anndata.metric import Stored, stored_features
from scggml._anndata.read import check_classes, read_cohort
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.explain.attribution import feature_contributions, gap_weights
from scggml._core.learn.canonical import Canonical, InitialName
from scggml._core.learn.learner import LearnedMetric
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.pairs import all_pairs, solve_plans
from scggml._core.transport.products import project
from scggml._core.transport.solver import Solver


@dataclass(frozen=True)
class Refit:
    """The cohort of a stored metric and how it was learned.

    Parameters
    ----------
    axes
        (n_genes, d) that carry features back to genes, None if features are what is ranked.
    """

    cohort: Cohort
    learner: LearnedMetric
    solver: Solver
    axes: Floats | None

    def components(self, cohort: Cohort, seed: int) -> Floats:
        """(k, d) the metric of another cohort, up to scale."""
        return self.learner.components(cohort, rng=np.random.default_rng(seed), solver=self.solver)

    def loadings(self, samples: Integers, seed: int) -> Floats:
        """(k, n_genes) gene loadings of the metric of these samples."""
        W = self.components(self.cohort.take(samples), seed)
        return W if self.axes is None else W @ self.axes.T

    def excess(self, labels: Integers, seed: int) -> Floats:
        """(n_genes,) excess of the genes under the metric of these labels."""
        cohort = replace(self.cohort, labels=labels)
        return self.excess_under(self.components(cohort, seed), cohort)

    def excess_under(self, W: Floats, cohort: Cohort) -> Floats:
        """(n_genes,) what each gene adds to the gap between classes, as a share of the distance between them."""
        pairs = all_pairs(cohort.n_samples)
        between, within = gap_weights(cohort, pairs)
        Z = project(cohort.points, W)
        plans = solve_plans(cohort, Z, pairs, self.learner.cost, solver=self.solver, n_jobs=1)
        squared = self.learner.squared
        parts = feature_contributions(cohort, Z, W, plans, between - within, squared=squared, axes=self.axes)
        apart = float(between @ plans.values)
        return parts / apart if apart > 0 else np.zeros_like(parts)


def read_refit(adata: AnnData, stored: Stored, solver: Solver) -> Refit:
    """Read the cohort and the parameters with which a metric was learned."""
    params = stored.params
    if stored.param("init") == "array":
        raise ValueError(
            f"The metric {stored.key!r} was learned from an array (init), which is not stored, so it cannot be learned "
            'again. Learn it with init="canonical".'
        )
    summary = stored.param("summary")
    if summary is not None and int(params.get("refine", 0)) > 0:
        raise ValueError(
            f"The metric {stored.key!r} was refined on all cells after learning on {summary}; refits would not be. "
            "Learn it with refine=0."
        )
    generator = np.random.default_rng(params.get("seed"))
    cohort = read_cohort(
        adata,
        stored_features(adata, stored),
        str(params["sample_key"]),
        str(params["label_key"]),
        weights_key=stored.param("weights_key"),
        n_cells=None if params.get("n_cells") is None else int(params["n_cells"]),
        min_cells=int(params["min_cells"]),
        summary=None if summary is None else Coreset(**_numbers(summary)),
        rng=generator,
    )
    check_classes(cohort, str(params["label_key"]))
    axes = read_axes(adata, stored, read_genes(adata, stored))
    return Refit(cohort, learner_of(stored), solver, axes)


def learner_of(stored: Stored) -> LearnedMetric:
    """How a stored metric was learned; a start that was an array, which is not stored, is the canonical one here."""
    params = stored.params
    batch_size = params.get("batch_size")
    margin, shrinkage = (
        "auto" if str(params[name]) == "auto" else float(params[name]) for name in ("margin", "shrinkage")
    )
    return LearnedMetric(
        n_comps=int(params["n_comps"]),
        margin=margin,  # type: ignore[arg-type]  # "auto" is the only text
        penalty=str(params["penalty"]),  # type: ignore[arg-type]  # it was one when it was stored
        reg=float(params["reg"]),
        squared=stored.squared,
        anchors=str(params["anchors"]),  # type: ignore[arg-type]
        init=_as_init(str(params["init"])),
        lr=float(params["lr"]),
        max_iter=int(params["max_iter"]),
        tol=float(params["tol"]),
        batch_size=None if batch_size is None else int(batch_size),
        shrinkage=shrinkage,  # type: ignore[arg-type]
    )


def _as_init(text: str) -> InitialName | Canonical:
    """The start by name, or as the object whose text was stored."""
    if text in get_args(InitialName):
        return text  # type: ignore[return-value]  # mypy does not narrow by get_args
    return "canonical" if text == "array" else Canonical(**_numbers(text))


def _numbers(text: str) -> dict[str, Any]:
    """Arguments of an object by its text, such as "Canonical(ridge=0.03, n_alternations=3)"."""
    found = re.findall(r"(\w+)=(?:np\.\w+\()?([-+\d.e]+)", text)
    return {name: int(value) if value.isdigit() else float(value) for name, value in found}


def run_all(
    function: Callable[..., Floats], tasks: Sequence[tuple[Any, ...]], *, n_jobs: int | None, progress: str | None
) -> list[Floats]:
    """Results of the tasks in their order, computed in processes of one thread each; a warning comes once."""
    results, said = [], set[str]()
    jobs = min(n_threads(n_jobs), max(len(tasks), 1))
    answers = Parallel(n_jobs=jobs, return_as="generator")(delayed(_alone)(function, task) for task in tasks)
    for result, messages in tqdm(
        answers, total=len(tasks), desc=progress, unit="fit", disable=progress is None, leave=False
    ):
        results.append(result)
        said.update(messages)
    for message in sorted(said):
        warnings.warn(message, stacklevel=3)
    return results


def _alone(function: Callable[..., Floats], task: tuple[Any, ...]) -> tuple[Floats, list[str]]:
    """Run a task on one thread, so that its result is the same in any process, and collect what it warns of."""
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*task)
    return result, [str(warning.message) for warning in caught]
