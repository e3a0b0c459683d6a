"""Tune options inside the training donors, and score them outside."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.cross_validated import CONFIDENCE, entry
from scggml._anndata.evaluation import read_evaluation
from scggml._anndata.keys import TUNING
from scggml._anndata.messages import check_adata, choices, logged
from scggml._anndata.ownership import check_writable
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import check_result_key, params, table, write_result
from scggml._anndata.subject import given_of, read_design, read_subject
from scggml._arguments import shown
from scggml._core.checks import check_choice, check_whole
from scggml._core.evaluate.methods import ByDistance, Learned, Majority
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.tuned import SEARCHES, Search, Setting, Tuned, all_settings, setting_name
from scggml._core.folds import make_folds
from scggml._core.learn.learner import Learner
from scggml._core.learn.spectrum import usable_rank
from scggml._core.samples import LabelKind
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._docs import documented
from scggml.tl._cross_validate import run_folds

SPACE: dict[str, Sequence[Any]] = {"n_comps": (2, 5, 10), "ridge": (0.03, 0.3), "shrinkage": (0.0, 0.4)}
"""Values that are tried if nothing is said: canonical variates."""


@documented
@logged("tuning options in nested folds")
def tune(
    adata: AnnData,
    sample_key: str | None = None,
    label_key: str | None = None,
    *,
    key: str = "ggml",
    space: Mapping[str, Sequence[Any]] | None = None,
    search: Search = "grid",
    n_trials: int | None = None,
    preprocess: Literal["auto"] | Preprocess | Callable[[AnnData, AnnData], tuple[Any, Any]] | None = "auto",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    label_kind: LabelKind | Literal["auto"] | Sequence[str] | None = None,
    reference_class: str | int | None = None,
    groups_key: str | None = None,
    batch_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    weights_key: str | None = None,
    n_splits: int = 5,
    n_repeats: int = 1,
    n_inner_splits: int = 4,
    n_inner_repeats: int = 1,
    n_cells: int | Literal["auto"] | None = "auto",
    min_cells: int | None = None,
    summary: Summary = "auto",
    key_added: str = TUNING,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Choose the options of a learned metric in nested folds: by inner scores, evaluated by outer ones.

    The best of many settings looks better than it is, since the score that chose it is the largest of many noisy ones.
    So the choice is repeated inside the training donors of each outer fold, and only the outer score, on donors that
    were not looked at for the choice, says how well tuning works. The choice for later use is made at the end, in the
    same way on all donors.

    Parameters
    ----------
    adata
        %(adata_cells)s
    sample_key, label_key, groups_key
        %(keys_donors)s
        Without `sample_key` and `label_key` the learner, the cells and the study design of the metric that is stored as
        `key` are the starting point.
    key
        %(key_metric)s
    space
        Values to try of each option: fields of `Learner`, of its method (`Canonical` or `Triplets`), and
        `"n_neighbors"`. By default `n_comps` 2, 5, 10, `shrinkage` 0, 0.4 and, for canonical variates, `ridge` 0.03,
        0.3, as far as the features can carry that many components. Among equally good settings the first is taken.
    search
        `"grid"` tries all combinations, `"random"` some, `"optuna"` lets the package Optuna pick them.
    n_trials
        Settings to try, for `"random"` and `"optuna"`; None for as many as there are combinations.
    preprocess, use_rep, layer, mask_var, label_kind, reference_class, batch_key, covariate_keys, weights_key, summary
        As in `cross_validate`. Features are fitted to the training donors of the outer fold.
    n_splits, n_repeats
        Outer folds.
    n_inner_splits, n_inner_repeats
        Inner folds.
    n_cells, min_cells
        As in `cross_validate`.
    key_added
        %(key_result)s
    rng
        %(rng)s
    n_jobs
        %(n_jobs_processes)s
        Each has one outer fold at a time.
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["tuning"]`: what `cross_validate` stores about the methods `"tuned"`,
    `"untuned"` (the first setting) and `"majority"`, to be read with `get.cross_validation(adata, key="tuning")`, and

    `choices`
        Table: `repeat` and `fold` (-1: all donors), `setting`, `inner_score`, `chosen`.
    `best`
        dict with the setting that is chosen on all donors.
    `settings`
        Table: `setting`, as in `choices`, and a column for each option with its value.

    Raises
    ------
    KeyError, ValueError
        As `cross_validate`; also for an option that is not known, or `n_comps` above the rank of the features.
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
    check_adata(adata)
    check_result_key(adata, key_added, "cross_validation")
    check_writable(adata, copy=copy)
    n_threads(n_jobs)
    seed = as_seed(rng)
    _check_search(search, n_trials)
    for name, number, low in (("n_inner_splits", n_inner_splits, 2), ("n_inner_repeats", n_inner_repeats, 1)):
        check_whole(name, number, low)
    subject = read_subject(
        adata,
        sample_key,
        label_key,
        key=key,
        preprocess=preprocess,
        mask_var=mask_var,
        n_cells=n_cells,
        seed=seed,
        given=given_of(locals()),
    )
    build = Build(subject.learner)
    values = _check_space(_usual_space(subject.learner) if space is None else space, build)
    design = read_design(adata, subject)
    generator = np.random.default_rng([seed, 3])
    splits: dict[str, Any] = {"n_splits": n_splits, "n_repeats": n_repeats}
    folds = make_folds(design.target, design.groups, batch=design.batch, rng=generator, **splits)
    evaluation = read_evaluation(subject, design)
    everyone = evaluation.samples(None)
    asked = max((n_comps for n_comps in values.get("n_comps", ()) if n_comps is not None), default=1)
    values = _within_rank(values, usable_rank(everyone.cohort, asked), given=space is not None)
    tuned = Tuned(values, build, search, n_trials, n_inner_splits, n_inner_repeats)
    first = {name: options[0] for name, options in values.items()}
    methods: dict[str, Tuned | ByDistance | Majority] = {
        "tuned": tuned,
        "untuned": build(first),
        "majority": Majority(),
    }
    results = run_folds([evaluation], folds, methods, seed, n_jobs=n_jobs, progress="tuning" if progress else None)
    best, inner = tuned.choose(everyone, evaluation.target, rng=generator)
    arguments = evaluation.params() | params(
        search=search,
        n_trials=n_trials,
        n_splits=n_splits,
        n_repeats=n_repeats,
        n_inner_splits=n_inner_splits,
        n_inner_repeats=n_inner_repeats,
        confidence=CONFIDENCE,
    )
    found = entry(evaluation, results, arguments)
    found["choices"] = _choices(results["tuned"], setting_name(best), inner)
    found["best"] = params(**best)
    found["settings"] = _settings(values, found["choices"]["setting"].astype(str))
    adata = adata.copy() if copy else adata
    write_result(adata, key_added, found | subject.mark())
    return adata if copy else None


@dataclass(frozen=True)
class Build:
    """A builder of methods from settings: the given options in place of those of a learner or of its method."""

    learner: Learner

    def __call__(self, setting: Setting) -> ByDistance:
        """Return the method with these options."""
        options = dict(setting)
        n_neighbors = options.pop("n_neighbors", 3)
        outer = {name: value for name, value in options.items() if name in _names(self.learner)}
        learner = replace(self.learner, **outer)
        inner = {name: value for name, value in options.items() if name not in outer}
        learner = replace(learner, method=replace(learner.recipe, **inner))
        return ByDistance(Learned(learner), n_neighbors=n_neighbors)


def _names(options: Any) -> list[str]:
    return [field.name for field in fields(options)]


def _usual_space(learner: Learner) -> dict[str, Sequence[Any]]:
    """Return the values that are tried by default, of those options that the method has."""
    known = [*_names(learner), *_names(learner.recipe)]
    return {name: values for name, values in SPACE.items() if name in known}


def _check_space(space: Mapping[str, Sequence[Any]], build: Build) -> dict[str, tuple[Any, ...]]:
    if not isinstance(space, Mapping):
        raise TypeError(
            f"space={shown(space)} is a {type(space).__name__}; pass a dict of options and values to try, such as "
            f"{SPACE}."
        )
    learner = build.learner
    methods = [method for method in space.get("method", (learner.recipe,)) if not isinstance(method, str)]
    known = [*_names(learner), *(name for method in methods for name in _names(method)), "n_neighbors"]
    for name, values in space.items():
        if name not in known:
            raise ValueError(f"space has an option {name!r} that is not known; choose from {choices(known)}.")
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Collection) or not len(values):
            raise ValueError(f"space[{name!r}] is {shown(values)}; a list of values to try is needed.")
        for value in values:
            build({name: value})
    if not space:
        raise ValueError(f"space is empty ({{}}); name options and values to try, such as {SPACE}.")
    if "method" in space and set(space) & {name for method in methods for name in _names(method)}:
        raise ValueError(
            "space has 'method' beside options of a method; pass methods with their options, such as "
            "Canonical(ridge=0.3)."
        )
    return {name: tuple(values) for name, values in space.items()}


def _within_rank(values: dict[str, tuple[Any, ...]], rank: int, *, given: bool) -> dict[str, tuple[Any, ...]]:
    """Return the space without numbers of components that the features cannot carry; raise if such were asked for."""
    beyond = [n_comps for n_comps in values.get("n_comps", ()) if n_comps is not None and n_comps > rank]
    if not beyond:
        return values
    if given:
        raise ValueError(
            f"space['n_comps'] has {beyond}, but the features have rank {rank}: all of these would be {rank}."
        )
    fewer = [n_comps for n_comps in values["n_comps"] if n_comps <= rank]
    return values | {"n_comps": tuple(fewer or [rank])}


def _check_search(search: str, n_trials: int | None) -> None:
    check_choice("search", search, SEARCHES)
    if n_trials is not None:
        check_whole("n_trials", n_trials, 1, ", or None for all combinations")
        if search == "grid":
            raise ValueError(f"n_trials={n_trials}: a grid tries all combinations; pass search='random' or 'optuna'.")
    if search == "optuna" and find_spec("optuna") is None:
        raise ImportError("search='optuna' needs the package Optuna: pip install optuna. Or pass search='random'.")


def _settings(space: Mapping[str, Sequence[Any]], tried: Collection[str]) -> Any:
    """Return the table of the settings that were tried, with a column for each option; what is no number is text."""
    known = {setting_name(setting): setting for setting in all_settings(space)}
    names = list(dict.fromkeys(tried))
    columns: dict[str, Any] = {"setting": names}
    text = ["setting"]
    for option in space:
        values = [known[name][option] for name in names]
        if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
            columns[option] = np.array(values, dtype=np.float64)
        else:
            columns[option] = [str(value) for value in values]
            text.append(option)
    return table(columns, names=tuple(text))


def _choices(results: Sequence[HeldOut], best: str, inner: Mapping[str, float]) -> Any:
    """Return the table of what was tried in each outer fold, and at the end on all donors."""
    rows = [
        (part.fold.repeat, part.fold.fold, name, score, name == part.prediction.choice)
        for part in results
        for name, score in part.prediction.inner
    ]
    rows += [(-1, -1, name, score, name == best) for name, score in inner.items()]
    names = ("repeat", "fold", "setting", "inner_score", "chosen")
    return table(dict(zip(names, zip(*rows, strict=True), strict=True)), names=("setting",))
