"""Assess which genes would be found again, and which of them more than by chance."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import stats

from scggml._anndata.changes import read_changes
from scggml._anndata.keys import Keys
from scggml._anndata.messages import check_adata, logged, warn
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.points import read_points
from scggml._anndata.ranking import has_ranking, read_ranking, refresh_ranking, write_ranking
from scggml._anndata.reading import reread
from scggml._anndata.results import write_result
from scggml._anndata.tested import Gate
from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.explain.refit import Refit
from scggml._core.explain.significance import in_top, pooled_significance
from scggml._core.folds import strata_of
from scggml._core.labelings import draw_donors, n_labelings, permutation_blocks, permute, smallest_p
from scggml._core.learn.bags import Bags
from scggml._core.runner import run_tasks
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._docs import documented

N_BOOT = 100
"""Draws of donors for a metric without bags."""

POINTS = 100
"""Points that stand for a sample in refits under permuted labels; the true labels are refitted on the same points."""


@documented
@logged("drawing donors and permuting labels")
def gene_stability(
    adata: AnnData,
    n_boot: int | None = None,
    groups_key: str | None = None,
    *,
    key: str = "ggml",
    n_perm: int = 100,
    n_top: int = 20,
    level: float = 0.95,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn the metric again on other donors and under permuted labels to assess its genes.

    **Other donors.** `n_boot` times as many donors are drawn with replacement, those of one label among themselves, and
    the metric is learned on them as the stored one was, with the ridge and shrinkage that were decided for it. W is
    known up to a rotation, so each refit is first turned onto the stored metric (orthogonal Procrustes). The spread of
    the pattern of a gene (see `rank_genes`) gives its interval; how often a gene is among the `n_top` strongest gives
    its frequency. A metric that is the mean of bags (`Learner(bags=12)`) has been learned on other donors before: its
    bags take the place of the draws, unless `n_boot` is given, and nothing is learned again. Since they hold a share s
    of the samples (about 70 %), drawn without replacement, their spread is brought to that of as many as there are by
    :math:`\sqrt{s / (1 - s)}`, and intervals are those of Student's t. Where bags do not tell of all samples (one that
    is in each bag, as those of a class of up to 3 donors are, or one that was not learned from), donors are drawn.

    **Permuted labels.** `n_perm` times the labels are permuted among the donors (within batches), and the metric is
    learned on them, ridge and shrinkage decided again. (A donor whose samples have different labels keeps them, in
    another order.) A gene is scored by its excess

    .. math:: e_g = \sqrt{\sum_i \omega_i \max\big(a_{ig} (a_{ig} - a'_{ig}), 0\big)}

    over components i, which count by their importance :math:`\omega`: its pattern a between labels, as far as it
    exceeds the pattern a' over pairs of samples of one label. The p-value of a gene is the share of all such numbers,
    of all genes, under the permuted and the true labels, that are as large; false discovery rates are Benjamini and
    Hochberg's. Pooling holds the expected number of false discoveries also if genes differ in their distribution, but
    the single p-value is then right only on average. Because genes are associated with each other, the smallest rate is
    itself compared with those that permuted labels give, and no rate is let below the p-value of this comparison: if
    labels mean nothing, at most 5 % of cohorts report any gene at 5 %, exactly. Nor is any rate below the p-value of
    the first component (:func:`~scggml.tl.component_test`, which runs if it has not): a gene is part of what components
    show. Large samples are represented by 100 points each here, for the true labels as for the permuted ones.

    A gene that follows others (through the same regulation, or because few principal components cannot
    separate them) is found with them. Significance says that labels and gene are associated in these donors; not why.

    This takes `n_boot + n_perm` fits, which share what labels do not change.

    Parameters
    ----------
    adata
        %(adata_learned)s
    n_boot
        Draws of donors; 0 for none, else at least 2 (intervals need 50 or more). By default the bags of the metric or,
        where it has none that tell of all its samples, 100.
    groups_key
        %(groups_key)s
        By default that of the metric, or else each sample is a donor of its own; bags are of the donors of the metric.
    key
        %(key_metric)s
    n_perm
        Permutations of labels; 0 for none. No rate can be below 1 / (n_perm + 1), nor below 1 / (number of different
        labelings).
    n_top
        Size of the top that `frequency` counts.
    level
        Coverage of the intervals.
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
    None, or the copy if `copy`. Written are

    `.uns["ggml_genes"]`
        The ranking of `rank_genes` (which runs if it has not) with the columns `lower`, `upper` (interval of the
        pattern), `frequency`, `excess`, `p_value`, `p_adjusted`. The last three are those of the gene in the whole
        metric in all rows.
    `.uns["ggml_stability"]`
        dict: the same numbers as arrays by gene (`genes`), and component with the whole metric last: `lower`, `upper`,
        `frequency` (n_genes, k + 1); `excess`, `p_value`, `p_adjusted` (n_genes,); `fingerprint`, `params`.
    `.uns["ggml_components"]`
        With `n_perm` and the donors of the metric, unless it is there: what :func:`~scggml.tl.component_test` finds.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Samples of more than one donor, genes of one name, genes that were ranked by a contrast, arguments out of range;
        slots of the result that hold something else.

    Warns
    -----
    UserWarning
        There are so few donors or permutations that no rate can be below 5 %; no component is real.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> sizes = {"n_samples": 8, "n_cells": 12, "n_genes": 40, "n_planted": 4, "n_types": 1}
    >>> adata = sg.datasets.synthetic_counts(log_fold_change=3.0, rng=1, **sizes)
    >>> sc.pp.log1p(adata)
    >>> method = sg.tl.Canonical(ridge=1.0, ridge_scale="mean")
    >>> sg.tl.ggml(adata, "sample_id", "label", method=method, n_comps=1, shrinkage=0.4, progress=False)
    >>> sg.tl.gene_stability(adata, 10, n_perm=40, n_top=4, n_jobs=1, progress=False)
    >>> genes = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
    >>> len(genes), bool(adata.var.loc[genes, "planted"].all())
    (4, True)

    References
    ----------
    Haufe et al., *On the interpretation of weight vectors of linear models in multivariate neuroimaging*, NeuroImage
    2014, for patterns; Tusher, Tibshirani and Chu, *Significance analysis of microarrays*, PNAS 2001, for pooled
    permutations; Westfall and Young, *Resampling-based multiple testing*, 1993, for tests of the smallest p-value;
    Meinshausen and Bühlmann, *Stability selection*, JRSS B 2010; Schönemann, *A generalized solution of the orthogonal
    Procrustes problem*, Psychometrika 1966.
    """
    check_adata(adata)
    if n_boot is not None:
        check_whole("n_boot", n_boot, 0, ", or None for the bags of the metric, or 100")
    check_whole("n_perm", n_perm, 0)
    check_whole("n_top", n_top, 1)
    check_number("level", level, "a share in (0, 1), such as 0.95", 0, 1, open_low=True)
    if n_boot == 1 or (n_boot == 0 and n_perm == 0):
        raise ValueError(f"n_boot={n_boot} and n_perm={n_perm} leave nothing to do; pass n_boot >= 2 or n_perm >= 1.")
    seed = as_seed(rng)
    stored = read_metric(adata, key)
    n_threads(n_jobs)
    check_results(adata, key, "stability", "genes", *(("components",) if n_perm else ()), copy=copy)
    ranked = has_ranking(adata, stored)
    layer = _layer_of(read_ranking(adata, key).params, key) if ranked else None
    own = groups_key in (None, stored.reading.groups_key)
    metric, stored = stored, replace(stored, reading=reread(stored.reading, groups_key=groups_key))
    stored.select(adata)  # before any cell is read
    changes = None if ranked else read_changes(adata, metric, n_jobs=n_jobs, progress=progress)
    generator = np.random.default_rng(seed)
    points = read_points(adata, stored, POINTS, rng=generator, layer=layer, n_jobs=n_jobs, progress=progress)
    if len(set(points.names)) < len(points.names):
        raise ValueError(
            "adata.var_names has several genes of one name, which could not be told apart in the results; call "
            "adata.var_names_make_unique() first."
        )
    options: dict[str, Any] = {"n_jobs": n_jobs, "generator": generator, "progress": progress}
    refit = points.refit(stored, rng=generator, n_jobs=n_jobs)
    found: dict[str, Any] = {}
    bags = _bags_of(stored, points.samples.cohort.names) if own and n_boot is None else None
    if bags is None:
        n_boot = N_BOOT if n_boot is None else n_boot
        if n_boot:
            found |= _spread(refit, n_boot, n_top=n_top, level=level, **options)
    else:
        n_boot = len(bags.metrics)
        found |= _spread_of_bags(refit, bags, n_top=n_top, level=level, n_jobs=n_jobs, progress=progress)
    if n_perm:
        samples = points.samples
        strata = np.zeros(samples.n_samples, dtype=np.int64) if samples.batch is None else samples.batch
        found |= _significance(refit, strata, n_perm, **options)
        gate = Gate.of(adata, stored, seed=seed, own=own, n_jobs=n_jobs, progress=progress)
        found["p_adjusted"] = np.maximum(found["p_adjusted"], gate.p)

    adata = adata.copy() if copy else adata
    if n_perm:
        gate.write(adata, "gene")
    given = {
        "n_boot": n_boot,
        "bags": bags is not None,
        "layer": layer,
        "groups_key": stored.reading.groups_key,
        "n_perm": n_perm,
        "n_top": n_top,
        "level": level,
        "seed": seed,
    }
    entry = found | {
        "genes": points.names.astype(object),
        "fingerprint": stored.fingerprint,
        "params": {name: value for name, value in given.items() if value is not None},
    }
    write_result(adata, Keys(key).stability, entry)
    if changes is None:
        refresh_ranking(adata, stored)
    else:
        write_ranking(adata, stored, changes, "pattern", {})
    return adata if copy else None


