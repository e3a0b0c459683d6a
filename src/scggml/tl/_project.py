"""Project new cells into the space of a stored metric."""

from copy import deepcopy

import numpy as np
from anndata import AnnData

from scggml._anndata.features import has_rep, pick, read_features
from scggml._anndata.genes import all_loadings, has_loadings
from scggml._anndata.keys import Keys
from scggml._anndata.loadings import gene_loadings, match_loadings, warn_of_axes
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.metric import (
    StoredMetric,
    read_metric,
    read_metric_entry,
)
from scggml._anndata.ownership import check_metric_key
from scggml._anndata.parts import embed_cells
from scggml._anndata.recording import write_metric
from scggml._anndata.scales import warn_of_other_scale
from scggml._anndata.selection import Selection
from scggml._core.cohort import Floats
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
        Several genes of one name, which get no loadings; new cells with a PCA whose loadings are missing and that is
        not what their genes give.

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
        embedded = _project_genes(adata, reference, stored, layer, selection)
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


def _project_genes(
    adata: AnnData, reference: AnnData, stored: StoredMetric, layer: str | None, selection: Selection | None
) -> Floats:
    """Embed through gene loadings, with the shift (the centring of the PCA) taken from the cells of the reference."""
    use_rep = str(stored.reading.use_rep)
    lacking = f"adata.obsm lacks {use_rep!r}, the features of the metric {stored.key!r},"
    loadings = gene_loadings(reference, stored.locate(reference), stored.components, use_rep)
    if loadings is None:
        raise ValueError(
            f"{lacking} and reference.varm has no loadings of {use_rep!r} to go through; compute {use_rep!r} for the "
            "new cells first."
        )
    used = ~np.isnan(loadings).any(axis=1)
    genes, weights = reference.var_names[used].to_numpy().astype(str), loadings[used].T
    what = f"genes that carry the metric {stored.key!r}"
    seen = pick(read_features(reference, layer=layer), genes, what)
    through = embed_cells(seen, weights)
    known = embed_cells(stored.locate(reference), stored.components)
    shift = (known - through).mean(axis=0)
    if np.abs(through + shift - known).max() > 1e-2 * max(np.ptp(known, axis=0).max(), np.finfo(float).tiny):
        raise ValueError(
            f"{lacking} and {seen.slot} of the reference is not on the scale that its PCA saw (its cells do not come "
            f"out where they are). Pass the layer of both AnnData that holds this scale, or compute {use_rep!r} for "
            "the new cells."
        )
    own = pick(read_features(adata, layer=layer), genes, what)
    return embed_cells(own, weights) + shift - stored.shifts(selection)
