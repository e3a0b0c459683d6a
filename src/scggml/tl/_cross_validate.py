"""Compare methods on donors that they have not seen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.cross_validated import CONFIDENCE, compared, entry
from scggml._anndata.evaluation import Evaluation, draws, what_lacks
from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.ownership import check_writable
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import check_result_key, params, write_result
from scggml._anndata.subject import given_of, read_design, read_subject
from scggml._core.checks import check_flag
from scggml._core.evaluate.by_batch import BatchFolds, folds_by_batch
from scggml._core.evaluate.calibrated import with_shared_work
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.methods import ByDistance, FixedMetric
from scggml._core.evaluate.prediction import Method
from scggml._core.evaluate.run import HeldOut, evaluate_fold
from scggml._core.folds import Fold, Split, make_folds
from scggml._core.runner import run_tasks
from scggml._core.samples import LabelKind, Samples
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._docs import documented
from scggml.tl._methods import as_methods, calibrated, check_needs, wants_cells


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
    calibrate: bool = True,
    n_cells: int | Literal["auto"] | None = "auto",
    min_cells: int | None = None,
    summary: Summary = "auto",
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
        `"blend"` (see `Blend`); `"ensemble"`, what `predict` predicts by (see `Ensemble`), and two of its views,
        `"frequencies"` and `"embedding"` (see `Frequencies`, `MeanEmbedding`); one of the rivals below, which see the
        training donors alone, too; or any estimator with `fit(clouds, y)` and `predict_proba(clouds)`, where `clouds`
        is a list of (n_cells, d) arrays. By default the stored metric (or `"canonical"`), `"ensemble"`, `"euclidean"`,
        `"cosine"`, `"pseudobulk"`, `"composition"` (with `cell_type_key`) and `"majority"`.

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
    label_kind, reference_class, weights_key
        As in `ggml`.
    cell_type_key
        Column of `.obs` with cell types, for `"composition"`, `"clr"`, `"cell_type_pseudobulk"` and `"pilot"`; the
        last two look at all cells, and refuse a `summary` that replaces them. Types that occur in one class only are
        warned of: an annotation can give the label away.
    batch_key
        Column of `.obs` with a technical batch of each sample, such as its site. Learned metrics then take samples of
        different labels apart only within batches, and count what differs between batches as noise. Beside the
        stratified split, one batch at a time is left out, where batches allow that.
    covariate_keys
        Columns of `.obs` with numbers of samples, such as age. Their effect on the cells, estimated within the classes
        of the training donors, is taken off all samples, for all methods alike.
    technical_keys
        Technical columns that held-out distances should not reflect; see `batch_removal` below.
    split
        `"stratified"` K-fold by donor with classes in proportion, repeated with donors shuffled, or
        `"leave_one_group_out"` (donor), or `"leave_one_batch_out"` (site; needs `batch_key`).
    n_splits
        K, the number of folds of the stratified split.
    n_repeats
        Repeats of the stratified split, each with donors shuffled anew.
    train_size
        Learn from this share of the donors, such as 0.6, and predict the others: one stratified split for each repeat,
        instead of `n_splits` folds. What no repeat held out has no held-out distances (NaN).
    classifier
        On distances: class-balanced `"knn"` with `n_neighbors` neighbors, `"soft_knn"`, the mean over 1, 2, 3 and 5 of
        them, or `"kernel_logistic"` (logistic regression on
        :math:`\exp(-D^2 / 2 h^2)`, h the median distance of training samples).
    n_neighbors
        Number of neighbors of `classifier="knn"`.
    calibrate
        Calibrate the votes of neighbors: each method is fitted again without one part of the training donors after the
        other, and a single number, the same for all classes, makes its probabilities as sure as its predictions of
        these allow (see `Ensemble`). What is predicted stays; probabilities, log loss and Brier score change. Without
        it votes are taken for probabilities, which on few donors are far too sure, and folds take about a fifth of the
        time. Other methods are shown as they are.
    n_cells
        %(n_cells)s
        `"auto"` is that of the stored metric, or else 1000. Where a sample has more, they are drawn anew in each
        repeat, so that the spread over repeats holds the noise of the draw.
    summary
        What stands for the cells of a sample in transport, made once in each fold; see `ggml`. `"auto"` is that of the
        stored metric, or else `Coreset(100)`: up to 1000 cells in 100 weighted points. None takes the cells. Methods
        that look at cells see all that were read.
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
        `log_loss` (in nats, probabilities clipped to [0.025, 0.975]; log C by chance) and `brier` (squared error of the
        probabilities; 1 - 1 / C by chance), both with classes counting equally, `spearman` and `kappa` (ordered
        classes), `spearman` and `mean_absolute_error` (numbers), `batch_removal:<covariate>`. For each fold: `ari`,
        `nmi`, `vi` and `silhouette` among the held-out samples of the fold, where it is large enough, and `seconds`
        (without what folds and methods share).
    `predictions`, `probabilities`
        One row for each method, repeat and sample: what was predicted when the sample was held out.
    `distances`
        (n_methods, P, P) float32, mean over repeats; row p is under metrics that were learned without sample p, and
        NaN if `train_size` never held it out.
    `differences`
        Mean paired difference of each two methods with its 95 % confidence interval (Nadeau and Bengio; not narrower
        than donors who all agree allow).
    `by_batch`
        With `batch_key`: `scores`, `predictions` (and the `batch` of each sample), `probabilities` and `differences`
        where one batch was left out at a time, as `split="leave_one_batch_out"` gives them. What was learned of a batch
        instead of the label fails here.
    `not_by_batch`
        In its place the reason why batches could not be left out, such as a class that is in one batch only.
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
    check_flag("calibrate", calibrate)
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
        given=given_of(locals()),
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
    key_of_batch = subject.reading.batch_key
    batches = None if key_of_batch is None else design.selection.values(key_of_batch, "batch_key")
    apart = BatchFolds([])
    if batches is not None and design.batch is not None and split == "stratified":
        apart = folds_by_batch(design.target, design.groups, design.batch, batches)
    evaluations = draws(subject, design, n_repeats, everything=wants_cells(chosen))
    evaluation = evaluations[0]
    chosen = calibrated(chosen, design.target.kind) if calibrate else chosen
    every = [*folds, *apart.folds]
    results = run_folds(
        evaluations, every, chosen, seed, n_jobs=n_jobs, progress="cross-validation" if progress else None
    )
    arguments = evaluation.params() | params(
        cell_type_key=cell_type_key,
        split=split,
        n_splits=n_splits,
        n_repeats=n_repeats,
        train_size=train_size,
        classifier=classifier,
        n_neighbors=n_neighbors,
        calibrate=calibrate,
        confidence=CONFIDENCE,
    )
    usual = {name: parts[: len(folds)] for name, parts in results.items()}
    found = entry(evaluation, usual, arguments, batches=batches if split == "leave_one_batch_out" else None)
    if apart.folds:
        others = {name: parts[len(folds) :] for name, parts in results.items()}
        found["by_batch"] = compared(evaluation, others, batches=batches)
    elif apart.reason:
        found["not_by_batch"] = apart.reason
    adata = adata.copy() if copy else adata
    write_result(adata, key_added, found | subject.mark())
    return adata if copy else None


def run_folds(
    evaluations: Sequence[Evaluation],
    folds: Sequence[Fold],
    methods: Mapping[str, Method],
    seed: int,
    *,
    n_jobs: int | None,
    progress: str | None,
) -> dict[str, list[HeldOut]]:
    """Return what each method said in each fold, in order.

    `evaluations` holds one for all repeats, or one for each where cells are drawn anew.
    """
    several = len(evaluations) > 1
    if not evaluations[0].fitted_in_folds:
        # Features are the same in all folds, and so are samples and the plans that no label enters.
        shared = [_shared(evaluation, methods, seed, n_jobs) for evaluation in evaluations]
        known = [(shared[fold.repeat * several], evaluations[0].target, fold, methods, seed) for fold in folds]
        found = run_tasks(evaluate_fold, known, n_jobs=n_jobs, progress=progress, unit="fold")
    else:
        tasks = [(evaluations[fold.repeat * several], fold, methods, seed) for fold in folds]
        found = run_tasks(_run_fold, tasks, n_jobs=n_jobs, progress=progress, unit="fold")
    return {name: [result[name] for result in found] for name in methods}


def _shared(evaluation: Evaluation, methods: Mapping[str, Method], seed: int, n_jobs: int | None) -> Samples:
    """Return the samples with the plans that all folds share."""
    samples = evaluation.samples(None)
    for method in methods.values():
        samples = with_shared_work(method, samples, np.random.default_rng([seed, 6]), n_jobs=n_jobs)
    return samples


def _run_fold(evaluation: Evaluation, fold: Fold, methods: Mapping[str, Method], seed: int) -> dict[str, HeldOut]:
    return evaluate_fold(evaluation.samples(fold), evaluation.target, fold, methods, seed)
