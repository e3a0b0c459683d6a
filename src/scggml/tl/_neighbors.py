"""The neighbor graph of samples."""

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix

from scggml._anndata.samples import read_distances
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats


def neighbors(
    samples: AnnData, *, key: str = "ggml", n_neighbors: int = 15, rng: int = 0, copy: bool = False
) -> AnnData | None:
    """Neighbor graph of the samples from their stored distances, in the slots that scanpy reads.

    After it `sc.tl.umap`, `sc.tl.leiden`, `sc.tl.diffmap` and `sc.tl.dpt` work on samples. Connectivities are those of
    `sc.pp.neighbors` (fuzzy simplicial set of UMAP).

    Parameters
    ----------
    samples
        AnnData of samples from `distances`.
    key
        Distances in `.obsp`: `"ggml"` for `"ggml_distances"`.
    n_neighbors
        Size of a neighborhood, the sample itself included as in scanpy. Cohorts are small: at most all samples are
        taken.
    rng
        Seed that is stored for the functions of scanpy that follow.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written are `.obsp["distances"]` and `.obsp["connectivities"]` (P, P) sparse, and
    `.uns["neighbors"]`.

    Raises
    ------
    KeyError
        No such distances.
    ValueError
        `n_neighbors` below 2, or fewer than 3 samples.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> sg.tl.neighbors(samples, key="euclidean", n_neighbors=4)
    >>> samples.obsp["connectivities"].shape
    (9, 9)

    References
    ----------
    McInnes, Healy and Melville, *UMAP*, 2018 (arXiv 1802.03426); Wolf et al., *SCANPY*, Genome Biology 2018.
    """
    D = read_distances(samples, key)
    if len(D) < 3:
        raise ValueError(f"samples has {len(D)} rows; a neighbor graph needs at least 3 samples.")
    check_whole("n_neighbors", n_neighbors, 2, "; a sample is its own first neighbor")
    samples = samples.copy() if copy else samples
    nearest = _Nearest(min(n_neighbors, len(D)))
    graph = AnnData(obs=samples.obs[[]], obsm={"D": D})
    sc.pp.neighbors(graph, n_neighbors=nearest.n_neighbors, use_rep="D", transformer=nearest, random_state=rng)
    samples.obsp["connectivities"] = graph.obsp["connectivities"]
    samples.obsp["distances"] = nearest.others(D)
    # scanpy lays out UMAP from this slot where the graph falls into pieces: the mean profiles
    params = graph.uns["neighbors"]["params"] | {"metric": f"{key}_distances", "use_rep": "X"}
    samples.uns["neighbors"] = dict(graph.uns["neighbors"]) | {"params": params}
    return samples if copy else None


class _Nearest:
    """The neighbors of each sample out of a matrix of distances, in the way that scanpy asks for them."""

    def __init__(self, n_neighbors: int) -> None:
        self.n_neighbors = n_neighbors

    def get_params(self, deep: bool = True) -> dict[str, int]:
        """The number of neighbors, the sample itself included."""
        return {"n_neighbors": self.n_neighbors}

    def fit_transform(self, D: Floats) -> csr_matrix:
        """(P, P) distances to the neighbors, the sample itself first even if others are as near."""
        own = D.astype(np.float32)
        np.fill_diagonal(own, -1.0)
        columns = np.argsort(own, axis=1, kind="stable")[:, : self.n_neighbors]
        values = np.maximum(np.take_along_axis(own, columns, axis=1), 0.0)
        starts = np.arange(0, columns.size + 1, self.n_neighbors)
        return csr_matrix((values.ravel(), columns.ravel(), starts), shape=D.shape)

    def others(self, D: Floats) -> csr_matrix:
        """The same without the sample itself; a distance of 0 to another one is kept as an entry."""
        with_self = self.fit_transform(D)
        keep = np.arange(with_self.nnz) % self.n_neighbors > 0
        starts = np.arange(0, keep.sum() + 1, self.n_neighbors - 1)
        return csr_matrix((with_self.data[keep], with_self.indices[keep], starts), shape=D.shape)
