"""Compare methods on donors that they have not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.evaluation import Evaluation, read_evaluation, what_lacks
from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.ownership import check_writable
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import check_result_key, params, table, write_result
from scggml._anndata.subject import read_design, read_subject
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.methods import ByDistance, FixedMetric, learners_of
from scggml._core.evaluate.prediction import Method
from scggml._core.evaluate.run import HeldOut, Score, batch_removal, compare, evaluate_fold, mean_rows, score_method
from scggml._core.evaluate.scores import decide
from scggml._core.folds import Fold, Split, make_folds
from scggml._core.runner import run_tasks
from scggml._core.samples import LabelKind
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._docs import documented
from scggml.tl._methods import as_methods, check_needs

CONFIDENCE = 0.95


@documented
@logged("cross-validating methods on held-out donors")
def cross_validate(
    adata: AnnData,
    sample_key: str | None = None,
    label_key: str | None = None,
    *,
    key: str = "ggml",
    methods: Sequence[str] | Mapping[str, Any] | None = None,
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
    technical_keys: str | Sequence[str] = (),
    split: Split = "stratified",
    n_splits: int = 5,
    n_repeats: int = 5,
    train_size: float | None = None,
    classifier: ClassifierName = "knn",
    n_neighbors: int = 3,
    n_cells: int | Literal["auto"] | None = "auto",
    min_cells: int | None = None,
    summary: Summary = None,
    key_added: str = CROSS_VALIDATION,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Predict the labels of held-out donors, by learned metrics and by their rivals, on identical folds.

    A learned metric separates whatever labels it is shown, even random ones; only donors that it has not seen can show
    whether a difference is real. Donors are split into folds again and again. In each fold every step that learns
    (choice of genes, scaling, principal components, metric, classifier) sees the training donors alone; held-out
    samples are handed over without their labels. With the distances to its training samples q under the metric of that
    fold, a held-out sample p gets the class

    .. math:: \hat c(p) = \arg\max_c \sum_{q \in N_k(p)} \frac{[c(q) = c]}{n_c}

    of its k nearest neighbors, whose votes are balanced by the number :math:`n_c` of training samples of each class.

    Parameters
    ----------
    adata
        %(adata_cells)s
    sample_key, label_key
        Columns of `.obs`: sample of each cell, and what is to be predicted of each sample. **Without them the metric
        that is stored as `key` is evaluated**: its learner, its cells and its study design; other arguments replace
        parts of these.
    key
        %(key_metric)s
        It is read in a call without `sample_key` and `label_key`.
    groups_key
        %(groups_key)s
        Samples of one donor are never split. By default each sample is a donor of its own.
    methods
        Names, or a dict from names of your own to methods: the `key` of the stored metric; learned metrics
        (`"canonical"`, `"triplets"`, `"paper"`, see `ggml`, or a `Learner(...)`); transport with a fixed cost
        (`"euclidean"`, `"cosine"`, `"cityblock"`, `"sqeuclidean"`, `"chebyshev"`, `"correlation"`, or what else
        `distances` takes: a name of scipy, a function of two arrays of cells and, with `preprocess=None`, a matrix);
        `"blend"` (see `Blend`); one of the rivals below, which see the training donors alone, too; or any estimator
        with `fit(clouds, y)` and `predict_proba(clouds)`, where `clouds` is a list of (n_cells, d) arrays. By default
        the stored metric (or `"canonical"`), `"euclidean"`, `"cosine"`, `"pseudobulk"`, `"composition"` (with
        `cell_type_key`) and `"majority"`.

        - Logistic regression (for numbers ridge regression) on `"pseudobulk"`, the mean profile;
          `"cell_type_pseudobulk"`, that of each cell type, gaps filled with the mean of the training samples; or
          `"composition"`, the shares of cell types.
        - Neighbors by `"clr"`, the Euclidean distance between centred log-ratios of these shares, half a cell of each
          type added; by `"pilot"`, transport between the shares, the cost being the cosine distance between the mean
          cells of two types; or by `"gloscope"`, the symmetrized Kullback-Leibler divergence between the densities of
          cells, read from 25 nearest neighbors.
        - Transport under `"lfda"` (local Fisher discriminant analysis) or `"nca"` (neighborhood components), metrics
          that take the label of a sample for that of each cell, learned from up to 1000 training cells.
        - `"majority"`, the most frequent class.
    preprocess
        From cells to features, refitted in each fold. `"auto"` is `Preprocess()` for genes: log-normalized counts,
        highly variable genes, scaling, PCA. For a stored metric it is what that was learned on: genes as they are, or
        the PCA on the same genes, refitted in each fold, where `.X` and `.varm["PCs"]` allow. None takes the features
        as they are. A function takes the training and the held-out cells and returns the features of both.
    use_rep, layer, mask_var
        Features of the cells as in `ggml`, but all genes by default: highly variable ones are chosen in each fold. A
        representation such as `"X_scVI"` has seen the held-out cells, though not their labels; the verdict says so.
    label_kind, reference_class, weights_key, summary
        As in `ggml`.
    cell_type_key
        Column of `.obs` with cell types, for `"composition"`, `"clr"`, `"cell_type_pseudobulk"` and `"pilot"`; the
        last two need samples as their cells, not a `summary`.
    batch_key
        Column of `.obs` with a technical batch of each sample. Learned metrics then take samples of different labels
        apart only within batches, and count what differs between batches as noise.
    covariate_keys
        Columns of `.obs` with numbers of samples, such as age. Their effect on the cells, estimated within the classes
        of the training donors, is taken off all samples, for all methods alike.
    technical_keys
        Technical columns that held-out distances should not reflect; see `batch_removal` below.
    split, n_splits, n_repeats
        `"stratified"` K-fold by donor with classes in proportion, repeated with donors shuffled, or
        `"leave_one_group_out"` (donor), or `"leave_one_batch_out"` (site; needs `batch_key`).
    train_size
        Learn from this share of the donors, such as 0.6, and predict the others: one stratified split for each repeat,
        instead of `n_splits` folds. What no repeat held out has no held-out distances (NaN).
    classifier, n_neighbors
        On distances: class-balanced `"knn"` with this many neighbors, or `"kernel_logistic"` (logistic regression on
        :math:`\exp(-D^2 / 2 h^2)`, h the median distance of training samples).
    n_cells
        %(n_cells)s
        They are drawn once for all methods. `"auto"` is that of the stored metric, or else 100. Random draws add noise
        to every distance, most where cells fall into groups that are far apart: take as many as time allows.
    min_cells
        %(min_cells)s
        None for that of the stored metric, or 1.
    key_added
        %(key_result)s
    rng
        %(rng)s
    n_jobs
        %(n_jobs_processes)s
        Each has one fold at a time.
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["cross_validation"]`, a dict to be read with `get.cross_validation`:

    `scores`
        One row for each method, repeat, fold and metric. Fold -1 stands for all held-out samples of the repeat:
        `balanced_accuracy`, `macro_f1`, `corrected_f1` (0 by chance), `auroc` (two classes; pairs within folds),
        `spearman` and `kappa` (ordered classes), `spearman` and `mean_absolute_error` (numbers),
        `batch_removal:<covariate>`. For each fold: `ari`, `nmi`, `vi` and `silhouette` among the held-out samples of
        the fold, where it is large enough, and `seconds` (without what folds and methods share).
    `predictions`, `probabilities`
        One row for each method, repeat and sample: what was predicted when the sample was held out.
    `distances`
        (n_methods, P, P) float32, mean over repeats; row p is under metrics that were learned without sample p, and
        NaN if `train_size` never held it out.
    `differences`
        Mean paired difference of each two methods with its 95 % confidence interval (Nadeau and Bengio).
    `samples`, `labels`, `groups`, `classes`, `params`, `features`
        The cohort, the arguments, and what the features are and whether they have seen the held-out cells.

    Raises
    ------
    KeyError
        A key is not in its slot.
    ValueError
        Missing ids, a sample with two labels, one class only, a class with too few donors, copies of a sample under two
        donors, values that are not finite, arguments out of range.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> sg.get.cross_validation(adata).summary["balanced_accuracy"].round(2).to_dict()
    {'canonical': 1.0, 'majority': 0.33}

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003; Varma and Simon, *Bias in error
    estimation when using cross-validation for model selection*, BMC Bioinformatics 2006.
    """
    check_adata(adata)
    check_result_key(adata, key_added, "cross_validation")
    check_writable(adata, copy=copy)
    n_threads(n_jobs)
    seed = as_seed(rng)
    base = ByDistance(FixedMetric("euclidean"), classifier=classifier, n_neighbors=n_neighbors)
    subject = read_subject(
        adata,
        sample_key,
        label_key,
        key=key,
        preprocess=preprocess,
        mask_var=mask_var,
        n_cells=n_cells,
        seed=seed,
        given={
            "use_rep": use_rep,
            "layer": layer,
            "label_kind": label_kind,
            "reference_class": reference_class,
            "groups_key": groups_key,
            "batch_key": batch_key,
            "covariate_keys": covariate_keys,
            "weights_key": weights_key,
            "min_cells": min_cells,
            "summary": summary,
        },
    )
    chosen = as_methods(
        methods, base, subject.named(key), composition=cell_type_key is not None, summary=subject.reading.summary
    )
    design = read_design(adata, subject, cell_type_key=cell_type_key, technical_keys=technical_keys)
    check_needs(chosen, **what_lacks(subject, design))
    generator = np.random.default_rng([seed, 3])
    folds = make_folds(
        design.target,
        design.groups,
        split=split,
        n_splits=n_splits,
        n_repeats=n_repeats,
        train_size=train_size,
        batch=design.batch,
        rng=generator,
    )
    evaluation = read_evaluation(subject, design)
    results = run_folds(
        evaluation, folds, chosen, seed, n_jobs=n_jobs, progress="cross-validation" if progress else None
    )
    arguments = evaluation.params() | params(
        cell_type_key=cell_type_key,
        split=split,
        n_splits=n_splits,
        n_repeats=n_repeats,
        train_size=train_size,
        classifier=classifier,
        n_neighbors=n_neighbors,
        confidence=CONFIDENCE,
    )
    adata = adata.copy() if copy else adata
    write_result(adata, key_added, entry(evaluation, results, arguments) | subject.mark())
    return adata if copy else None


