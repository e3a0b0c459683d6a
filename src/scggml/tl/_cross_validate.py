"""Is it real? Methods side by side on donors that they have not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.design import Design, read_design
from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import params, table, write_entry
from scggml._core.checks import check_whole
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.folds import Fold, Split, make_folds
from scggml._core.evaluate.methods import ByDistance, Method
from scggml._core.evaluate.run import HeldOut, Score, batch_removal, compare, evaluate_fold, mean_rows, score_method
from scggml._core.evaluate.scores import decide
from scggml._core.learn.learner import LearnedMetric
from scggml._core.runner import in_parallel
from scggml._core.samples import LabelKind
from scggml.tl._methods import as_methods

CONFIDENCE = 0.95


def cross_validate(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    groups_key: str | None = None,
    methods: Sequence[str] | Mapping[str, Any] | None = None,
    preprocess: Literal["auto"] | Preprocess | Callable[[AnnData, AnnData], tuple[Any, Any]] | None = "auto",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    label_kind: LabelKind | Literal["auto"] = "auto",
    cell_type_key: str | None = None,
    batch_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    split: Split = "stratified",
    n_splits: int = 5,
    n_repeats: int = 5,
    classifier: ClassifierName = "knn",
    n_neighbors: int = 3,
    n_cells: int | None = 100,
    min_cells: int = 1,
    key_added: str = CROSS_VALIDATION,
    rng: int = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Predict the labels of held-out donors, by learned metrics and by their rivals, on identical folds.

    A learned metric separates whatever labels it is shown, even random ones; only donors that it has not seen can tell
    whether a difference is real. Donors are split into folds again and again. In each fold every step that learns
    (choice of genes, scaling, principal components, metric, classifier) sees the training donors alone; held-out
    samples are handed over without their labels. With the distances to its training samples q under the metric of that
    fold, a held-out sample p gets the class

    .. math:: \hat c(p) = \arg\max_c \sum_{q \in N_k(p)} \frac{[c(q) = c]}{n_c}

    of its k nearest neighbors, whose votes are balanced by the number :math:`n_c` of training samples of each class.

    Parameters
    ----------
    adata
        Cells x genes.
    sample_key, label_key
        Columns of `.obs`: sample of each cell, and what is to be predicted of each sample.
    groups_key
        Column of `.obs` with the donor of each sample. Samples of one donor are never split. By default each sample is
        a donor of its own.
    methods
        Names, or a dict from names of your own to methods. `"ggml"` (`tl.ggml` with its defaults), `"canonical"` (the
        same without shrinkage), `"blend"` (see `Blend`), transport with a fixed cost (`"euclidean"`, `"cosine"`,
        `"cityblock"`, `"sqeuclidean"`, `"chebyshev"`), `"pseudobulk"` (mean profile and logistic regression),
        `"composition"` (shares of cell types and logistic regression), `"majority"`; a `LearnedMetric(...)` or
        `Blend(...)`; or any estimator with `fit(clouds, y)` and `predict_proba(clouds)`, where `clouds` is a list of
        (n_cells, d) arrays. By default `"ggml"`, `"canonical"`, `"euclidean"`, `"cosine"`, `"pseudobulk"`,
        `"composition"` (with `cell_type_key`) and `"majority"`.
    preprocess
        From cells to features, refitted in each fold. `"auto"` is `Preprocess()`: log-normalized counts, highly
        variable genes, scaling, PCA. (With `use_rep` it is None.) None takes the features as they are. A function takes
        the training and the held-out cells and returns the features of both.
    use_rep, layer, mask_var
        Features of the cells as in `ggml`, but all genes by default: highly variable ones are chosen in each fold. A
        representation such as `"X_pca"` has seen the held-out cells, though not their labels.
    label_kind
        `"classes"`, `"ordered"` (classes from low to high) or `"numbers"`. `"auto"` goes by the column: an ordered
        categorical has ordered classes, more than ten different numbers are numbers. For the latter two the canonical
        start weighs pairs of samples by the size of their difference; gradient steps know classes only.
    cell_type_key
        Column of `.obs` with cell types, for `"composition"`.
    batch_key
        Column of `.obs` with a technical batch of each sample. Learned metrics then take samples of different labels
        apart only within batches, and count what differs between batches as noise.
    covariate_keys
        Technical columns that held-out distances should know nothing of; see `batch_removal` below.
    split, n_splits, n_repeats
        `"stratified"` K-fold by donor with classes in proportion, repeated with donors shuffled anew, or
        `"leave_one_group_out"`.
    classifier, n_neighbors
        On distances: class-balanced `"knn"` with so many neighbors, or `"kernel_logistic"` (logistic regression on
        :math:`\exp(-D^2 / 2 h^2)`, h the median distance of training samples).
    n_cells
        Draw this many cells of each sample at random, once for all methods; None takes all. Random draws add noise to
        every distance, most where cells fall into groups that are far apart: take as many as time allows.
    min_cells
        Leave out samples with fewer cells, with a warning that lists them.
    key_added
        Slot of the result.
    rng
        Seed; the same seed gives the same folds, cells and results.
    n_jobs
        Processes, each with a fold at a time; None for what `joblib.parallel_config` says, or else all cores.
    progress
        Show a progress bar.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["cross_validation"]`, a dict to be read with `get.cross_validation`:

    `scores`
        One row for each method, repeat, fold and metric. Fold -1 stands for all held-out samples of the repeat:
        `balanced_accuracy`, `macro_f1`, `corrected_f1` (0 by chance), `auroc` (two classes; pairs within folds),
        `spearman` and `kappa` (ordered classes), `spearman` and `mean_absolute_error` (numbers),
        `batch_removal:<covariate>`. For each fold: `ari`, `nmi`, `vi` and `silhouette` among the held-out samples of
        the fold, where it is large enough, and `seconds`.
    `predictions`, `probabilities`
        One row for each method, repeat and sample: what was predicted when the sample was held out.
    `distances`
        (n_methods, P, P) float32, mean over repeats; row p is under metrics that were learned without sample p.
    `differences`
        Mean paired difference of each two methods with its 95 % confidence interval (Nadeau and Bengio).
    `samples`, `labels`, `groups`, `classes`, `params`
        The cohort and the arguments.

    Raises
    ------
    KeyError
        A key is not in its slot.
    ValueError
        Missing or torn ids, one class only, a class with too few donors, copies of a sample under two donors, values
        that are not finite, arguments out of range.

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
    check_whole("rng", rng, 0, "; the same seed gives the same result")
    base = ByDistance(LearnedMetric(), classifier=classifier, n_neighbors=n_neighbors)
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
        cell_type_key=cell_type_key,
        batch_key=batch_key,
        covariate_keys=covariate_keys,
        n_cells=n_cells,
        min_cells=min_cells,
        rng=generator,
    )
    chosen = as_methods(methods, base, composition=cell_type_key is not None)
    folds = make_folds(design.target, design.groups, split=split, n_splits=n_splits, n_repeats=n_repeats, rng=generator)
    results = run_folds(design, folds, chosen, rng, n_jobs=n_jobs, progress="cross-validation" if progress else None)
    arguments = params(
        sample_key=sample_key,
        label_key=label_key,
        groups_key=groups_key,
        preprocess=design.step,
        use_rep=use_rep,
        layer=layer,
        label_kind=design.target.kind,
        cell_type_key=cell_type_key,
        batch_key=batch_key,
        split=split,
        n_splits=n_splits,
        n_repeats=n_repeats,
        classifier=classifier,
        n_neighbors=n_neighbors,
        n_cells=n_cells,
        min_cells=min_cells,
        seed=rng,
        confidence=CONFIDENCE,
    )
    adata = adata.copy() if copy else adata
    write_entry(adata, key_added, entry(design, results, arguments))
    return adata if copy else None


def run_folds(
    design: Design,
    folds: Sequence[Fold],
    methods: Mapping[str, Method],
    seed: int,
    *,
    n_jobs: int | None,
    progress: str | None,
) -> dict[str, list[HeldOut]]:
    """What each method said in each fold, in order."""
    tasks = [(design, fold, methods, seed) for fold in folds]
    found = in_parallel(_run_fold, tasks, n_jobs=n_jobs, progress=progress, unit="fold")
    return {name: [result[name] for result in found] for name in methods}


def _run_fold(design: Design, fold: Fold, methods: Mapping[str, Method], seed: int) -> dict[str, HeldOut]:
    return evaluate_fold(design.samples(fold), design.target, fold, methods, seed)


def entry(design: Design, results: Mapping[str, Sequence[HeldOut]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `.uns`: tables and arrays that files can hold."""
    target, P = design.target, len(design.names)
    scores = [score for name, parts in results.items() for score in score_method(name, parts, target)]
    for key, codes in design.covariates.items():
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
        **_predictions(design, results),
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
        "samples": design.names.astype(object),
        "labels": labels,
        "groups": design.groups,
        "classes": target.classes.astype(object),
        "params": dict(arguments),
    }


def _predictions(design: Design, results: Mapping[str, Sequence[HeldOut]]) -> dict[str, Any]:
    """Table of held-out predictions and, row by row, the class probabilities (or the predicted numbers)."""
    target = design.target
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
        "sample": design.names[tests],
        "label": truth if numbers else target.classes[truth.astype(np.int64)],
        "prediction": predicted if numbers else target.classes[predicted.astype(np.int64)],
    }
    names = ("method", "sample") if numbers else ("method", "sample", "label", "prediction")
    return {"predictions": table(columns, names=names), "probabilities": scores}