def _layer_of(params: Mapping[str, Any], key: str) -> str | None:
    """Return the layer that genes were ranked on; raise if they were ranked between some of the classes alone."""
    if "contrast" in params:
        ends = " and ".join(repr(str(name)) for name in params["contrast"])
        raise ValueError(
            f"Genes are ranked between {ends} alone, but the metric is learned again for all labels. Call "
            f"sg.tl.rank_genes(adata, key={key!r}) without contrast first."
        )
    layer = params.get("layer")
    return None if layer is None else str(layer)


def _bags_of(stored: StoredMetric, names: Names) -> Bags | None:
    """Return the bags of a metric for the samples as they are now, None where they do not tell of each of them."""
    bags, known = stored.bags, [str(name) for name in stored.record["samples"]]
    if bags is None or sorted(known) != sorted(map(str, names)):
        return None
    drawn = bags.drawn[:, [known.index(str(name)) for name in names]]
    return None if drawn.all(axis=0).any() else replace(bags, drawn=drawn)


def _spread(
    refit: Refit,
    n_boot: int,
    *,
    n_top: int,
    level: float,
    generator: np.random.Generator,
    n_jobs: int | None,
    progress: bool,
) -> dict[str, Floats]:
    """Return intervals and frequencies (n_genes, k + 1), the whole metric last, over draws of donors."""
    codes, groups = strata_of(refit.target), refit.samples.groups
    seeds = generator.integers(2**63, size=n_boot)
    tasks = [(draw_donors(codes, groups, generator), seed) for seed in seeds]
    drawn = run_tasks(
        refit.of_donors, tasks, n_jobs=n_jobs, progress="bootstraps of donors" if progress else None, unit="fit"
    )
    every = np.stack(drawn)  # (n_boot, k + 1, n_genes)
    tails = ((1 - level) / 2, (1 + level) / 2)
    lower, upper = np.quantile(every, tails, axis=0)
    return {"lower": lower.T, "upper": upper.T, "frequency": in_top(np.abs(every), n_top).mean(axis=0).T}


