"""Test which components of a metric are real."""

from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.messages import check_adata, logged, tell
from scggml._anndata.metric import read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.tested import LEVEL, N_PERM, run_component_test, verdict, write_component_test
from scggml._core.checks import check_number, check_whole
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._docs import documented


@documented
@logged("testing the components of a metric under permuted labels")
def component_test(
    adata: AnnData,
    *,
    key: str = "ggml",
    n_perm: int = N_PERM,
    level: float = LEVEL,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Test which components of a metric tell labels apart more than those of permuted labels do.

    Components are tested one after another, the one along which samples of different labels move most beyond those
    of one label first (those that were not learned come last), up to the first one that is not real. For each, the
    components before it are removed from the cells (cells move along their patterns until these components are 0),
    and canonical variates of Euclidean plans, which do not depend on labels, are learned for the true labels and
    for labels that are permuted among donors (within batches), each with two ridges, of which the better one
    counts. The statistic is the largest eigenvalue :math:`\lambda`, how much farther samples of different labels
    are along the best direction than samples of one label. A component is real if at most a share `level` of the
    permutations reach as large a one, :math:`\lambda > 1`, samples of different labels are farther apart along the
    component itself, and at least a fifth of it was learned rather than filled in by shrinkage.

    Two classes that differ by a shift have one real component, however many the metric has: shrinkage fills the others
    with the leading axes of the cells (`.uns["ggml"]["learned_share"]` says how much of each was learned). Figures draw
    real components where this test has run.

    Parameters
    ----------
    adata
        %(adata_learned)s
    key
        %(key_metric)s
    n_perm
        Permutations of labels for each component.
    level
        Largest p-value of a real component.
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
    None, or the copy if `copy`. Written is `.uns["ggml_components"]`, a dict: `real` (k,) bool, `p_values` and
    `eigenvalues` (k,), NaN for components that come after the first that is not real; `p_any`, the p-value of the
    metric showing anything (1 where cells differ, but its components do not show it), below which no false
    discovery rate of its genes and cell types is let (`gene_stability`, `attribute`); `smallest_p`, the smallest
    p-value that the donors and permutations allow (five pairs of samples: 1/16); `verdict` in words; `fingerprint`,
    `params`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Arguments out of range; a slot of the result that holds something else.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.component_test(adata, n_perm=39, n_jobs=1, progress=False)
    >>> adata.uns["ggml_components"]["real"]
    array([ True, False])

    References
    ----------
    Legendre, Oksanen and ter Braak, *Testing the significance of canonical axes in redundancy analysis*, Methods in
    Ecology and Evolution 2011, for tests of one axis after another.
    """
    check_adata(adata)
    check_whole("n_perm", n_perm, 1)
    check_number("level", level, "a share in (0, 1), such as 0.05", 0, 1, open_low=True)
    seed = as_seed(rng)
    stored = read_metric(adata, key)
    n_threads(n_jobs)
    check_results(adata, key, "components", copy=copy)
    given: dict[str, Any] = {"level": level, "n_jobs": n_jobs, "progress": progress}
    found = run_component_test(adata, stored, n_perm=n_perm, seed=seed, **given)
    tell(f"    {verdict(found, key)}")
    adata = adata.copy() if copy else adata
    write_component_test(adata, stored, found, n_perm=n_perm, seed=seed)
    return adata if copy else None
