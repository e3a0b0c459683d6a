"""Coordinates of samples by t-SNE."""

from anndata import AnnData

from scggml._anndata.covariates import origin_of
from scggml._anndata.keys import TSNE, TSNE_RECORD
from scggml._anndata.measured import measured
from scggml._anndata.messages import logged
from scggml._anndata.ownership import check_results
from scggml._anndata.results import write_obsm, write_result
from scggml._anndata.samples import read_distances
from scggml._core.checks import check_number
from scggml._core.tsne import embed_neighbors, usual_perplexity
from scggml._docs import documented


@documented
@logged("computing coordinates of samples by t-SNE")
def tsne(samples: AnnData, *, key: str = "ggml", perplexity: float | None = None, copy: bool = False) -> AnnData | None:
    r"""Compute coordinates of the samples that keep neighbors together, by t-SNE of their stored distances.

    Coordinates y make the Kullback-Leibler divergence between

    .. math:: p_{ij} \propto \exp(-D_{ij}^2 / 2 \sigma_i^2), \qquad q_{ij} \propto (1 + \|y_i - y_j\|^2)^{-1}

    small, where :math:`\sigma_i` gives each sample as many neighbors as the perplexity says. Sizes of groups and gaps
    between them mean little; `mds` shows distances. Do not call `sc.tl.tsne` on samples: it reads mean profiles. For
    UMAP there is `neighbors`.

    Parameters
    ----------
    samples
        %(samples)s
    key
        %(key_distances)s
    perplexity
        Number of neighbors that count, at least 1 and below the number of samples; None for 30, or a third of the
        other samples if that is less.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are `.obsm["X_tsne"]` (P, 2) float64, without a unit, and `.uns["tsne"]`:
    `perplexity`, `kl_divergence` that is left, in nats, and `key`. The start is `mds`, so that nothing is random.

    Raises
    ------
    KeyError
        No such distances.
    ValueError
        Fewer than 4 samples, samples that are all the same, a perplexity out of range; slots of the result that hold
        something else, such as what `sc.tl.tsne` wrote.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> sg.tl.tsne(samples, key="euclidean")
    >>> samples.obsm["X_tsne"].shape
    (9, 2)

    References
    ----------
    van der Maaten and Hinton, *Visualizing data using t-SNE*, JMLR 2008; Kobak and Linderman, *Initialization is
    critical for preserving global data structure in both t-SNE and UMAP*, Nature Biotechnology 2021, for the start.
    """
    D = read_distances(samples, key)
    if len(D) < 4:
        raise ValueError(f"samples has {len(D)} rows; t-SNE needs at least 4 samples.")
    if not D.any():
        raise ValueError(f"All distances {key!r} of samples are 0, so there are no neighbors; sg.tl.mds takes them.")
    if perplexity is not None:
        wanted = f"a number of neighbors of at least 1 and below {len(D)}, the number of samples"
        check_number("perplexity", perplexity, wanted, 1, len(D), open_low=False)
    check_results(samples, key, "tsne", copy=copy)
    samples = samples.copy() if copy else samples
    chosen = usual_perplexity(len(D)) if perplexity is None else float(perplexity)
    coordinates, divergence = embed_neighbors(D, chosen)
    write_obsm(samples, TSNE, coordinates)
    entry = {
        "key": key,
        "perplexity": chosen,
        "kl_divergence": divergence,
        **origin_of(samples, key),
        **measured(samples, key),
    }
    write_result(samples, TSNE_RECORD, entry)
    return samples if copy else None
