"""Coordinates of samples by multidimensional scaling."""

from anndata import AnnData

from scggml._anndata.covariates import origin_of
from scggml._anndata.keys import MDS, MDS_RECORD
from scggml._anndata.measured import measured
from scggml._anndata.messages import logged
from scggml._anndata.ownership import check_results
from scggml._anndata.results import write_obsm, write_result
from scggml._anndata.samples import read_distances
from scggml._core.checks import check_between
from scggml._core.mds import classical_mds
from scggml._docs import documented


@documented
@logged("computing coordinates of samples by multidimensional scaling")
def mds(samples: AnnData, *, key: str = "ggml", n_comps: int = 2, copy: bool = False) -> AnnData | None:
    r"""Compute coordinates of the samples by classical multidimensional scaling (principal coordinates).

    The leading eigenvectors of :math:`-\frac12 J D^{(2)} J` (squared distances, doubly centred), scaled by the roots
    of their eigenvalues. Closed form: no seed, no local optimum.

    Parameters
    ----------
    samples
        %(samples)s
    key
        %(key_distances)s
    n_comps
        Number of coordinates.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are `.obsm["X_mds"]` (P, n_comps) float64, in units of the distances, and
    `.uns["mds"]`: `eigenvalues` (P,), falling (negative ones show how far the distances are from Euclidean),
    `variance_ratio` (n_comps,), share of the sum of the positive ones, and `key`.

    Raises
    ------
    KeyError
        No such distances.
    ValueError
        `n_comps` is not between 1 and P - 1; slots of the result that hold something else.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> sg.tl.mds(samples, key="euclidean")
    >>> samples.obsm["X_mds"].shape
    (9, 2)

    References
    ----------
    Gower, *Some distance properties of latent root and vector methods*, Biometrika 1966.
    """
    D = read_distances(samples, key)
    check_between("n_comps", n_comps, 1, len(D) - 1, "one less than the number of samples")
    check_results(samples, key, "mds", copy=copy)
    samples = samples.copy() if copy else samples
    coordinates, eigenvalues = classical_mds(D, n_comps)
    positive = eigenvalues[eigenvalues > 0].sum()
    write_obsm(samples, MDS, coordinates)
    entry = {
        "key": key,
        "eigenvalues": eigenvalues,
        **origin_of(samples, key),
        **measured(samples, key),
        "variance_ratio": eigenvalues[:n_comps].clip(0) / (positive if positive > 0 else 1.0),
    }
    write_result(samples, MDS_RECORD, entry)
    return samples if copy else None
