"""Ask whether a metric hangs on single donors."""

from functools import partial

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.influence import check_donors, labels_of, read_donors, verdict, write_influence
from scggml._anndata.messages import check_adata, logged, tell
from scggml._anndata.metric import read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.points import read_points
from scggml._anndata.results import params
from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.explain.influence import FEWEST, centered, of_all, outliers, strangeness, without
from scggml._core.runner import run_tasks
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._docs import documented

POINTS = 100
"""Points that stand for the cells of a sample."""

ROUNDING = 1e-6
"""Change of a metric that is rounding."""


@documented
@logged("learning a metric without each donor in turn")
def influence(
    adata: AnnData,
    *,
    key: str = "ggml",
    n_genes: int = 20,
    level: float = 0.01,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn a metric without each donor in turn, and name donors that change it or are unlike the others.

    Four numbers are computed for each donor:

    *similarity* of the metric without it to that of all, the cosine of :math:`W^T W`; *separation* of the others under
    it, (mean distance between labels - mean distance within) / (sum of both); *fit*, the same for the distances of the
    donor, which this metric has not seen, to the others (below 0: it is nearer to other labels than to its own); and
    *strangeness*, how far its cells are from cells of other donors, compared with how far these are from each other (a
    local outlier factor on the features). The last two do not depend on its composition: cells of a rare type are
    compared with their like.

    A donor is named if one of similarity (of the logarithm of 1 less it), fit and strangeness is too far from those of
    the other donors of its class for a normal distribution, by Rosner's test at `level`. A low fit may be less far (at
    five times the level), but such a donor must be nearer to other labels by half of what others are nearer to their
    own. Separation is shown, not tested.

    Parameters
    ----------
    adata
        %(adata_learned)s
    key
        %(key_metric)s
    n_genes
        Number of the strongest genes of which those that enter and leave are listed.
    level
        Probability of each of the three tests to name a donor where none is unlike the others.
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
    None, or the copy if `copy`. Written is `.uns["ggml_influence"]`, a dict:

    `table`
        DataFrame with a row for each donor: `donor`, `label`, `n_samples`, `n_cells`, `similarity`, `separation`,
        `fit`, `strangeness` (less the median of its class), `genes_in` and `genes_out` (of the strongest ones, joined
        by commas), `reason` it is named for, empty for most.
    `named`
        Donors with a reason.
    `separation`
        That of all donors, to compare with.
    `verdict`
        What was found, in words.
    `params`, `fingerprint`
        Arguments, and the metric that this belongs to.

    The setting (ridge, shrinkage) is that of the metric; samples are up to 100 points each, as in `tl.gene_stability`.

    Raises
    ------
    KeyError
        No such metric.
    ValueError
        Fewer than 6 donors, a class that is gone without a donor, arguments out of range; a slot of the result that
        holds something else.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=20)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.influence(adata, n_jobs=1, progress=False)
    >>> bool(adata.uns["ggml_influence"]["table"]["similarity"].min() > 0.5)
    True

    References
    ----------
    Cook, *Detection of influential observation in linear regression*, Technometrics 1977; Breunig et al., *LOF:
    identifying density-based local outliers*, SIGMOD 2000; Rosner, *Percentage points for a generalized ESD
    many-outlier procedure*, Technometrics 1983.
    """
    check_adata(adata)
    check_whole("n_genes", n_genes, 1)
    check_number("level", level, "a probability in (0, 1), such as 0.01", 0, 1, open_low=True)
    seed = as_seed(rng)
    stored = read_metric(adata, key)
    check_results(adata, key, "influence", copy=copy)
    n_threads(n_jobs)
    generator = np.random.default_rng(seed)
    selection = stored.reading.select(adata, quiet=True)
    donors, names = read_donors(stored.reading, selection)
    check_donors(stored.target(selection), donors, names, FEWEST)
    points = read_points(adata, stored, POINTS, rng=generator, n_jobs=n_jobs, progress=progress)
    samples, target = points.samples, points.target
    refit = points.refit(stored, rng=generator, n_jobs=n_jobs)
    seeds = generator.integers(2**63, size=len(names))
    tasks = [(np.flatnonzero(donors == donor), int(seeds[donor])) for donor in range(len(names))]
    found = run_tasks(
        partial(without, refit),
        tasks,
        n_jobs=n_jobs,
        progress="metrics without a donor" if progress else None,
        unit="fit",
    )
    separation, strengths = of_all(refit, seed)
    strange = centered(strangeness(samples.cohort, donors, generator), target.codes)
    n_genes = min(n_genes, len(points.names))
    top = _strongest(strengths, points.names, n_genes)
    tops = [_strongest(one.strengths, points.names, n_genes) for one in found]
    table = pd.DataFrame(
        {
            "donor": names.astype(object),
            "label": pd.Series(labels_of(target, donors), dtype=object),
            "n_samples": np.bincount(donors),
            "n_cells": np.bincount(donors, selection.sizes).astype(np.int64),
            "similarity": [one.similarity for one in found],
            "separation": [one.separation for one in found],
            "fit": [one.fit for one in found],
            "strangeness": np.bincount(donors, strange) / np.bincount(donors),
            "genes_in": _difference(tops, [top] * len(tops)),
            "genes_out": _difference([top] * len(tops), tops),
        }
    )
    table["reason"] = _reasons(table, target.codes[[own[0] for own, _ in tasks]], level)
    entry = {
        "table": table,
        "named": table.loc[table["reason"] != "", "donor"].to_numpy(dtype=object),
        "separation": separation,
        "verdict": verdict(table, separation, n_genes),
        "params": params(n_genes=n_genes, level=level, seed=seed),
    }
    tell(f"    {entry['verdict']}")
    adata = adata.copy() if copy else adata
    write_influence(adata, stored, entry)
    return adata if copy else None


def _strongest(strengths: Floats, names: Names, n: int) -> list[str]:
    """Return the names of the genes that change most."""
    return [str(names[gene]) for gene in np.argsort(-strengths, kind="stable")[:n]]


def _difference(some: list[list[str]], others: list[list[str]]) -> pd.Series:
    """Return the genes of each list that are not in the other one, as text."""
    listed = [", ".join(name for name in own if name not in other) for own, other in zip(some, others, strict=True)]
    return pd.Series(listed, dtype=object)


def _reasons(table: pd.DataFrame, codes: Integers, level: float) -> pd.Series:
    """Return why donors stand out, as text that is empty for most."""
    change = np.log(np.maximum(1 - table["similarity"].to_numpy(), ROUNDING))
    fit = table["fit"].to_numpy()
    usual, own = float(np.nanmedian(fit)), centered(fit, codes)
    said = {
        "its cells are unlike those of others": outliers(table["strangeness"].to_numpy(), level, side=1),
        "the metric is another one without it": outliers(change, level, side=1),
        "it is nearer to other labels": outliers(own, min(5 * level, 1.0), side=-1) & (fit < -usual / 2),
        "it fits its label better than others do": outliers(own, level, side=1),
    }
    return pd.Series([", ".join(why for why, which in said.items() if which[i]) for i in table.index], dtype=object)