def _spread_of_bags(
    refit: Refit, bags: Bags, *, n_top: int, level: float, n_jobs: int | None, progress: bool
) -> dict[str, Floats]:
    """Return intervals and frequencies (n_genes, k + 1), the whole metric last, over the bags of a metric."""
    tasks = list(zip(bags.metrics, bags.drawn, strict=True))
    drawn = run_tasks(refit.of_bag, tasks, n_jobs=n_jobs, progress="bags of donors" if progress else None, unit="bag")
    every = np.stack(drawn)  # (n_bags, k + 1, n_genes)
    share = bags.drawn.mean()
    half = stats.t.ppf((1 + level) / 2, len(every) - 1) * np.sqrt(share / (1 - share)) * every.std(axis=0, ddof=1)
    mean = every.mean(axis=0)
    return {
        "lower": (mean - half).T,
        "upper": (mean + half).T,
        "frequency": in_top(np.abs(every), n_top).mean(axis=0).T,
    }


def _significance(
    refit: Refit,
    strata: Integers,
    n_perm: int,
    *,
    generator: np.random.Generator,
    n_jobs: int | None,
    progress: bool,
) -> dict[str, Floats]:
    """Return excess, p-value and false discovery rate (n_genes,) of the genes."""
    values = refit.target.values
    blocks = permutation_blocks(values, refit.samples.groups, strata)
    possible = n_labelings(values, blocks, kind=refit.target.kind)
    _warn_of_few(possible, n_perm)
    seeds = generator.integers(2**63, size=n_perm + 1)
    # the true labels go the same way as the permuted ones
    tasks = [(values, seeds[0])] + [(permute(values, blocks, generator), seed) for seed in seeds[1:]]
    observed, *permuted = run_tasks(
        refit.of_labels, tasks, n_jobs=n_jobs, progress="permuted labels" if progress else None, unit="fit"
    )
    p_value, p_adjusted = pooled_significance(observed, np.stack(permuted))
    # permutations may miss the true labeling by chance; no rate may be below 1 / (number of labelings)
    return {"excess": observed, "p_value": p_value, "p_adjusted": np.maximum(p_adjusted, 1 / possible)}


def _warn_of_few(possible: int, n_perm: int) -> None:
    """Warn if no false discovery rate can be below 5 %."""
    least = smallest_p(possible, n_perm)
    if least > 0.05:
        few = n_perm + 1 <= possible
        reason = f"n_perm={n_perm}" if few else f"the labels of these donors can be permuted in {possible} ways only"
        warn(
            f"No false discovery rate can be below {least:.2g}, since {reason}. "
            + ("Raise n_perm." if few else "More donors are needed.")
        )
