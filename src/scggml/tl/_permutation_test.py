"""Test whether the labels are predicted better than random ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.evaluation import Evaluation, read_evaluation, what_lacks
from scggml._anndata.keys import PERMUTATION_TEST
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.ownership import check_writable
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import check_result_key, params, write_result
from scggml._anndata.subject import Design, Subject, given_of, read_design, read_subject
from scggml._core.checks import check_whole, is_auto
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.calibrated import with_shared_work
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.methods import ByDistance, FixedMetric
from scggml._core.evaluate.prediction import Method
from scggml._core.evaluate.run import main_score, ranked
from scggml._core.folds import Fold, Split, make_folds
from scggml._core.labelings import n_labelings, p_value, permutation_blocks, permute, smallest_p
from scggml._core.runner import run_tasks
from scggml._core.samples import LabelKind, Samples, Target
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._docs import documented
from scggml.tl._methods import as_methods, check_needs, wants_cells

CHUNK = 4
"""Labelings that a worker scores before it reports."""

POINTS = 30
"""Points that stand for a sample with `summary="auto"`: hundreds of evaluations need not see every cell."""


@documented
@logged("testing a method under permuted labels")
def permutation_test(
    adata: AnnData,
    sample_key: str | None = None,
    label_key: str | None = None,
    *,
    key: str = "ggml",
    strata_key: str | None = None,
    method: Any = None,
    n_permutations: int = 200,
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
    cell_type_key: str | None = None,
    split: Split = "stratified",
    n_splits: int = 5,
    n_repeats: int = 1,
    classifier: ClassifierName = "knn",
    n_neighbors: int = 3,
    n_cells: int | Literal["auto"] | None = "auto",
    min_cells: int | None = None,
    summary: Summary = "auto",
    key_added: str = PERMUTATION_TEST,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Test whether held-out donors are predicted better than if their labels were random.

    Labels are permuted B times, and each time the whole evaluation is repeated: folds are drawn by the permuted labels,
    the metric is learned again, held-out donors are predicted. What sees no labels (`Preprocess`) is fitted once, to
    all cells; that leaves the p-value valid, while `cross_validate` estimates the score for new donors. With the score
    T of the true labels and :math:`T_b` of the permuted ones

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B}

    Labels belong to donors: a donor's samples with one label keep having one. Where the label varies within donors
    (before and after treatment) it is permuted within donors only, and with `batch_key` within batches.

    Parameters
    ----------
    adata
        %(adata_cells)s
    sample_key, label_key, groups_key
        %(keys_donors)s
        Without `sample_key` and `label_key` the metric that is stored as `key` is tested, as in `cross_validate`.
    key
        %(key_metric)s
    strata_key
        Column of `.obs` within whose values labels are permuted, such as a site whose mix of labels is given.
    method
        What is tested: a name or an object as in `cross_validate`; by default the stored metric, or `"canonical"`.
    n_permutations
        B. The smallest p-value that can come out is 1 / (1 + B), or 1 / (number of different labelings) if that is
        larger.
    preprocess, use_rep, layer, mask_var, label_kind, reference_class, batch_key, covariate_keys, weights_key
        As in `cross_validate`, but a `Preprocess` is fitted once, to all cells; a function is refitted in each fold.
    summary
        What stands for a sample, for the true labels as for permuted ones. `"auto"` is that of the stored metric, or
        `Coreset(30)` (methods that need cells see them all); None takes all cells that were drawn.
    cell_type_key
        As in `cross_validate`.
    split, n_splits, n_repeats, classifier, n_neighbors, n_cells, min_cells
        As in `cross_validate`. The score is the mean over repeats of the balanced accuracy of all held-out samples
        (of the rank correlation for ordered labels and numbers). Equal balanced accuracies, of which few samples give
        many, are ordered by how much nearer the true class is than another one (or by its probability).
    key_added
        %(key_result)s
    rng
        %(rng)s
    n_jobs
        %(n_jobs_processes)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["permutation_test"]`, a dict: `observed` (T), `null` (B,), `p_value`,
    `n_labelings` (how many labelings can differ in their score), `smallest_p` (the smallest p-value that these
    numbers of labelings and permutations allow), `metric`, `verdict` (a sentence), `features`, `params`.

    Raises
    ------
    KeyError, ValueError
        As `cross_validate`; also if the donors and strata allow no other labeling than the true one.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.permutation_test(
    ...     adata, "sample_id", "label", n_permutations=19, n_splits=2, n_jobs=1, progress=False
    ... )
    >>> adata.uns["permutation_test"]["p_value"]
    0.05

    References
    ----------
    Ojala and Garriga, *Permutation tests for studying classifier performance*, JMLR 2010; Phipson and Smyth,
    *Permutation p-values should never be zero*, 2010.
    """
    check_adata(adata)
    check_result_key(adata, key_added, "permutation_test")
    check_writable(adata, copy=copy)
    n_threads(n_jobs)
    check_whole("n_permutations", n_permutations, 1)
    seed = as_seed(rng)
    auto = is_auto(summary)
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
    learned = subject.named(key)
    tested = learned[0] if method is None else method
    base = ByDistance(FixedMetric("euclidean"), classifier=classifier, n_neighbors=n_neighbors)
    named = {tested if isinstance(tested, str) else "method": tested}
    how: dict[str, Any] = {"composition": cell_type_key is not None, "summary": subject.reading.summary}
    found_method = next(iter(as_methods(named, base, learned, **how).values()))
    subject = subject.in_few_points(POINTS) if auto else subject
    design = read_design(adata, subject, cell_type_key=cell_type_key, strata_key=strata_key)
    check_needs({next(iter(named)): found_method}, **what_lacks(subject, design))
    generator = np.random.default_rng([seed, 3])
    seed_of_folds = int(generator.integers(2**31))
    given: dict[str, Any] = {"split": split, "n_splits": n_splits, "n_repeats": n_repeats}
    # what is wrong with folds or labels is said before any cell is read
    make_folds(design.target, design.groups, batch=design.batch, rng=np.random.default_rng(seed_of_folds), **given)
    blocks, possible = _labelings(subject, design)
    evaluation = read_evaluation(subject, design, everything=wants_cells({"": found_method}))
    trial = Trial(evaluation=evaluation, method=found_method, seed=seed_of_folds, **given).with_work(generator, n_jobs)
    values = design.target.values
    labelings = [values] + [permute(values, blocks, generator) for _ in range(n_permutations)]
    scores = _score_all(trial, labelings, n_jobs, "permutations" if progress else None)
    observed, null = float(scores[0, 0]), scores[1:, 0]
    order = ranked(scores)
    least = smallest_p(possible, n_permutations)
    p = max(p_value(float(order[0]), order[1:]), least)  # permutations may miss the true labeling by chance
    metric = "balanced_accuracy" if evaluation.target.kind == "classes" else "spearman"
    found = {
        "kind": "permutation_test",
        "observed": observed,
        "null": null,
        "p_value": p,
        "n_labelings": float(possible),
        "smallest_p": least,
        "metric": metric,
        "features": evaluation.describe() | ({"refitted": False, "seen": True} if _fitted_once(evaluation) else {}),
        "verdict": _verdict(observed, null, p, possible, metric) + _seen(evaluation),
        "params": evaluation.params()
        | params(
            strata_key=strata_key,
            method=tested,
            n_permutations=n_permutations,
            split=split,
            n_splits=n_splits,
            n_repeats=n_repeats,
            classifier=classifier,
            n_neighbors=n_neighbors,
        ),
    }
    adata = adata.copy() if copy else adata
    write_result(adata, key_added, found | subject.mark())
    return adata if copy else None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The evaluation of one labeling; samples are prepared once for each set of training donors that comes up."""

    evaluation: Evaluation
    method: Method
    split: Split
    n_splits: int
    n_repeats: int
    seed: int
    samples: Samples | None = None

    def with_work(self, rng: np.random.Generator, n_jobs: int | None) -> "Trial":
        """Return the trial with what no label enters done in advance.

        The usual preprocessing sees no labels, so it is fitted once, to all cells: labels stay exchangeable under it,
        and the p-value holds. A function of the user's might look at labels, and is fitted to the training cells of
        each fold.
        """
        if self.evaluation.step is not None and not _fitted_once(self.evaluation):
            return self
        samples = self.evaluation.samples(None)
        return replace(self, samples=with_shared_work(self.method, samples, rng, n_jobs=n_jobs))

    def scores(self, labelings: list[Floats]) -> list[tuple[float, float]]:
        """Score labelings; all of them, the true one included, draw folds from the same seed."""
        prepared: dict[bytes, Samples] = {}
        return [self._score(replace(self.evaluation.target, values=values), prepared) for values in labelings]

    def _score(self, target: Target, prepared: dict[bytes, Samples]) -> tuple[float, float]:
        folds = make_folds(
            target,
            self.evaluation.groups,
            split=self.split,
            n_splits=self.n_splits,
            n_repeats=self.n_repeats,
            batch=self.evaluation.batch,
            rng=np.random.default_rng(self.seed),
        )
        return main_score(lambda fold: self._samples(fold, prepared), target, folds, self.method, self.seed)

    def _samples(self, fold: Fold, prepared: dict[bytes, Samples]) -> Samples:
        if self.samples is not None:
            return self.samples
        key = fold.train.tobytes()
        if key not in prepared:
            if len(prepared) >= 2 * self.n_splits * self.n_repeats:
                prepared.clear()
            prepared[key] = self.evaluation.samples(fold)
        return prepared[key]


def _labelings(subject: Subject, design: Design) -> tuple[list[list[Integers]], int]:
    """Return the blocks within which labels are permuted, and how many labelings can differ in their score."""
    values = design.target.values
    blocks = permutation_blocks(values, design.groups, design.strata)
    possible = n_labelings(values, blocks, kind=design.target.kind)
    if possible < 2:
        raise ValueError(
            f"Donors, strata and batches leave no other labeling of adata.obs[{subject.reading.label_key!r}] than the "
            "true one, so nothing can be tested. Pass a strata_key with more than one label in each stratum, or None."
        )
    return blocks, possible


def _score_all(trial: Trial, labelings: list[Floats], n_jobs: int | None, progress: str | None) -> Floats:
    """Return (1 + B, 2) scores; a labeling that comes up twice is scored once."""
    unique, place = np.unique(np.stack(labelings), axis=0, return_inverse=True)
    tasks = [(trial, list(unique[start : start + CHUNK])) for start in range(0, len(unique), CHUNK)]
    found = run_tasks(Trial.scores, tasks, n_jobs=n_jobs, progress=progress, unit="chunk")
    scores = np.array([score for part in found for score in part])
    out: Floats = scores[place.reshape(-1)]
    return out


def _verdict(observed: float, null: Floats, p: float, possible: int, metric: str) -> str:
    name = "balanced accuracy" if metric == "balanced_accuracy" else "rank correlation"
    low, high = np.quantile(null, [0.025, 0.975])
    said = (
        f"held-out {name} {observed:.2f}; random labels reach {low:.2f} to {high:.2f} (95 % of {len(null)} "
        f"permutations); p = {p:.3g}"
    )
    if p <= 0.05:
        return f"The labels are predicted better than random ones: {said}."
    few = f" Only {possible} labelings can differ, so a small p-value cannot come out." if possible < 40 else ""
    return f"No evidence that the labels are more than random: {said}.{few}"


def _fitted_once(evaluation: Evaluation) -> bool:
    """Return whether the features are those of a step that sees no labels."""
    return isinstance(evaluation.step, Preprocess)


def _seen(evaluation: Evaluation) -> str:
    if _fitted_once(evaluation):
        return " (Features were fitted once to all cells, without labels.)"
    if evaluation.seen is None:
        return ""
    return f" (The features {evaluation.seen!r} were computed on all cells, held-out ones included.)"
