"""Learn a ground metric from labels of samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.confounding import check_confounding
from scggml._anndata.copies import warn_of_copies
from scggml._anndata.disk import at_hand
from scggml._anndata.features import Features, read_features
from scggml._anndata.influence import warn_of_outlying
from scggml._anndata.keys import Keys
from scggml._anndata.loadings import gene_loadings, warn_of_loadings
from scggml._anndata.messages import check_adata, logged, tell, warn
from scggml._anndata.metric import (
    covariate_shifts,
    needs_everything,
    read_metric,
)
from scggml._anndata.mixtures import check_input, counts_of, given_mark
from scggml._anndata.origin import kept_loadings
from scggml._anndata.ownership import check_metric_key
from scggml._anndata.parts import check_finite, embed_cells
from scggml._anndata.reading import Reading, read_target
from scggml._anndata.recording import metric_entry, write_metric
from scggml._anndata.scales import are_genes, look, warn_of_scale, warn_of_scales
from scggml._anndata.selection import Selection
from scggml._anndata.tested import LEVEL, N_PERM, STREAM, verdict, write_component_test
from scggml._arguments import shown
from scggml._core.cohort import Cohort
from scggml._core.evaluate.component_test import ComponentTest, component_test
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner, MethodName
from scggml._core.learn.limits import N_COMPS, check_rank, check_start, refuse_n_comps
from scggml._core.learn.metric import Fit
from scggml._core.learn.shrinkage import Shrinkage
from scggml._core.learn.triplets import Triplets
from scggml._core.samples import LabelKind, Samples, Target
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._core.transport.mixture import Mixture
from scggml._core.transport.solvers import AnySolver, SolverName
from scggml._core.transport.summaries import check_combination
from scggml._docs import documented


@documented
@logged("learning a metric")
def ggml(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = "auto",
    method: MethodName | Canonical | Triplets | Learner = "canonical",
    n_comps: int | Literal["auto"] | None = None,
    squared: bool = False,
    shrinkage: Shrinkage = "auto",
    solver: SolverName | AnySolver = "exact",
    summary: Summary = "auto",
    n_cells: int | None = None,
    min_cells: int = 1,
    weights_key: str | None = None,
    label_kind: LabelKind | Literal["auto"] | Sequence[str] = "auto",
    reference_class: str | int | None = None,
    groups_key: str | None = None,
    batch_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    key_added: str = "ggml",
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn the ground metric under which samples of one class are close and classes are apart.

    Finds W (k x d) for the metric :math:`d_W(x, y) = \|W (x - y)\|` on cells from labels of samples alone, so that the
    optimal transport distances :math:`D_{pq}(W)` between samples follow the labels. `method` says how:

    `"canonical"` (the default)
        Closed form: the directions in which cells move most between classes, relative to what they move within classes,
        along optimal plans (:class:`~scggml.tl.Canonical`). It predicts new donors of real cohorts best.
    `"triplets"`
        Gradient steps on the triplet objective of the paper to convergence, in units of the data
        (:class:`~scggml.tl.Triplets`).
    `"paper"`
        Kühn and Schaub 2025 as published: random start, fixed margin, random triplets, 30 epochs, no shrinkage.

    In the end the metric is shrunk towards the Euclidean one (`shrinkage`), since W fits the samples at hand. With
    `shrinkage="auto"` and the ridge of `Canonical` at `"auto"`, their usual values are kept unless others predict
    held-out training donors better by more than two standard errors; `.uns["ggml"]["choice"]` says what was tried.

    Parameters
    ----------
    adata
        %(adata_cells)s
        A view becomes an AnnData of its own (one of a backed AnnData cannot: call `to_memory()`); sparse and backed
        matrices are read a few samples at a time. (Of a backed matrix the features that are used stay in memory during
        the call if they take up to 1 GiB.) Samples of a dask-backed matrix are summarized where its chunks lie.
    sample_key, label_key
        Columns of `.obs`: the sample that a cell belongs to, and what is to be learned of that sample.
    use_rep
        Slot of `.obsm` with the features of the cells, such as `"X_pca"`. By default genes of `.X` are used.
    layer
        Layer to use instead of `.X`.
    mask_var
        Genes of `.X` or the layer to use: a boolean column of `.var` or a mask. `"auto"` takes
        `.var["highly_variable"]` where it exists, None all genes. (It is ignored with `use_rep`.) In a column missing
        values are False; 0 and 1, and text such as `"TRUE"`, are understood.
    method
        `"canonical"`, `"triplets"`, `"paper"`, or an object with options: `Canonical(...)`, `Triplets(...)`. A
        `Learner(...)` brings `n_comps`, `squared`, `shrinkage` and `solver` along, and can be bagged (`bags=12`).
    n_comps
        %(n_comps)s
        `"auto"` keeps the components that `component_test` finds real, but at least two, so that cells can be drawn in
        the plane; `.uns["ggml_components"]["real"]` says which ones were learned. (What is learned again, for held-out
        donors or permuted labels, has that number of components, too.)
    squared
        %(squared)s
    shrinkage
        %(shrinkage)s
    solver
        %(solver)s
    summary
        `None` learns on all cells, `Coreset(n_points)` on few weighted points of each sample, `Groups(key)` on shares
        of groups of cells, `Gaussian()` on mean and covariance, `Mixture(n)` on several Gaussians.
        %(summary_auto)s
    n_cells
        %(n_cells)s
    min_cells
        %(min_cells)s
    weights_key
        Column of `.obs` with non-negative weights of the cells; they are normalized within samples.
    label_kind
        `"classes"` without an order; `"ordered"` classes (of an ordered categorical, or pass the list of levels from
        low to high); `"numbers"`. `"auto"` takes an ordered categorical for ordered and all else for classes, and
        refuses numbers with more than two values, which can be meant in three ways. What is farther apart in label
        should be farther apart in distance.
    reference_class
        Class that others are compared with; by default the first one. It is at the negative end of a component.
    groups_key
        %(groups_key)s
        Donors are held out as a whole. By default each sample is a donor of its own.
    batch_key
        Column of `.obs` with a technical batch, whose effect is not to be learned: samples of different labels are
        compared within batches only, samples of one label also between batches. For a paired design (before and after
        treatment) pass the donor.
    covariate_keys
        Columns of `.obs` with numbers of samples, such as age, whose effect on the cells is taken off: features are
        regressed on them within classes.
    key_added
        Key of the result in all slots below.
    rng
        %(rng)s
    n_jobs
        %(n_jobs_threads)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.uns["ggml"]`
        dict: `components` (k, d) in canonical form (rows by falling singular value), `singular_values` (k,), `features`
        (d,), `samples` (P,) that it was learned on and their
        `labels` (P,); `class_means` (k, C), the mean of each class on each component (for
        numbers (k, 2), slope and correlation), `oriented_to` (k,), the class at its positive end, and `learned_share`
        (k,), how much of it was learned rather than filled in by shrinkage; `stop` (why learning ended: `"closed
        form"`, `"converged"`, `"no active triplet"` or `"max_iter"`), `converged`, `history` (`eigenvalues` by
        alternation of canonical variates; `loss`, `gradient_norm`, `active` by pass of gradient steps, with
        `Triplets(keep_history=True)` also `components`, the W of each pass); `shrinkage`, and `choice` (settings tried,
        their scores, which were given up halfway, and why one was chosen); `learner` and `reading`, the arguments;
        `settled`, the learner with what was decided; `margin`, `reg` in units of W and `refined` (passes over all
        cells) of gradient steps; `adjustment` with covariates; `scale` of genes ("logarithms", "counts",
        ...) by which new cells on another one are recognized; `origin`, loadings of a few genes by which another PCA
        is recognized; `bags` of a bagged learner: `components` (B, k, d) of each before shrinkage, and `drawn` (B, P),
        the samples that it saw; `fingerprint`, and `checksums` by which changes are noticed, as all results have them.
    `.obsm["X_ggml"]`
        (n_obs, k) float64, cells in the learned space; plot with `sc.pl.embedding(adata, basis="ggml")`.
    `.uns["ggml_components"]`
        With `n_comps="auto"`: which components are real, see :func:`~scggml.tl.component_test`.
    `.uns["ggml_mixture"]`
        With `summary=Mixture(n)`: `sample` (N,), `weights` (N,), `means` (N, d) and `covariances` (N, d, d), a row for
        each Gaussian of each sample (left out, which the log says, above 0.5 GB), and the names of the `features` (d,).
    `.varm["ggml"]`
        (n_vars, k) float64, gene loadings, NaN for genes that were not used. PCA features are carried back to genes
        through `.varm["PCs"]`; features that cannot be mapped to genes have no such slot.

    Raises
    ------
    KeyError
        A key is not in its slot.
    ValueError
        Missing ids or labels, a sample with two labels, one class only, a class with one sample, values that are not
        finite, `n_comps` above the rank, duplicated observation names, arguments out of range; a `key_added` whose
        slots hold something else or the features themselves; a view of a backed AnnData. What arguments and `.obs`
        can tell is told before any cell is read.

    Warns
    -----
    UserWarning
        No component is real (with `n_comps="auto"`); `max_iter` came before convergence; samples were left out by
        `min_cells`; raw counts; features on very different scales; a PCA whose loadings are not there; a pair was not
        solved to optimality.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> adata.obsm["X_ggml"].shape
    (360, 2)
    >>> str(adata.uns["ggml"]["stop"])
    'closed form'
    >>> sg.tl.ggml(adata, "sample_id", "label", method="triplets", n_comps=2, progress=False)
    >>> str(adata.uns["ggml"]["stop"])
    'converged'

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258); Li and
    Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """
    check_adata(adata)
    automatic = n_comps == "auto"
    if isinstance(n_comps, str) and not automatic:
        raise ValueError(f'n_comps={n_comps!r} is not known; pass a number of components, None for up to 5, or "auto".')
    k = None if n_comps == "auto" else n_comps
    learner = _learner(method, {"n_comps": k, "squared": squared, "shrinkage": shrinkage, "solver": solver})
    reading = Reading(
        sample_key=sample_key,
        label_key=label_key,
        label_kind=label_kind,  # type: ignore[arg-type]  # a list of levels becomes a tuple
        reference_class=reference_class,  # type: ignore[arg-type]  # made a name there
        groups_key=groups_key,
        batch_key=batch_key,
        covariate_keys=covariate_keys,  # type: ignore[arg-type]  # the same
        weights_key=weights_key,
        use_rep=use_rep,
        layer=layer,
        n_cells=n_cells,
        min_cells=min_cells,
        summary=summary,
        seed=as_seed(rng),
    )
    _check_slots(adata, key_added, summary, automatic=automatic, use_rep=use_rep, copy=copy)
    check_combination(reading.summary, learner.engine)
    for part in (learner, reading):
        part.to_params()  # what no file could hold is refused before any work
    n_threads(n_jobs)
    adata = adata.copy() if copy else adata
    features = read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var)
    selection = reading.select(adata)
    reading = reading.settled(selection, len(features.names))
    target = read_target(reading, selection)
    learner.check(target)
    # cells that are not learned from are embedded in the end, too
    everyone = reading.of_everyone().select(adata) if reading.covariate_keys else selection
    reading.covariates(everyone)
    reading.design(selection)  # before any cell is read
    reading.check_mixtures(selection, features)
    check_confounding(reading, selection, target)
    _check_shape(learner, features, selection)
    near = at_hand(features)
    if n_cells is not None or min_cells != 1:
        check_finite(near, n_jobs)
    samples = reading.samples(selection, near, everything=needs_everything(learner), n_jobs=n_jobs, progress=progress)
    check_rank(learner.n_comps, getattr(learner.recipe, "init", None), samples.cohort, features.slot)
    scale = _scale(near, samples.cohort)
    warn_of_copies(samples)
    warn_of_outlying(samples, target, selection, of_cells=reading.of_cells)

    given: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress}
    found = learner.learn(samples, target, rng=reading.learning_rng(), **given)
    _tell(learner, found, selection, samples.cohort)
    tested = None
    if automatic:
        learner, found, tested = _real_ones(learner, found, samples, target, reading, **given)

    record: dict[str, Any] = {"learner": learner, "reading": reading, "target": target, "scale": scale}
    _store(adata, Keys(key_added), found, features, everyone, near=near, cohort=samples.cohort, n_jobs=n_jobs, **record)
    if tested is not None:
        stored = read_metric(adata, key_added)
        write_component_test(adata, stored, tested, seed=reading.seed)
        if tested.n_real == 0:
            warn(verdict(tested, key_added))
    if not found.converged and isinstance(learner.recipe, Triplets) and learner.recipe.tol > 0:
        warn(
            f"Learning reached max_iter={learner.recipe.max_iter} before it converged; the best metric so far is "
            "stored. Look at sg.pl.history(adata), then raise max_iter, tol or lr of Triplets."
        )
    return adata if copy else None


