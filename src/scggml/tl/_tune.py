"""Options chosen inside the training donors, and judged outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.design import read_design
from scggml._anndata.keys import TUNING
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.read import choices
from scggml._anndata.results import params, table, write_entry
from scggml._core.checks import check_whole
from scggml._core.evaluate.folds import make_folds
from scggml._core.evaluate.methods import ByDistance, Majority, Method
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.tuned import SEARCHES, Search, Setting, Tuned, setting_name
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import LearnedMetric
from scggml._core.samples import LabelKind
from scggml.tl._cross_validate import CONFIDENCE, entry, run_folds

SPACE: dict[str, Sequence[Any]] = {"n_comps": (2, 5, 10), "ridge": (0.03, 0.3), "shrinkage": (0.0, 0.4)}
"""What is tried if nothing is said: canonical variates, no gradient step."""


def tune(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    groups_key: str | None = None,
    space: Mapping[str, Sequence[Any]] | None = None,
    search: Search = "grid",
    n_trials: int | None = None,
    preprocess: Literal["auto"] | Preprocess | Callable[[AnnData, AnnData], tuple[Any, Any]] | None = "auto",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    label_kind: LabelKind | Literal["auto"] = "auto",
    batch_key: str | None = None,
    n_splits: int = 5,
    n_repeats: int = 1,
    n_inner_splits: int = 4,
    n_inner_repeats: int = 1,
    n_cells: int | None = 100,
    min_cells: int = 1,
    key_added: str = TUNING,
    rng: int = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Choose the options of a learned metric in nested folds: by inner scores, judged by outer ones.

    The best of many settings looks better than it is, since the score that chose it is the largest of many noisy ones.
    So the choice is made anew inside the training donors of each outer fold, and only the outer score, on donors that
    had no part in the choice, says how well tuning works. The choice for later use is made at the end, in the same way
    on all donors.

    Parameters
    ----------
    adata
        Cells x genes.
    sample_key, label_key, groups_key
        Columns of `.obs`: sample of each cell, label and donor of each sample.
    space
        Values to try of each option: fields of `LearnedMetric`, `"ridge"` (of the canonical start) and `"n_neighbors"`.
        By default `n_comps` 2, 5, 10, `ridge` 0.03, 0.3 and `shrinkage` 0, 0.4. Among equally good settings the first
        is taken.
    search
        `"grid"` tries all combinations, `"random"` some, `"optuna"` lets the package Optuna pick them.
    n_trials
        Settings to try, for `"random"` and `"optuna"`; None for as many as there are combinations.
    preprocess, use_rep, layer, mask_var, label_kind, batch_key
        As in `cross_validate`. Features are fitted to the training donors of the outer fold.
    n_splits, n_repeats
        Outer folds.
    n_inner_splits, n_inner_repeats
        Inner folds.
    n_cells, min_cells
        As in `cross_validate`.
    key_added
        Slot of the result.
    rng
        Seed of draws, folds and search.
    n_jobs
        Processes, each with an outer fold at a time; None for what `joblib.parallel_config` says, or else all cores.
    progress
        Show a progress bar.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["tuning"]`: what `cross_validate` stores about the methods `"tuned"`,
    `"untuned"` (the first setting) and `"majority"`, to be read with `get.cross_validation(adata, key="tuning")`, and

    `choices`
        Table: `repeat` and `fold` (-1: all donors), `setting`, `inner_score`, `chosen`.
    `best`
        dict with the setting that is chosen on all donors.

    Raises
    ------
    KeyError, ValueError
        As `cross_validate`; also for an option that is not known.
    ImportError
        `search="optuna"` without Optuna.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_inner_splits": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.tune(adata, "sample_id", "label", space={"shrinkage": [1.0, 0.0]}, **options)
    >>> adata.uns["tuning"]["best"]
    {'shrinkage': 0.0}

    References
    ----------
    Varma and Simon, *Bias in error estimation when using cross-validation for model selection*, BMC Bioinformatics
    2006; Cawley and Talbot, *On over-fitting in model selection*, JMLR 2010; Akiba et al., *Optuna*, KDD 2019.
    """
    space = _check_space(SPACE if space is None else space)
    check_whole("rng", rng, 0, "; the same seed gives the same result")
    _check_search(search, n_trials)
    for name, number, low in (("n_inner_splits", n_inner_splits, 2), ("n_inner_repeats", n_inner_repeats, 1)):
        check_whole(name, number, low)
    generator = np.random.default_rng(rng)
    design = read_design(
        adata,
        sample_key,
        label_key,
        groups_key=groups_key,
        use_rep=use_rep,
        layer=layer,
        mask_var=mask_var,
        preprocess=preprocess,
        label_kind=label_kind,
        batch_key=batch_key,
        n_cells=n_cells,
        min_cells=min_cells,
        rng=generator,
    )
    tuned = Tuned(space, build, search, n_trials, n_inner_splits, n_inner_repeats)
    first = {name: values[0] for name, values in space.items()}
    methods: dict[str, Method] = {"tuned": tuned, "untuned": build(first), "majority": Majority()}
    folds = make_folds(design.target, design.groups, n_splits=n_splits, n_repeats=n_repeats, rng=generator)
    results = run_folds(design, folds, methods, rng, n_jobs=n_jobs, progress="tuning" if progress else None)
    best, inner = tuned.choose(design.samples(None), design.target, rng=generator)
    arguments = params(
        sample_key=sample_key,
        label_key=label_key,
        groups_key=groups_key,
        search=search,
        n_trials=n_trials,
        preprocess=design.step,
        use_rep=use_rep,
        layer=layer,
        label_kind=design.target.kind,
        batch_key=batch_key,
        n_splits=n_splits,
        n_repeats=n_repeats,
        n_inner_splits=n_inner_splits,
        n_inner_repeats=n_inner_repeats,
        n_cells=n_cells,
        min_cells=min_cells,
        seed=rng,
        confidence=CONFIDENCE,
    )
    found = entry(design, results, arguments)
    found["choices"] = _choices(results["tuned"], setting_name(best), inner)
    found["best"] = params(**best)
    adata = adata.copy() if copy else adata
    write_entry(adata, key_added, found)
    return adata if copy else None


