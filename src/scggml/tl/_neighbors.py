"""The neighbor graph of samples."""

import numpy as np
from anndata import AnnData

from scggml._anndata.graph import write_neighbors
from scggml._anndata.messages import logged
from scggml._anndata.ownership import check_writable
from scggml._anndata.samples import read_distances
from scggml._core.checks import check_whole
from scggml._core.seeds import as_seed
from scggml._docs import documented


@documented
@logged("computing neighbors of samples")
def neighbors(
    samples: AnnData,
    *,
    key: str = "ggml",
    n_neighbors: int = 15,
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    """Make the neighbor graph of the samples from their stored distances, in the slots that scanpy reads.

    After it `sc.tl.umap`, `sc.tl.leiden`, `sc.tl.diffmap` and `sc.tl.dpt` work on samples. Connectivities are those of
    `sc.pp.neighbors` (fuzzy simplicial set of UMAP). Do not call `sc.pp.neighbors` on samples: it reads `samples.X`,
    the mean profiles, and knows nothing of the stored distances.

    Parameters
    ----------
    samples
        %(samples)s
    key
        %(key_distances)s
    n_neighbors
        Size of a neighborhood, the sample itself included as in scanpy. Cohorts are small: at most all samples are
        taken.
    rng
        Seed, or a generator to draw it from; it is stored for the functions of scanpy that follow.
    copy
        %(copy)s

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
    check_writable(samples, copy=copy, argument="samples")
    seed = as_seed(rng)
    samples = samples.copy() if copy else samples
    write_neighbors(samples, key, D, n_neighbors, seed)
    return samples if copy else None