def _learner(method: MethodName | Canonical | Triplets | Learner, options: dict[str, Any]) -> Learner:
    """Return the learner with these options; one that is given has its own."""
    if not isinstance(method, Learner):
        return Learner(method=method, **options)
    Learner(**options)  # what is no value at all is told of first
    usual = {"n_comps": None, "squared": False, "shrinkage": "auto", "solver": "exact"}
    for name, value in options.items():
        if value != usual[name]:
            raise ValueError(f"{name}={shown(value)}: method is a Learner, which has its own {name}; pass it there.")
    return method


def _check_slots(
    adata: AnnData, key_added: str, summary: Summary, *, automatic: bool, use_rep: str | None, copy: bool
) -> None:
    """Raise if what is written would replace something else, or the mixtures that are read."""
    fitted = isinstance(summary, Mixture) and summary.key is None
    more = [name for name, written in (("components", automatic), ("mixture", fitted)) if written]
    check_metric_key(adata, key_added, *more, use_rep=use_rep, copy=copy)
    check_input(summary, key_added)


def _store(
    adata: AnnData,
    keys: Keys,
    found: Fit,
    features: Features,
    everyone: Selection,
    *,
    near: Features,
    cohort: Cohort,
    learner: Learner,
    reading: Reading,
    target: Target,
    scale: str | None,
    n_jobs: int | None,
) -> None:
    """Embed all cells and write the metric, with loadings where its features lead back to genes.

    `near` are the features at hand, which no longer say where among the genes they are.
    """
    components, use_rep = found.components, reading.use_rep
    loadings = gene_loadings(adata, features, components, use_rep)
    if loadings is None:
        warn_of_loadings(adata, use_rep)
    embedded = embed_cells(near, components, n_jobs)
    if found.adjustment is not None:
        embedded -= covariate_shifts(reading, everyone, found.adjustment, components)[everyone.owner]
    origin = kept_loadings(adata, use_rep, components.shape[1])
    mixture = given_mark(adata, reading.summary, cohort.names)
    more: dict[str, Any] = {"origin": origin, "scale": scale, "mixture": mixture}
    entry = metric_entry(found, features, learner, reading, cohort.names, target=target, **more)
    fitted = cohort if cohort.atoms is not None and mixture is None else None
    write_metric(adata, keys, entry=entry, embedded=embedded, loadings=loadings, mixtures=fitted)


