"""The door to ranked genes: how they change and what they weigh, over all cells and by cell type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.changes import GeneChanges
from scggml._anndata.forms import CHECKSUMS, OPTIONS, Entry, check_entry, sealed
from scggml._anndata.genes import all_loadings, component_names, has_loadings, pick_components
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices, warn
from scggml._anndata.metric import StoredMetric, belongs, check_derived, read_metric
from scggml._anndata.results import find_result, write_result, write_uns, write_varm
from scggml._core.checks import check_choice
from scggml._core.cohort import Floats
from scggml._core.explain.patterns import Changes, strengths
from scggml._core.explain.significance import benjamini_hochberg
from scggml._core.metric import importance

By = Literal["pattern", "loading"]
BY: tuple[By, ...] = get_args(By)

SPREAD, SIGNIFICANCE = ("lower", "upper", "frequency"), ("excess", "p_value", "p_adjusted")
"""Columns of `tl.gene_stability`: by component, and of the whole metric alone."""

NUMBERS, TEXT = ("pattern", "shift", "t", "loading", "share", "rank"), ("component", "gene", "higher_in")
"""Columns of the table of genes."""

FORM = {
    "table": Entry("table", numbers=NUMBERS, text=TEXT),
    "types": Entry("table", numbers=("pattern", "shift", "t"), text=(*TEXT, "cell_type"), optional=True),
    "params": OPTIONS,
}

PARAMS = {
    "by": Entry("text"),
    "of_genes": Entry("flags"),
    "high": Entry("text", ("components",)),
    "low": Entry("text", ("components",)),
}

STABILITY = {
    "genes": Entry("text", ("genes",)),
    **{name: Entry("numbers", ("genes", "columns"), missing=True, optional=True) for name in SPREAD},
    **{name: Entry("numbers", ("genes",), missing=True, optional=True) for name in SIGNIFICANCE},
    "params": Entry("options", optional=True),
}

DIRECTED, RATE, STRONGEST = 0.01, 0.05, 100
"""P-value over donors up to which a shift has a direction that is named, and adjusted p-value (Benjamini and Hochberg)
among so many genes that change most, for others among all. The former were chosen by the same labels, so this is a
screen, not a false discovery rate."""

NEITHER = "neither"
"""Stands where no direction is named."""


@dataclass(frozen=True)
class Ranking:
    """Ranked genes as `tl.rank_genes` stored them.

    Parameters
    ----------
    table, types
        Genes over all cells, and by cell type (None without).
    params
        How they were ranked.
    """

    table: pd.DataFrame
    types: pd.DataFrame | None
    params: Mapping[str, Any]

    @property
    def by(self) -> By:
        """Return what they were ranked by."""
        return check_by(str(self.params["by"]))

    @property
    def seen(self) -> str:
        """Return "training" if genes change between samples that the metric was learned on, else "other"."""
        return str(self.params.get("seen", "training"))

    @property
    def of_genes(self) -> bool:
        """Return whether genes were ranked, and not features in their place."""
        return bool(self.params["of_genes"])

    def ends(self, component: int) -> tuple[str, str]:
        """Return the names of the high and the low end of a component (from 1)."""
        return str(self.params["high"][component - 1]), str(self.params["low"][component - 1])

    def of(self, component: str) -> pd.DataFrame:
        """Return the genes of a component by its name, over all cells."""
        return self.table[self.table["component"] == component].reset_index(drop=True)


def check_by(by: str) -> By:
    """Return what genes are ranked by, if it is known."""
    check_choice("by", by, BY)
    return cast("By", by)


def check_loadings(adata: AnnData, stored: StoredMetric, by: By) -> None:
    """Raise if genes, which the AnnData has, are to be ranked by loadings that the metric does not have."""
    if by == "loading" and adata.X is not None and not has_loadings(adata, stored):
        raise ValueError(
            f'by="loading": the metric {stored.key!r} is on features that cannot be mapped to genes; pass by="pattern",'
            " which needs the expression of the cells alone."
        )


def gene_table(adata: AnnData, stored: StoredMetric, by: By, found: GeneChanges) -> pd.DataFrame:
    """Return a row for each gene on each component, and in the whole metric, strongest first."""
    loadings = np.full((len(found.names), len(stored.components)), np.nan)
    if found.of_genes and has_loadings(adata, stored):
        loadings = all_loadings(adata, stored)
    elif not found.of_genes:
        loadings = stored.components.T
    whole = np.sqrt(importance(loadings.T))
    total = float(np.nansum(whole**2))
    rows = []
    for i, name in enumerate([*component_names(stored), stored.key]):
        last = name == stored.key
        part: dict[str, Any] = {"component": name, "gene": found.names.astype(object)}
        part |= _changes_of(found, found.whole, 0, None if last else i)
        loading = whole if last else loadings[:, i]
        part |= {"loading": loading, "share": loading**2 / (total if total > 0 else 1.0)}
        rows.append(_ranked(pd.DataFrame(part), by))
    return _categories(pd.concat(rows, ignore_index=True))


def type_table(adata: AnnData, stored: StoredMetric, found: GeneChanges) -> pd.DataFrame:
    """Return a row for each gene, cell type and component that carries a part of the metric, strongest first."""
    if found.by_type is None:
        raise ValueError("The changes are not by type.")
    rows = []
    for i in pick_components(adata, stored, None, "no genes"):
        for number, name in enumerate(found.types):
            part = {"component": f"{stored.key}{i}", "cell_type": str(name), "gene": found.names.astype(object)}
            rows.append(_ranked(pd.DataFrame(part | _changes_of(found, found.by_type, number, i - 1)), "t"))
    return _categories(pd.concat(rows, ignore_index=True))


def _changes_of(found: GeneChanges, of: Changes, number: int, component: int | None) -> dict[str, Any]:
    """Return the columns of one type on one component; the whole metric (None) has a direction if there is only one."""
    patterns = of.patterns[number]
    if component is None:
        pattern, contrast = strengths(patterns, found.importance), 0 if len(found.contrasts) == 1 else None
    else:
        pattern, contrast = patterns[component], int(found.of_component[component])
    if contrast is None:
        unknown = np.full(len(pattern), np.nan)
        return {"pattern": pattern, "shift": unknown, "t": unknown, "higher_in": NEITHER}
    shift, t, p = (values[number, contrast] for values in (of.shifts, of.t, of.p_values))
    ends = found.contrasts[contrast]
    named = np.where(shift > 0, ends.high, ends.low)
    return {"pattern": pattern, "shift": shift, "t": t, "higher_in": np.where(_directed(p, pattern), named, NEITHER)}


def _directed(p: Floats, pattern: Floats) -> NDArray[np.bool_]:
    """Return (n_genes,) whether a shift differs from 0, for itself and among the genes that change as much."""
    rates = benjamini_hochberg(p)
    strongest = np.argsort(-np.abs(pattern), kind="stable")[:STRONGEST]
    rates[strongest] = benjamini_hochberg(p[strongest])
    return (p <= DIRECTED) & (rates <= RATE)


def _ranked(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the genes by falling size of a column, those without a value last, with their rank from 1."""
    order = np.argsort(-np.abs(np.nan_to_num(part[column], nan=0.0)), kind="stable")
    return part.iloc[order].assign(rank=np.arange(1, len(part) + 1))


