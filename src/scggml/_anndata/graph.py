"""The neighbor graph of samples, in the slots that scanpy reads."""

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix

from scggml._anndata.keys import CONNECTIVITIES, NEAREST, NEIGHBORS, Keys
from scggml._anndata.results import write_obsp, write_uns
from scggml._core.cohort import Floats


def write_neighbors(samples: AnnData, key: str, distances: Floats, n_neighbors: int, seed: int) -> None:
    """Write the graph that scanpy makes of (P, P) distances, with at most `n_neighbors` neighbors of each sample."""
    nearest = Nearest(min(n_neighbors, len(distances)))
    graph = AnnData(distances, obs=samples.obs[[]])  # in .X, which scanpy 1 and 2 call by the same name
    sc.pp.neighbors(graph, n_neighbors=nearest.n_neighbors, use_rep="X", transformer=nearest, random_state=seed)
    write_obsp(samples, CONNECTIVITIES, graph.obsp[CONNECTIVITIES])
    write_obsp(samples, NEAREST, nearest.others(distances))
    # scanpy lays out UMAP from this slot where the graph falls into pieces: the mean profiles
    params = graph.uns[NEIGHBORS]["params"] | {"metric": Keys(key).distances, "use_rep": "X"}
    write_uns(samples, NEIGHBORS, dict(graph.uns[NEIGHBORS]) | {"params": params})


class Nearest:
    """The neighbors of each sample from a matrix of distances, with the interface that scanpy expects."""

    def __init__(self, n_neighbors: int) -> None:
        self.n_neighbors = n_neighbors

    def get_params(self, deep: bool = True) -> dict[str, int]:
        """Return the number of neighbors, the sample itself included."""
        return {"n_neighbors": self.n_neighbors}

    def fit_transform(self, D: Floats) -> csr_matrix:
        """Return (P, P) distances to the neighbors, the sample itself first even if others are as near."""
        own = D.astype(np.float32)
        np.fill_diagonal(own, -1.0)
        columns = np.argsort(own, axis=1, kind="stable")[:, : self.n_neighbors]
        values = np.maximum(np.take_along_axis(own, columns, axis=1), 0.0)
        starts = np.arange(0, columns.size + 1, self.n_neighbors)
        return csr_matrix((values.ravel(), columns.ravel(), starts), shape=D.shape)

    def others(self, D: Floats) -> csr_matrix:
        """Return the same without the sample itself; a distance of 0 to another one is kept as an entry."""
        with_self = self.fit_transform(D)
        keep = np.arange(with_self.nnz) % self.n_neighbors > 0
        starts = np.arange(0, keep.sum() + 1, self.n_neighbors - 1)
        return csr_matrix((with_self.data[keep], with_self.indices[keep], starts), shape=D.shape)