def run_folds(
    evaluation: Evaluation,
    folds: Sequence[Fold],
    methods: Mapping[str, Method],
    seed: int,
    *,
    n_jobs: int | None,
    progress: str | None,
) -> dict[str, list[HeldOut]]:
    """Return what each method said in each fold, in order."""
    if not evaluation.fitted_in_folds:
        # Features are the same in all folds, and so are samples and the plans that no label enters.
        samples = evaluation.samples(None)
        for learner in (learner for method in methods.values() for learner in learners_of(method)):
            if samples.work is None:
                samples = learner.with_work(samples, rng=np.random.default_rng([seed, 6]), n_jobs=n_jobs)
        known = [(samples, evaluation.target, fold, methods, seed) for fold in folds]
        found = run_tasks(evaluate_fold, known, n_jobs=n_jobs, progress=progress, unit="fold")
    else:
        tasks = [(evaluation, fold, methods, seed) for fold in folds]
        found = run_tasks(_run_fold, tasks, n_jobs=n_jobs, progress=progress, unit="fold")
    return {name: [result[name] for result in found] for name in methods}


def _run_fold(evaluation: Evaluation, fold: Fold, methods: Mapping[str, Method], seed: int) -> dict[str, HeldOut]:
    return evaluate_fold(evaluation.samples(fold), evaluation.target, fold, methods, seed)