def _tell(learner: Learner, found: Fit, selection: Selection, cohort: Cohort) -> None:
    """Log with which method and setting a metric was learned, and from what."""
    k, d = found.components.shape
    how = f"{learner.settled(found).recipe!r}, shrinkage {found.shrinkage:.2f}"
    tell(f"    {how}; {k} components of {d} features from {selection.n_samples} samples")
    if cohort.atoms is not None:
        counts = counts_of(cohort)
        tell(f"    each a mixture of {counts.min()} to {counts.max()} Gaussians (mean {counts.mean():.1f})")


def _real_ones(
    learner: Learner, found: Fit, samples: Samples, target: Target, reading: Reading, **given: Any
) -> tuple[Learner, Fit, ComponentTest]:
    """Return the learner of the components that are real, but at least two, with its metric and the test of it."""

    def tested(fit: Fit) -> ComponentTest:
        test: dict[str, Any] = {"n_perm": N_PERM, "level": LEVEL, "rng": np.random.default_rng([reading.seed, STREAM])}
        return component_test(learner, samples, target, fit.components, fit.learned_share, **test, **given)

    first = tested(found)
    k = max(first.n_real, 2)
    if k >= len(found.components):
        return learner, found, first
    learner = replace(learner, n_comps=k)
    found = learner.learn(samples, target, rng=reading.learning_rng(), **given)
    return learner, found, tested(found)


def _scale(features: Features, cohort: Cohort) -> str | None:
    """Return the scale of genes in words, None of other features; warn of one that does not suit."""
    warn_of_scales(features, cohort)
    if not are_genes(features):
        return None
    found = look(features)
    warn_of_scale(features.slot, found)
    return found.kind


def _check_shape(learner: Learner, features: Features, selection: Selection) -> None:
    """Raise for what no values of that many cells and features could carry, before any is read."""
    n, d = len(selection.rows), len(features.names)
    most = max(1, min(d, n - 1))
    if learner.n_comps is not None and learner.n_comps > most:
        refuse_n_comps(learner.n_comps, most, features.slot, f"{n} cells, {d} features")
    init = getattr(learner.recipe, "init", None)
    if isinstance(init, np.ndarray):
        k = len(init) if learner.n_comps is None and len(init) <= most else learner.n_comps
        check_start(init, (k or min(N_COMPS, most), d))
