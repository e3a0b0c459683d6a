"""A stored metric as an object."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from scggml._anndata.keys import Keys
from scggml._anndata.metric import read_stored
from scggml._core.metric import effective_rank, importance, shares


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric:
    r"""A learned ground metric :math:`d_W(x, y) = \|W (x - y)\|` in canonical form.

    Parameters
    ----------
    components
        (k, d) W, rows by falling singular value, largest absolute loading of each positive.
    singular_values
        (k,) norms of the rows.
    features
        (d,) names of the features that `transform` and `distance` take.
    loadings
        Genes x components with the genes that took part; None if the features cannot be mapped to genes.

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

    components: NDArray[np.float64]
    singular_values: NDArray[np.float64]
    features: NDArray[np.str_]
    loadings: pd.DataFrame | None

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Embed points: (..., d) -> (..., k)."""
        points = np.asarray(X, dtype=np.float64)
        if points.shape[-1:] != self.features.shape:
            raise ValueError(
                f"X has shape {points.shape}; its last axis must be the {len(self.features)} features of the metric."
            )
        out: NDArray[np.float64] = points @ self.components.T
        return out

    def distance(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Distance between points: (..., d), (..., d) -> (...), broadcast as numpy does."""
        out: NDArray[np.float64] = np.asarray(np.linalg.norm(self.transform(x) - self.transform(y), axis=-1))
        return out

    @property
    def shares(self) -> NDArray[np.float64]:
        """(k,) share of the metric that each component carries; they sum to 1."""
        return shares(self.singular_values)

    @property
    def effective_rank(self) -> float:
        """Number of components really used, the exponential of the entropy of the shares."""
        return effective_rank(self.singular_values)

    @property
    def gene_importance(self) -> pd.Series:
        """Diagonal of theta for each gene that took part (for each feature, if these cannot be mapped to genes)."""
        if self.loadings is None:
            return pd.Series(importance(self.components), index=self.features, name="importance")
        return pd.Series(importance(self.loadings.to_numpy().T), index=self.loadings.index, name="importance")


def metric(adata: AnnData, *, key: str = "ggml") -> Metric:
    """Return a learned metric with its transform, distances and the importance of each gene.

    Parameters
    ----------
    adata
        AnnData that `tl.ggml` (or `tl.project`) has written to.
    key
        Key of the metric in `.uns`.

    Returns
    -------
    The metric as an object with `components` (k, d), `singular_values` (k,), `transform(X)`, `distance(x, y)` and
    `gene_importance`.

    Raises
    ------
    KeyError
        No such metric; those that are there are named.

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
    stored = read_stored(adata, key)
    slot = Keys(key).loadings
    loadings = None
    if slot in adata.varm:
        names = [f"{key}{i + 1}" for i in range(len(stored.components))]
        loadings = pd.DataFrame(np.asarray(adata.varm[slot]), index=adata.var_names, columns=names).dropna()
    return Metric(
        components=stored.components,
        singular_values=stored.singular_values,
        features=stored.features,
        loadings=loadings,
    )