def entry(
    evaluation: Evaluation, results: Mapping[str, Sequence[HeldOut]], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of `.uns`: tables and arrays that files can hold."""
    target, P = evaluation.target, len(evaluation.names)
    scores = [score for name, parts in results.items() for score in score_method(name, parts, target)]
    for key, codes in evaluation.technical.items():
        scores += [
            Score(name, repeat, -1, f"batch_removal:{key}", value)
            for name, parts in results.items()
            for repeat, value in batch_removal(parts, codes).items()
        ]
    differences = compare(results, target, CONFIDENCE)
    rows = {name: mean_rows(parts, P) for name, parts in results.items()}
    distances = {name: row for name, row in rows.items() if row is not None}
    labels = target.values if target.kind == "numbers" else target.classes[target.codes].astype(object)
    return {
        "kind": "cross_validation",
        "scores": table(
            {field.name: [getattr(score, field.name) for score in scores] for field in fields(Score)},
            names=("method", "metric"),
        ),
        **_predictions(evaluation, results),
        "distances": np.stack(list(distances.values())).astype(np.float32) if distances else np.empty((0, P, P)),
        "distance_methods": np.array(list(distances), dtype=object),
        "differences": table(
            {
                "method": [a for a, _, _ in differences],
                "other": [b for _, b, _ in differences],
                **{
                    name: np.array([getattr(interval, name) for _, _, interval in differences], dtype=np.float64)
                    for name in ("mean", "low", "high", "p_value")
                },
            },
            names=("method", "other"),
        ),
        "samples": evaluation.names.astype(object),
        "labels": labels,
        "groups": evaluation.groups,
        "classes": target.classes.astype(object),
        "params": dict(arguments),
        "features": evaluation.describe(),
    }


def _predictions(evaluation: Evaluation, results: Mapping[str, Sequence[HeldOut]]) -> dict[str, Any]:
    """Return the table of held-out predictions and, row by row, the class probabilities (or the predicted numbers)."""
    target = evaluation.target
    parts = [(name, part) for name, held_out in results.items() for part in held_out]
    tests = np.concatenate([part.fold.test for _, part in parts])
    sizes = [len(part.fold.test) for _, part in parts]
    scores = np.concatenate([part.prediction.scores for _, part in parts])
    predicted = decide(target.kind, scores)
    truth = target.values[tests]
    numbers = target.kind == "numbers"
    columns = {
        "method": np.repeat([name for name, _ in parts], sizes),
        "repeat": np.repeat([part.fold.repeat for _, part in parts], sizes),
        "fold": np.repeat([part.fold.fold for _, part in parts], sizes),
        "sample": evaluation.names[tests],
        "label": truth if numbers else target.classes[truth.astype(np.int64)],
        "prediction": predicted if numbers else target.classes[predicted.astype(np.int64)],
    }
    names = ("method", "sample") if numbers else ("method", "sample", "label", "prediction")
    return {"predictions": table(columns, names=names), "probabilities": scores}
