"""Which genes would come out again, and which more than by chance."""

import warnings
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.donors import read_groups
from scggml._anndata.genes import gene_table, read_genes
from scggml._anndata.keys import Keys
from scggml._anndata.metric import read_stored
from scggml._anndata.write import write_uns
from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.explain.resample import deal_labels, draw_donors, n_dealings
from scggml._core.explain.significance import align, in_top, pooled_significance
from scggml._core.transport.exact import Exact, SolverName, as_solver
from scggml.tl._refit import Refit, read_refit, run_all


def gene_stability(
    adata: AnnData,
    n_boot: int = 100,
    groups_key: str | None = None,
    *,
    key: str = "ggml",
    n_perm: int = 100,
    n_top: int = 20,
    level: float = 0.95,
    solver: SolverName | Exact = "exact",
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn the metric again on other donors and under labels that mean nothing, and see what becomes of the genes.

    **Other donors.** `n_boot` times as many donors are drawn with replacement, those of one label among themselves, and
    the metric is learned on them with the parameters that are stored. W is known up to a rotation, so the gene loadings
    of each refit are first turned onto the stored ones (orthogonal Procrustes) and brought to their norm. The spread of
    an aligned loading gives its interval; how often a gene is among the `n_top` strongest gives its frequency. (A donor
    that is drawn twice is at distance 0 from itself, so refits see a little less spread within classes than there is.)

    **Labels that mean nothing.** `n_perm` times the labels are dealt anew among the donors, and the metric is learned
    on them. (A donor whose samples have different labels keeps them, in another order.) A gene is judged by what it
    adds to the gap between classes, as a share of the distance between them:

    .. math::
        e_g = \sum_i W_{ig} \frac{\partial (\bar D_\text{between} - \bar D_\text{within})}{\partial W_{ig}}
        \Big/ \bar D_\text{between}, \qquad
        \sum_g e_g = 1 - \bar D_\text{within} / \bar D_\text{between}

    with mean distances in which classes count equally. (A distance is homogeneous in W, so by Euler's theorem it is the
    sum of such parts.) It has no unit and is large only for genes that the metric weighs and in which classes differ;
    a metric weighs many other genes too, whatever the labels are, which makes the loading alone a poor judge. The
    p-value of a gene is the share of all such numbers, of all genes, under the dealt and the true labels, that are as
    large; false discovery rates are Benjamini and Hochberg's. Pooling holds the expected number of false discoveries
    also if genes differ in their distribution, but the single p-value is then right only on average. Because genes hang
    together, the smallest rate is itself compared with those that dealt labels give, and no rate is let below the
    p-value of this comparison: if labels mean nothing, at most 5 % of cohorts report any gene at 5 %, exactly.

    A gene that follows others (through the same regulation, or because few principal components cannot tell them
    apart) is found with them. Significance says that labels and gene hang together in these donors; not why.

    This takes `n_boot + n_perm` fits. With a metric learned with `max_iter=0` (canonical variates, see `Canonical`) a
    fit takes a second or less; with gradient steps it takes as long as `ggml` did.

    Parameters
    ----------
    adata
        AnnData with the metric and the cells that it was learned on.
    n_boot
        Draws of donors; 0 for none, else at least 2 (intervals need 50 or more).
    groups_key
        Column of `.obs` with the donor of each sample. By default each sample is a donor of its own.
    key
        Key of the metric.
    n_perm
        Deals of labels; 0 for none. No rate can be below 1 / (n_perm + 1), nor below 1 / (number of different deals).
    n_top
        Size of the top that `frequency` counts.
    level
        Coverage of the intervals.
    solver
        Solver of optimal transport, by name or as an object with options.
    rng
        Seed or generator; the same seed gives the same result for any `n_jobs`.
    n_jobs
        Processes; None for all cores.
    progress
        Show progress bars in fits per second.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.uns["ggml_genes"]`
        The table of `rank_genes` with the columns `lower`, `upper` (interval of the loading), `frequency`, `excess`,
        `p_value`, `p_adjusted`. The last three are those of the gene in the whole metric in all rows.
    `.uns["ggml_stability"]`
        dict: the same numbers as arrays by gene (`genes`), and component with the whole metric last: `lower`, `upper`,
        `frequency` (n_genes, k + 1); `excess`, `p_value`, `p_adjusted` (n_genes,); `singular_values`, `params`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        A metric that was learned from an array, samples of more than one donor, arguments out of range.

    Warns
    -----
    UserWarning
        There are so few donors or deals that no rate can be below 5 %.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> sizes = {"n_samples": 8, "n_cells": 12, "n_genes": 40, "n_planted": 4, "n_types": 1}
    >>> adata = sg.datasets.synthetic_counts(log_fold_change=3.0, rng=1, **sizes)
    >>> sc.pp.log1p(adata)
    >>> start = sg.tl.Canonical(ridge=1.0)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=1, init=start, max_iter=0, progress=False)
    >>> sg.tl.gene_stability(adata, 10, n_perm=40, n_top=4, n_jobs=1, progress=False)
    >>> genes = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
    >>> len(genes), bool(adata.var.loc[genes, "planted"].all())
    (3, True)

    References
    ----------
    Tusher, Tibshirani and Chu, *Significance analysis of microarrays*, PNAS 2001, for pooled permutations; Westfall and
    Young, *Resampling-based multiple testing*, 1993, for tests of the smallest p-value; Meinshausen and Bühlmann,
    *Stability selection*, JRSS B 2010; Schönemann, *A generalized solution of the orthogonal Procrustes problem*,
    Psychometrika 1966.
    """
    check_whole("n_boot", n_boot, 0)
    check_whole("n_perm", n_perm, 0)
    check_whole("n_top", n_top, 1)
    check_number("level", level, "a share in (0, 1), such as 0.95", 0, 1, open_low=True)
    if n_boot == 1 or n_boot + n_perm == 0:
        raise ValueError(f"n_boot={n_boot} and n_perm={n_perm} leave nothing to do; pass n_boot >= 2 or n_perm >= 1.")
    stored = read_stored(adata, key)
    genes = read_genes(adata, stored)
    refit = read_refit(adata, stored, as_solver(solver))
    groups = read_groups(adata, groups_key, str(stored.params["sample_key"]), refit.cohort.names)
    generator = np.random.default_rng(rng)
    options: dict[str, Any] = {"n_jobs": n_jobs, "generator": generator, "progress": progress}
    found: dict[str, Any] = {}
    if n_boot:
        found |= _spread(refit, groups, genes.loadings.T, n_boot, n_top=n_top, level=level, **options)
    if n_perm:
        _warn_of_few(refit.cohort.labels, groups, n_perm)
        found |= _significance(refit, stored.components, groups, n_perm, **options)

    adata = adata.copy() if copy else adata
    given = {"n_boot": n_boot, "n_perm": n_perm, "n_top": n_top, "level": level, "groups_key": groups_key}
    entry = found | {
        "genes": genes.names.astype(object),
        "singular_values": stored.singular_values,
        "params": {name: value for name, value in given.items() if value is not None},
    }
    write_uns(adata, Keys(key).stability, entry)
    write_uns(adata, Keys(key).genes, gene_table(adata, key))
    return adata if copy else None


def _spread(
    refit: Refit,
    groups: Integers,
    reference: Floats,
    n_boot: int,
    *,
    n_top: int,
    level: float,
    generator: np.random.Generator,
    n_jobs: int | None,
    progress: bool,
) -> dict[str, Floats]:
    """Intervals and frequencies (n_genes, k + 1), the whole metric last, over draws of donors."""
    seeds = generator.integers(2**63, size=n_boot)
    tasks = [(draw_donors(refit.cohort.labels, groups, generator), seed) for seed in seeds]
    drawn = run_all(refit.loadings, tasks, n_jobs=n_jobs, progress="draws of donors" if progress else None)
    aligned = np.stack([align(loadings, reference) for loadings in drawn])  # (n_boot, k, n_genes)
    whole = np.sqrt((aligned**2).sum(axis=1, keepdims=True))
    every = np.concatenate([aligned, whole], axis=1)
    tails = ((1 - level) / 2, (1 + level) / 2)
    lower, upper = np.quantile(every, tails, axis=0)
    return {"lower": lower.T, "upper": upper.T, "frequency": in_top(np.abs(every), n_top).mean(axis=0).T}


def _significance(
    refit: Refit,
    components: Floats,
    groups: Integers,
    n_perm: int,
    *,
    generator: np.random.Generator,
    n_jobs: int | None,
    progress: bool,
) -> dict[str, Floats]:
    """Excess, p-value and false discovery rate (n_genes,) of the genes."""
    seeds = generator.integers(2**63, size=n_perm)
    tasks = [(deal_labels(refit.cohort.labels, groups, generator), seed) for seed in seeds]
    dealt = run_all(refit.excess, tasks, n_jobs=n_jobs, progress="deals of labels" if progress else None)
    observed = refit.excess_under(components, refit.cohort)
    p_value, p_adjusted = pooled_significance(observed, np.stack(dealt))
    # deals that happen to miss the true labeling must not look like more ways than there are
    floor = 1 / n_dealings(refit.cohort.labels, groups)
    return {"excess": observed, "p_value": p_value, "p_adjusted": np.maximum(p_adjusted, floor)}


def _warn_of_few(labels: Integers, groups: Integers, n_perm: int) -> None:
    """Say so where no rate can be below 5 %."""
    ways = n_dealings(labels, groups)
    if min(ways, n_perm + 1) < 20:
        reason = (
            f"n_perm={n_perm}" if n_perm + 1 <= ways else f"labels can be dealt to these donors in {ways} ways only"
        )
        warnings.warn(
            f"No false discovery rate can be below {1 / min(ways, n_perm + 1):.2g}, since {reason}. "
            + ("Raise n_perm." if n_perm + 1 <= ways else "More donors are needed."),
            stacklevel=3,
        )