def build(setting: Setting) -> Method:
    """The method with these options."""
    options = dict(setting)
    n_neighbors = options.pop("n_neighbors", 3)
    metric = LearnedMetric()
    if "ridge" in options:
        metric = replace(metric, init=Canonical(ridge=options.pop("ridge")))
    return ByDistance(replace(metric, **options), n_neighbors=n_neighbors)


def _check_space(space: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, ...]]:
    known = [field.name for field in fields(LearnedMetric)] + ["ridge", "n_neighbors"]
    for name, values in space.items():
        if name not in known:
            raise ValueError(f"space has an option {name!r} that is not known; choose from {choices(known)}.")
        if isinstance(values, str) or not len(values):
            raise ValueError(f"space[{name!r}] is {values!r}; a list of values to try is needed.")
        for value in values:
            build({name: value})
    if not space:
        raise ValueError(f"space is empty; name options and values to try, such as {SPACE}.")
    if {"init", "ridge"} <= set(space):
        raise ValueError("space has both 'init' and 'ridge', which is an option of the canonical start; pass one.")
    return {name: tuple(values) for name, values in space.items()}


def _check_search(search: str, n_trials: int | None) -> None:
    if search not in SEARCHES:
        raise ValueError(f"search={search!r} is not known; choose from {SEARCHES}.")
    if n_trials is not None:
        check_whole("n_trials", n_trials, 1, ", or None for all combinations")
        if search == "grid":
            raise ValueError(f"n_trials={n_trials}: a grid tries all combinations; pass search='random' or 'optuna'.")
    if search == "optuna" and find_spec("optuna") is None:
        raise ImportError("search='optuna' needs the package Optuna: pip install optuna. Or pass search='random'.")


def _choices(results: Sequence[HeldOut], best: str, inner: Mapping[str, float]) -> Any:
    """Table of what was tried in each outer fold, and at the end on all donors."""
    rows = [
        (part.fold.repeat, part.fold.fold, name, score, name == part.prediction.choice)
        for part in results
        for name, score in part.prediction.inner
    ]
    rows += [(-1, -1, name, score, name == best) for name, score in inner.items()]
    names = ("repeat", "fold", "setting", "inner_score", "chosen")
    return table(dict(zip(names, zip(*rows, strict=True), strict=True)), names=("setting",))