def _categories(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with names that come many times as categories, in the order of their appearance."""
    for name in ("component", "cell_type", "higher_in"):
        if name in table:
            table[name] = pd.Categorical(table[name], categories=list(dict.fromkeys(table[name])))
    return table


def with_stability(
    table: pd.DataFrame, adata: AnnData, stored: StoredMetric, *, layer: str | None = None
) -> pd.DataFrame:
    """Return the table with what `tl.gene_stability` found for this metric and layer, NaN for genes that it lacks."""
    found = read_stability(adata, stored)
    if found is None or found.get("params", {}).get("layer") != layer:
        return table
    known = np.array([str(name) for name in found["genes"]])
    if len(set(known)) < len(known):
        raise ValueError(
            f"adata.uns[{Keys(stored.key).stability!r}] has several genes of one name, so it is ambiguous which is "
            f"which; call adata.var_names_make_unique() and sg.tl.gene_stability(adata, key={stored.key!r}) again."
        )
    row = pd.Index(known).get_indexer(pd.Index(table["gene"].astype(str)))
    number = {name: i for i, name in enumerate([*component_names(stored), stored.key])}
    column = np.array([number[name] for name in table["component"].astype(str)])
    out = table.drop(columns=[name for name in (*SPREAD, *SIGNIFICANCE) if name in table])
    for name in (*SPREAD, *SIGNIFICANCE):
        if name in found:
            values = np.asarray(found[name], dtype=np.float64)
            out[name] = np.where(row >= 0, values[row, column] if name in SPREAD else values[row], np.nan)
    return out


def read_stability(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any] | None:
    """Return the results of `tl.gene_stability`; None if it has not run for this metric."""
    call = f"sg.tl.gene_stability(adata, key={stored.key!r})"
    columns = len(stored.components) + 1
    there = adata.uns.get(Keys(stored.key).stability)
    if not isinstance(there, Mapping) or ("genes" not in there and CHECKSUMS not in there):
        if there is not None:  # something else, or an older one, which does not say whose numbers these are
            warn(
                f"adata.uns[{Keys(stored.key).stability!r}] is no result of sg.tl.gene_stability with the names of its "
                "genes, so genes have no intervals and p-values. Rename it if it is yours, or delete it, and call "
                f"{call}."
            )
        return None
    found = find_result(adata, Keys(stored.key).stability, call, STABILITY, of=stored.fingerprint, columns=columns)
    return found if found is not None and belongs(found, stored) else None


def write_ranking(adata: AnnData, stored: StoredMetric, found: GeneChanges, by: By, given: Mapping[str, Any]) -> None:
    """Write ranked genes into `.uns`, and the (n_vars, k) patterns of the genes of `.var` into `.varm`."""
    keys = Keys(stored.key)
    ends = [found.contrasts[i] for i in found.of_component]
    table = gene_table(adata, stored, by, found)
    if "contrast" not in given:  # refits are of all labels
        table = with_stability(table, adata, stored, layer=given.get("layer"))
    entry: dict[str, Any] = {"table": table, "fingerprint": stored.fingerprint}
    entry["params"] = dict(given) | {
        "by": by,
        "of_genes": found.of_genes,
        "log_normalized": found.counts,
        "importance": found.importance,
        "seen": found.seen,
        "high": np.array([end.high for end in ends], dtype=object),
        "low": np.array([end.low for end in ends], dtype=object),
    }
    if found.by_type is not None:
        entry["types"] = type_table(adata, stored, found)
    write_result(adata, keys.genes, entry)
    write_varm(adata, keys.patterns, found.whole.patterns[0].T if found.of_genes else None)


def has_ranking(adata: AnnData, stored: StoredMetric) -> bool:
    """Return whether the genes of the metric as it is now are ranked."""
    entry = _find(adata, stored)
    return entry is not None and belongs(entry, stored)


def refresh_ranking(adata: AnnData, stored: StoredMetric) -> None:
    """Add what `tl.gene_stability` found to the stored table."""
    slot = Keys(stored.key).genes
    entry = _find(adata, stored)
    if entry is None:
        raise KeyError(f"No {slot!r} in adata.uns; rank the genes first with {_call(stored.key)}.")
    table = with_stability(entry["table"], adata, stored, layer=entry["params"].get("layer"))
    changed = dict(entry) | {"table": table}
    write_uns(adata, slot, sealed(changed) if CHECKSUMS in entry else changed)


def _call(key: str) -> str:
    return f"sg.tl.rank_genes(adata, key={key!r})"


def _find(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any] | None:
    """Return the ranked genes after a check of their form."""
    slot, call = Keys(stored.key).genes, _call(stored.key)
    there = adata.uns.get(slot)
    if there is not None and not (isinstance(there, Mapping) and {"table", "params"} <= there.keys()):
        raise ValueError(f"adata.uns[{slot!r}] does not hold ranked genes; call {call} again.")
    entry = find_result(adata, slot, call, FORM, of=stored.fingerprint)
    if entry is not None and belongs(entry, stored):
        where = f"adata.uns[{slot!r}]['params']"
        check_entry(entry["params"], where, f"call {call} again.", PARAMS, components=len(stored.components))
    return entry


def read_ranking(adata: AnnData, key: str) -> Ranking:
    """Return the ranked genes, if they are those of the metric as it is now."""
    slot = Keys(key).genes
    stored = read_metric(adata, key)
    entry = _find(adata, stored)
    if entry is None:
        raise KeyError(f"No {slot!r} in adata.uns; rank the genes first with {_call(key)}.")
    check_derived(entry, stored, f"adata.uns[{slot!r}]", _call(key))
    return Ranking(entry["table"], entry.get("types"), entry["params"])


def pick_type(ranking: Ranking, cell_type: str, key: str) -> pd.DataFrame:
    """Return the genes of one cell type; if there are none, the message lists the types or the call that makes them."""
    if ranking.types is None:
        raise ValueError(
            f"cell_type={cell_type!r}: genes were ranked over all cells; rank them by type with "
            f"sg.tl.rank_genes(adata, key={key!r}, cell_type_key=...)."
        )
    known = list(dict.fromkeys(ranking.types["cell_type"]))
    if cell_type not in known:
        raise ValueError(
            f"cell_type={cell_type!r} is not one of the types that genes were ranked in: {choices(known)}."
        )
    return ranking.types[ranking.types["cell_type"] == cell_type]
