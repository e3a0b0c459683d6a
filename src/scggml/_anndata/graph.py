"""The neighbor graph of samples, in the slots that scanpy reads."""

from collections.abc import Mapping

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from scggml._anndata.keys import CONNECTIVITIES, NEAREST, NEIGHBORS, Keys, distance_keys
from scggml._anndata.messages import choices, warn
from scggml._anndata.results import write_obsp, write_uns
from scggml._core.cohort import Floats

GRAPHED = ("umap", "diffmap", "draw_graph")
"""Coordinates that scanpy makes from the neighbor graph."""

GRAPH_OF = "distances"
"""Parameter of a graph that names its distances; scanpy takes its `metric` for one of scikit-learn."""


def write_neighbors(samples: AnnData, key: str, distances: Floats, n_neighbors: int, seed: int) -> None:
    """Write the graph that scanpy makes of (P, P) distances, with at most `n_neighbors` neighbors of each sample."""
    nearest = Nearest(min(n_neighbors, len(distances)))
    graph = _graph(distances, nearest, seed)
    graph.obs_names = samples.obs_names
    write_obsp(samples, CONNECTIVITIES, graph.obsp[CONNECTIVITIES])
    write_obsp(samples, NEAREST, nearest.others(distances))
    # where the graph falls into pieces scanpy lays these out by Euclidean distances of this slot: the mean profiles
    params = graph.uns[NEIGHBORS]["params"] | {GRAPH_OF: Keys(key).distances, "metric": "euclidean", "use_rep": "X"}
    write_uns(samples, NEIGHBORS, dict(graph.uns[NEIGHBORS]) | {"params": params})


def _graph(distances: Floats, nearest: "Nearest", seed: int) -> AnnData:
    """Return the graph of scanpy over (P, P) distances."""
    graph = AnnData(distances)  # in .X, which scanpy 1 and 2 call by the same name
    sc.pp.neighbors(graph, n_neighbors=nearest.n_neighbors, use_rep="X", transformer=nearest, random_state=seed)
    return graph


def diffusion(distances: Floats, n_neighbors: int, seed: int) -> AnnData:
    """Return the diffusion map of scanpy over a graph of samples; neighbors are doubled until it is in one piece."""
    while True:
        graph = _graph(distances, Nearest(min(n_neighbors, len(distances))), seed)
        whole = connected_components(graph.obsp[CONNECTIVITIES], directed=False)[0] == 1
        if whole or n_neighbors >= len(distances):
            break
        n_neighbors *= 2
    sc.tl.diffmap(graph, n_comps=min(15, len(distances) - 2), random_state=seed)
    return graph


def pseudotime(graph: AnnData, root: int) -> Floats:
    """Return (P,) diffusion pseudotime from a sample, from 0 to 1."""
    graph.uns["iroot"] = root
    sc.tl.dpt(graph, n_dcs=min(10, graph.obsm["X_diffmap"].shape[1]))
    found: Floats = graph.obs["dpt_pseudotime"].to_numpy(dtype=np.float64)
    return found


def warn_of_graph(samples: AnnData, basis: str) -> None:
    """Warn of coordinates that scanpy made from a neighbor graph of something else than stored distances."""
    stored = {Keys(key).distances: key for key in distance_keys(samples.obsp)}
    graph = samples.uns.get(NEIGHBORS)
    if not stored or not basis.removeprefix("X_").startswith(GRAPHED) or not isinstance(graph, Mapping):
        return
    params = dict(graph.get("params", {}))
    if params.get(GRAPH_OF) not in stored:
        key = next(iter(stored.values()))
        warn(
            f"samples.uns[{NEIGHBORS!r}] is the graph of sc.pp.neighbors ({params.get('metric')} distances in "
            f"{params.get('use_rep') or 'X, the mean profiles'}), not of the stored distances {choices(stored)}, so "
            f"{basis!r} may not show these. Call sg.tl.neighbors(samples, key={key!r}) first, then sc.tl.umap(samples)."
        )


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
