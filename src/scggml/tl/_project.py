"""Project new cells into the space of a stored metric."""

from copy import deepcopy

from anndata import AnnData

from scggml._anndata.features import has_rep
from scggml._anndata.genes import all_loadings, has_loadings
from scggml._anndata.keys import Keys
from scggml._anndata.loadings import match_loadings, through_genes, warn_of_axes
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.metric import read_metric, read_metric_entry
from scggml._anndata.ownership import check_metric_key
from scggml._anndata.recording import write_metric
from scggml._anndata.scales import warn_of_other_scale
from scggml._docs import documented


@documented
@logged("embedding cells with a stored metric")
def project(
    adata: AnnData, reference: AnnData, *, key: str = "ggml", layer: str | None = None, copy: bool = False
) -> AnnData | None:
    r"""Put new cells into a metric that was learned on a reference: :math:`z = W x`.

    Features are matched by name, whatever their order. A metric that was learned on a PCA takes the same slot of
    `.obsm` where the new data have it; where they do not, the genes are taken through the loadings of the reference's
    PCA, which needs `.X` (or `layer`) to be on the scale that the reference's PCA saw, and a reference that still has
    this `.X`.

    Parameters
    ----------
    adata
        New cells x genes.
    reference
        AnnData with the learned metric.
    key
        Key of the metric in `reference.uns`; also the key of what is written.
    layer
        Layer of both AnnData with the genes on the scale of the PCA, instead of `.X`. Only for a metric on a PCA that
        the new data lack.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are `.obsm["X_ggml"]` (n_obs, k) float64, and the metric itself
    (`.uns["ggml"]`, and `.varm["ggml"]` by gene name), so that `distances(adata)` works on the new samples.

    Raises
    ------
    KeyError
        The reference has no such metric.
    ValueError
        Features are missing (the message lists them) or come from another PCA, as its loadings in `.varm` tell; the
        reference no longer has the scale that its PCA saw; slots of the metric hold something else.

    Warns
    -----
    UserWarning
        Several genes of one name, which get no loadings; new cells whose genes are on another scale, such as raw
        counts; new cells with a PCA whose loadings are missing and that is not what their genes give.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10, rng=1)[:, ::-1].copy()
    >>> sg.tl.project(new, adata)
    >>> new.obsm["X_ggml"].shape
    (180, 2)

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    check_adata(adata)
    check_adata(reference, "reference")
    stored = read_metric(reference, key)
    use_rep = stored.reading.use_rep
    check_metric_key(adata, key, use_rep=use_rep, copy=copy, argument="key")
    # cells of all samples are moved by their covariates
    selection = None if stored.adjustment is None else stored.reading.of_everyone().select(adata)
    if not has_rep(adata, use_rep) and has_rep(reference, use_rep):
        embedded = through_genes(adata, reference, stored, stored.components, layer) - stored.shifts(selection)
    else:
        if layer is not None:
            raise ValueError(
                f"layer={layer!r} is ignored here: the metric {key!r} takes the slot that it was learned on. Leave "
                "it out."
            )
        embedded = stored.embed(adata, selection)
        warn_of_axes(adata, reference, stored)
        warn_of_other_scale(stored.locate(adata, again=True), stored.record.get("scale"), key)
    keys = Keys(key)
    known = all_loadings(reference, stored) if has_loadings(reference, stored) else None
    loadings = None if known is None else match_loadings(adata, reference, known)
    adata = adata.copy() if copy else adata
    write_metric(adata, keys, entry=deepcopy(read_metric_entry(reference, key)), embedded=embedded, loadings=loadings)
    return adata if copy else None
