"""Refuse results that could not be written, or would replace what others have written, before any work."""

from collections.abc import Mapping
from dataclasses import dataclass

from anndata import AnnData

from scggml._anndata.features import find_basis
from scggml._anndata.keys import MDS, MDS_RECORD, TSNE, TSNE_RECORD, Keys
from scggml._anndata.messages import check_key_added

Slot = tuple[str, str]
"""Where something is stored, such as "obsm", and its name there."""


METRIC = frozenset({"components", "singular_values", "features"})
"""What every metric has."""

DERIVED = "fingerprint"
"""What has everything that is derived from a metric."""


@dataclass(frozen=True)
class Result:
    """Slots of one result. Its record in `.uns` says whether they are ours.

    Parameters
    ----------
    record
        Name in `.uns`.
    entries
        Some of what a record of ours has.
    made_by
        Function that writes it.
    others
        Slots that are written or cleared together with the record.
    """

    record: str
    entries: frozenset[str]
    made_by: str
    others: tuple[Slot, ...] = ()

    def is_ours(self, adata: AnnData) -> bool:
        """Return whether the record is there and was written by us, be it damaged or of an older version."""
        entry = adata.uns.get(self.record)
        if not isinstance(entry, Mapping) or not self.entries <= entry.keys():
            return False
        return self.entries == METRIC or not entry.keys() >= METRIC

    def foreign(self, adata: AnnData) -> list[Slot]:
        """Return the slots that hold what we have not written."""
        if self.is_ours(adata):
            return []
        return [(where, name) for where, name in (("uns", self.record), *self.others) if name in getattr(adata, where)]


def results_of(key: str) -> dict[str, Result]:
    """Return every result that is stored under a key, by its name."""
    keys = Keys(key)

    def result(record: str, entries: str, made_by: str, *others: Slot) -> Result:
        return Result(record, frozenset(entries.split()), made_by, others)

    return {
        "metric": result(
            keys.metric,
            " ".join(METRIC),
            "tl.ggml",
            ("obsm", keys.cells),
            ("obsm", keys.held_out_cells),
            ("varm", keys.loadings),
            ("varm", keys.patterns),
        ),
        "mixture": result(keys.mixture, DERIVED, "tl.ggml"),
        "held_out": result(keys.held_out, DERIVED, "tl.cross_fit", ("obsm", keys.held_out_cells)),
        "components": result(keys.components, DERIVED, "tl.component_test"),
        "genes": result(keys.genes, DERIVED, "tl.rank_genes", ("varm", keys.patterns)),
        "stability": result(keys.stability, DERIVED, "tl.gene_stability"),
        "attribution": result(
            keys.attribution, DERIVED, "tl.attribute", ("obs", keys.attribution), ("obs", keys.excess)
        ),
        "influence": result(keys.influence, DERIVED, "tl.influence"),
        "enrichment": result(keys.enrichment, DERIVED, "ext.enrich_gmt and ext.gprofiler"),
        "covariates": result(keys.covariates, "table params", "tl.covariates"),
        "trajectory": result(
            keys.trajectory, "genes verdict", "tl.trajectory", ("obs", keys.pseudotime), ("obsm", keys.cell_types)
        ),
        "mds": result(MDS_RECORD, "key eigenvalues", "tl.mds", ("obsm", MDS)),
        "tsne": result(TSNE_RECORD, "key kl_divergence", "tl.tsne", ("obsm", TSNE)),
    }


def check_writable(adata: AnnData, *, copy: bool = False, argument: str = "adata") -> None:
    """Raise if nothing can be written into an AnnData on disk."""
    if not adata.isbacked:
        return
    if copy:
        raise ValueError(
            f"copy=True: {argument} is backed by a file, and so would be a copy of it. Pass copy=False, or "
            f"{argument}.to_memory()."
        )
    if adata.is_view:
        raise ValueError(
            f"{argument} is a view of an AnnData that is backed by a file, and nothing can be written into such a "
            f"view. Pass {argument} = {argument}.to_memory(), or {argument} = {argument}.copy(filename=...), which has "
            "a file of its own."
        )


def check_results(adata: AnnData, key: str, *names: str, copy: bool = False, argument: str = "key") -> None:
    """Raise unless results of these names can be written under a key; those that we have written may be replaced."""
    owner = "samples" if set(names) & {"covariates", "trajectory", "mds", "tsne"} else "adata"
    check_key_added(key, argument)
    check_writable(adata, copy=copy, argument=owner)
    known = results_of(key)
    for name in names:
        result = known[name]
        for where, slot in result.foreign(adata):
            what = "a learned metric" if name == "metric" else f"a result of sg.{result.made_by}"
            raise ValueError(
                f"{argument}={key!r}: {owner}.{where}[{slot!r}] holds something that is not {what} and would be "
                f"overwritten. {'Pass another key_added' if argument == 'key_added' else 'Rename it'}, or delete it "
                f"first: del {owner}.{where}[{slot!r}]."
            )


def check_metric_key(
    adata: AnnData, key: str, *more: str, use_rep: str | None, copy: bool, argument: str = "key_added"
) -> None:
    """Raise if a metric cannot be stored under a key: its cells must not replace its features or another metric."""
    check_results(adata, key, "metric", *more, copy=copy, argument=argument)
    keys = Keys(key)
    known = results_of(key)
    if known["metric"].is_ours(adata) and keys.held_out in adata.uns and not known["held_out"].is_ours(adata):
        raise ValueError(
            f"{argument}={key!r}: adata.obsm[{keys.held_out_cells!r}] belongs to adata.uns[{keys.held_out!r}], which "
            f"is not a result of sg.tl.cross_fit, and would be deleted. Pass another {argument}."
        )
    features = None if use_rep is None else find_basis(adata, use_rep)
    twin = keys.key if keys.key in adata.obsm and not known["metric"].is_ours(adata) else None
    if features in (keys.cells, keys.held_out_cells) or twin is not None:
        slot = features if twin is None else twin
        raise ValueError(
            f"{argument}={key!r}: the cells of the metric, adata.obsm[{keys.cells!r}], would take the place of "
            f"adata.obsm[{slot!r}]{' (use_rep), its own features' if twin is None else ''}. Pass another {argument}, "
            "such as 'ggml'."
        )
