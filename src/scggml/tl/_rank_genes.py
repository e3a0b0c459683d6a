"""Rank genes by what they do in a metric."""

from collections.abc import Sequence

from anndata import AnnData

from scggml._anndata.changes import read_changes
from scggml._anndata.messages import logged
from scggml._anndata.metric import read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.ranking import By, check_by, check_loadings, write_ranking
from scggml._anndata.results import params
from scggml._core.threads import n_threads
from scggml._docs import documented


@documented
@logged("ranking genes")
def rank_genes(
    adata: AnnData,
    *,
    by: By = "pattern",
    key: str = "ggml",
    cell_type_key: str | None = None,
    contrast: Sequence[str] | None = None,
    layer: str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Rank the genes of a learned metric by how they change between classes, and say in which class they are higher.

    A *loading* says what the metric listens to; it may weigh a gene only to cancel the noise of others. A *pattern*
    says what changes: optimal plans match each cell x with its counterparts y in samples of the other classes, and the
    pattern of gene g on component i is how the gene changes where cells move along the component,

    .. math::
        a_{ig} = \frac{\sum_{pq} w_{pq} \sum_{jl} T^{pq}_{jl}\, (x_j - y_l)_g\, W_i (x_j - y_l)}{\sigma_g\, \rho_i},
        \qquad \rho_i^2 = \sum_{pq} w_{pq} \sum_{jl} T^{pq}_{jl} \big(W_i (x_j - y_l)\big)^2

    over pairs of samples of different classes, which count as they did in learning. It is in standard deviations
    :math:`\sigma_g` of the gene over the cells, for a cell that moves by the root mean square :math:`\rho_i`. What
    cells of one type have in common cancels along the plans. In the whole metric a gene has
    :math:`\sqrt{\sum_i \omega_i a_{ig}^2}`, where :math:`\omega_i` is the share of component i in what moves more
    between classes than within them.

    Patterns need the expression of the cells and nothing else, so genes are ranked for any representation, with or
    without loadings (scVI, Harmony, UMAP). All genes of `.var` are, whether or not the metric used them. Raw counts are
    brought to 10,000 per cell and to log(1 + x) here.

    The sign of a pattern is not the direction of the gene: one that is up in one cell type and down in another changes
    as well. **Which way** a gene goes is its *shift*, the same sum of :math:`x_{jg} - y_{lg}` with x in the class at
    the positive end of the component and y in the reference class; over all cells this is the difference of the mean
    expression of samples. A direction is named where the shift differs from 0 between donors (moderated t-test: p at
    most 0.01, and an adjusted p-value of at most 0.05 among the 100 genes with the strongest patterns, for others among
    all), elsewhere `"neither"`. This screens genes that change; whether they do is tested by `gene_stability`.

    With `cell_type_key` patterns and shifts are split by the type of the cells that move (an entry of a plan counts
    half for the type at either end), so that types add up to the whole: which genes, in which cells. There genes
    are ranked by the t-value of the shift, which knows how much donors differ.

    Plans, and with them these numbers, are those of samples that the metric was learned on. Whether there is anything
    to find is what `gene_stability` (under permuted labels) and `cross_validate` (for new donors) say.

    Parameters
    ----------
    adata
        %(adata_learned)s
    by
        `"pattern"` ranks by patterns, `"loading"` by the weights in the metric; the table has both.
    key
        %(key_metric)s
    cell_type_key
        Column of `.obs` with the type of each cell, for the table of genes by type.
    contrast
        Two classes, such as `("severe", "mild")`: patterns and shifts of these two alone, the first at the high end. By
        default patterns are over all classes, and shifts go from the reference class to the class that
        `.uns["ggml"]["oriented_to"]` names (of ordered labels and numbers from lower to higher samples).
    layer
        Layer with the expression, on a logarithmic scale or raw counts; by default that of a metric that was learned on
        genes, or else `.X`. If `.X` is empty, features of the metric are ranked in place of genes.
    n_jobs
        %(n_jobs_threads)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.varm["ggml_patterns"]`
        (n_vars, k) float64, pattern of each gene on each component, in standard deviations.
    `.uns["ggml_genes"]`
        dict: `params`, `fingerprint`, and DataFrames with a row for each gene and component, strongest first (read them
        with `sg.get.rank_genes_df`):

        `table`
            `component` ("ggml1", "ggml2", ...; "ggml" is the whole metric), `gene`, `pattern`, `shift` (units of the
            expression; of the whole metric where all components have one direction, else NaN), `t` (the shift in units
            of its error over donors), `higher_in` (a class, or "neither"), `loading` (of the whole metric the norm of
            the gene's column; NaN for genes that the metric did not use), `share` (of the squared loadings), `rank`
            (from 1), and the columns of `gene_stability` where it has run.
        `types`
            With `cell_type_key`: `component`, `cell_type`, `gene`, `pattern`, `shift`, `t`, `higher_in`, `rank`;
            patterns and shifts of the types add up to those of `table`. Components that carry at least 3 % of the
            metric.

    Raises
    ------
    KeyError
        No such metric, column or layer.
    ValueError
        `by` that is not known, or `"loading"` without loadings on genes; a contrast that does not name two classes;
        values that are not finite; slots of the result that hold something else.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=40, n_genes=80, n_planted=6)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> sc.pp.pca(adata, n_comps=20)
    >>> sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, cell_type_key="cell_type", progress=False)
    >>> genes = sg.get.rank_genes_df(adata, component=1, cell_type="type0", n_genes=6)
    >>> bool(adata.var.loc[genes["gene"], "planted"].all())
    True

    References
    ----------
    Haufe et al., *On the interpretation of weight vectors of linear models in multivariate neuroimaging*, NeuroImage
    2014, for patterns and weights; Smyth, *Linear models and empirical Bayes methods for assessing differential
    expression*, Statistical Applications in Genetics and Molecular Biology 2004, for moderated t-tests; Kühn and
    Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258), for the metric.
    """
    check_by(by)
    n_threads(n_jobs)
    stored = read_metric(adata, key)
    check_loadings(adata, stored, by)
    check_results(adata, key, "genes", copy=copy)
    found = read_changes(
        adata, stored, cell_type_key=cell_type_key, contrast=contrast, layer=layer, n_jobs=n_jobs, progress=progress
    )
    adata = adata.copy() if copy else adata
    given = params(cell_type_key=cell_type_key, contrast=contrast, layer=layer)
    write_ranking(adata, stored, found, by, given)
    return adata if copy else None
