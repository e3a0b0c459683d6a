"""Rank genes by their weight in a metric."""

from anndata import AnnData

from scggml._anndata.genes import gene_table
from scggml._anndata.keys import Keys
from scggml._anndata.results import write_uns
from scggml._docs import documented


@documented
def rank_genes(adata: AnnData, *, key: str = "ggml", copy: bool = False) -> AnnData | None:
    r"""Rank the genes of a learned metric, on each of its components and as a whole.

    On component i a gene weighs :math:`|L_{ig}|`, in the whole metric :math:`\sqrt{\theta_{gg}}` with
    :math:`\theta = L^T L`, where L (k x genes) are the gene loadings; a metric learned on a PCA is carried back to
    genes by its loadings. Shares are parts of the trace of theta: those of a gene on all components add up to its share
    of the whole, and these add up to 1.

    A component points to the class that `.uns["ggml"]["oriented_to"]` names: cells with more of a gene of positive
    loading are nearer to that end. A large loading is no evidence yet: `gene_stability` says whether another draw of
    donors, or labels that mean nothing, would give it too.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is

    `.uns["ggml_genes"]`
        DataFrame, strongest first, a row for each gene and component: `component` ("ggml1", "ggml2", ...; "ggml" is the
        whole metric), `gene`, `loading` (of the whole metric: the norm of the gene's column), `sign` (1, -1 or 0; of
        the whole metric 0), `share`, `rank` (from 1), and the columns of `gene_stability` where it has run. Read it
        with `sg.get.rank_genes_df`. Features that cannot be mapped to genes are ranked themselves.

    Raises
    ------
    KeyError
        No such metric.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata)
    >>> sg.get.rank_genes_df(adata)["gene"][0]
    'signal'

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    table = gene_table(adata, key)
    adata = adata.copy() if copy else adata
    write_uns(adata, Keys(key).genes, table)
    return adata if copy else None
