"""A stored metric as an object."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.genes import component_names, read_genes
from scggml._anndata.metric import read_metric
from scggml._core.learn.metric import Metric as ArrayMetric
from scggml._core.metric import importance
from scggml._docs import documented


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Metric(ArrayMetric):
    r"""A learned ground metric :math:`d_W(x, y) = \|W (x - y)\|` in canonical form, with the names of its features.

    Parameters
    ----------
    components
        (k, d) W, rows by falling singular value.
    singular_values
        (k,) norms of the rows.
    squared
        True if distances are squared.
    features
        (d,) names of the features that `transform` and `distance` take. Columns of tables are matched by these; columns
        of arrays stand in their order.
    loadings
        Genes x components with the genes that were used; None if the features cannot be mapped to genes.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> metric = sg.get.metric(adata)
    >>> metric.components.shape
    (2, 4)
    >>> metric.distance(adata.X[0], adata.X[0]).item()
    0.0

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """

    features: NDArray[np.str_] = field()  # needed here, unlike in a metric that was learned from arrays
    loadings: pd.DataFrame | None

    def __post_init__(self) -> None:
        super().__post_init__()
        features: object = self.features
        if features is None:
            d = self.components.shape[1]
            raise TypeError(f"Metric: features is None; pass a list of the names of the {d} features.")
        k, loadings = len(self.components), self.loadings
        if loadings is not None and not (isinstance(loadings, pd.DataFrame) and loadings.shape[1] == k):
            raise TypeError(
                f"Metric: loadings is a {type(loadings).__name__} of shape {np.shape(loadings)}; pass a DataFrame of "
                f"genes x {k} components, or None."
            )

    @property
    def gene_importance(self) -> pd.Series:
        """Diagonal of theta for each gene that was used (for each feature, if these cannot be mapped to genes)."""
        if self.loadings is None:
            return pd.Series(self.importance, index=self.features, name="importance")
        return pd.Series(importance(self.loadings.to_numpy().T), index=self.loadings.index, name="importance")


@documented
def metric(adata: AnnData, *, key: str = "ggml") -> Metric:
    """Return a learned metric with its transform, distances and the importance of each gene.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s

    Returns
    -------
    The metric as an object with `components` (k, d), `singular_values` (k,), `transform(X)`, `distance(x, y)` and
    `gene_importance`.

    Raises
    ------
    KeyError
        No such metric; the message lists the stored ones.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    stored = read_metric(adata, key)
    genes = read_genes(adata, stored)
    loadings = pd.DataFrame(genes.loadings, index=pd.Index(genes.names), columns=component_names(stored))
    return Metric(
        components=stored.components,
        singular_values=stored.singular_values,
        squared=stored.squared,
        features=stored.features,
        loadings=loadings if genes.known else None,
    )
