"""The door to the genes of a stored metric: their names and loadings, and gene sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.forms import OPTIONS, Entry
from scggml._anndata.keys import Keys
from scggml._anndata.loadings import pca_axes
from scggml._anndata.messages import check_adata, choices
from scggml._anndata.metric import StoredMetric, check_derived, read_metric, stored_keys
from scggml._anndata.origin import ROUNDING
from scggml._anndata.results import find_result, write_result
from scggml._anndata.tested import real_components
from scggml._arguments import shown
from scggml._core.cohort import Floats, Names
from scggml._core.metric import shares

Component = int | str
"""A component by its number, from 1, or by its name, such as "ggml1"."""

NO_NAME = frozenset({"", "nan", "NaN", "NA", "None", "<NA>"})
"""Texts that files have in place of a name that is missing."""

DOMINANT = 0.03
"""Share of the metric from which on a component is shown and queried by default."""


@dataclass(frozen=True)
class Genes:
    """The genes that a metric could use (or its features, where these cannot be mapped to genes).

    Parameters
    ----------
    names
        (n,) names.
    loadings
        (n, k).
    known
        Whether they are genes.
    """

    names: Names
    loadings: Floats
    known: bool


def has_loadings(adata: AnnData, stored: StoredMetric) -> bool:
    """Return whether a metric has loadings on genes."""
    return Keys(stored.key).loadings in adata.varm


def all_loadings(adata: AnnData, stored: StoredMetric) -> Floats:
    """Return (n_vars, k) loadings, NaN for genes that the metric does not use, if they are those of the metric."""
    slot, k = Keys(stored.key).loadings, len(stored.components)
    given, again = adata.varm[slot], "learn the metric again with sg.tl.ggml, or project it again with sg.tl.project."
    if np.shape(given) != (adata.n_vars, k) or np.asarray(given).dtype.kind not in "fiu":
        raise ValueError(
            f"adata.varm[{slot!r}] holds {np.asarray(given).dtype} of shape {np.shape(given)}, where numbers of shape "
            f"{(adata.n_vars, k)} are needed; {again}"
        )
    found = np.asarray(given, dtype=np.float64)
    names, loadings = _expected_loadings(adata, stored)
    there = np.flatnonzero(~adata.var_names.duplicated(keep=False))
    place = pd.Index(names).get_indexer(adata.var_names[there])
    there, place = there[place >= 0], place[place >= 0]
    off = np.zeros(adata.n_vars, dtype=np.bool_)
    near = ROUNDING * np.nanmax(np.abs(loadings), initial=0.0)
    lost = np.isnan(found[there]) != np.isnan(loadings[place])
    off[there] = (lost | (np.abs(found[there] - loadings[place]) > near)).any(axis=1)
    if off.any():
        raise ValueError(
            f"adata.varm[{slot!r}] was changed after it was written, for {int(off.sum())} genes such as "
            f"{str(adata.var_names[off.argmax()])!r}: the metric {stored.key!r} has other loadings; {again}"
        )
    return found


def _expected_loadings(adata: AnnData, stored: StoredMetric) -> tuple[Names, Floats]:
    """Return what is known of the loadings of a metric: names of genes, each once, and their (n, k) loadings."""
    use_rep, W = stored.reading.use_rep, stored.components
    if use_rep is None or use_rep == "X":
        single = ~pd.Index(stored.features).duplicated(keep=False)
        return stored.features[single], W.T[single]
    origin = stored.record.get("origin")
    if origin is None:
        return np.empty(0, dtype=str), np.empty((0, len(W)))
    genes, axes = pd.Index([str(name) for name in origin["genes"]]), np.asarray(origin["loadings"], dtype=np.float64)
    own, single = pca_axes(adata, use_rep, W.shape[1]), ~adata.var_names.duplicated(keep=False)
    if own is not None:
        place = genes.get_indexer(adata.var_names[single])
        if np.allclose(own[single][place >= 0], axes[place[place >= 0]], rtol=0, atol=ROUNDING * np.abs(axes).max()):
            own = np.where(own.any(axis=1, keepdims=True), own, np.nan)  # genes that the PCA did not see
            return adata.var_names[single].to_numpy().astype(str), own[single] @ W.T
    return genes.to_numpy(), axes @ W.T


def read_genes(adata: AnnData, stored: StoredMetric) -> Genes:
    """Return the genes that a metric weighs, or its features where these cannot be mapped to genes."""
    if not has_loadings(adata, stored):
        return Genes(stored.features, stored.components.T, known=False)
    matrix = all_loadings(adata, stored)
    used = ~np.isnan(matrix).any(axis=1)
    return Genes(adata.var_names.to_numpy()[used], matrix[used], known=True)


def pick_components(
    adata: AnnData,
    stored: StoredMetric,
    components: Sequence[Component] | None,
    purpose: str,
    *,
    argument: str = "components",
) -> list[int]:
    """Return the components asked for by number (from 1) or name, each once, as numbers.

    `argument` is their name in a message; "component" holds a single one.

    By default those that `tl.component_test` found real; where it has not run, or found none, those that carry at least
    a share DOMINANT.
    """
    share = shares(stored.singular_values)
    if components is None:
        if not share.any():
            raise ValueError(f"The metric {stored.key!r} is zero: nothing was learned, so it has {purpose}.")
        real = real_components(adata, stored)
        chosen = share >= DOMINANT if real is None or not real.any() else real
        return [int(i) + 1 for i in np.flatnonzero(chosen)]
    if isinstance(components, str | int | np.integer):
        components = [components]
    if not isinstance(components, Iterable) or isinstance(components, bytes):
        raise TypeError(
            f"{argument}={shown(components)} is a {type(components).__name__}; pass a list of numbers from 1 or of "
            f"names ({choices(component_names(stored))})."
        )
    asked: object = components
    components = list(components)
    if argument == "component":
        asked = components[0]
    numbers = {name: i + 1 for i, name in enumerate(component_names(stored))}
    found = [numbers.get(each, each) if isinstance(each, str) else each for each in components]
    if not found or not all(_is_number(i, len(share)) for i in found):
        raise ValueError(
            f"{argument}={shown(asked)}: the metric {stored.key!r} has components 1 to {len(share)} "
            f"({choices(numbers)})."
        )
    return list(dict.fromkeys(int(i) for i in found))


def _is_number(number: object, k: int) -> bool:
    """Return whether it is the number of one of `k` components."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(1 <= number <= k)


def component_names(stored: StoredMetric) -> list[str]:
    """Return the names of the components, such as "ggml1"; the whole metric has its key as name."""
    return [f"{stored.key}{i + 1}" for i in range(len(stored.components))]


def name_of_component(adata: AnnData, stored: StoredMetric, component: Component) -> str:
    """Return the name of a component that is asked for by number or name."""
    (number,) = pick_components(adata, stored, [component], "no genes", argument="component")
    return component_names(stored)[number - 1]


def name_of_genes(adata: AnnData, gene_symbols: str | None, *, as_text: bool = False) -> dict[str, str]:
    """Return the name of each gene in a column of `.var`.

    A gene without one, or without a column, keeps its own; so do genes of one name that have several there.
    With `as_text` only values that are missing are, and no texts such as "nan" that stand for them.
    """
    names = adata.var_names.astype(str)
    if gene_symbols is None:
        return dict(zip(names, names, strict=True))
    if gene_symbols not in adata.var:
        raise KeyError(f"gene_symbols={gene_symbols!r} is not a column of adata.var, which has {choices(adata.var)}.")
    column = adata.var[gene_symbols]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"adata.var has {column.shape[1]} columns named {gene_symbols!r}; rename all but one.")
    found = column.astype(object).where(column.notna().to_numpy(), "").astype(str).str.strip().to_numpy()
    missing = column.isna().to_numpy() if as_text else np.isin(found, list(NO_NAME))
    symbols = np.where(missing, names, found)
    out = dict(zip(names, symbols, strict=True))
    unclear = {name for name, symbol in zip(names, symbols, strict=True) if out[name] != symbol}
    return out | {name: name for name in unclear}


def name_columns(adata: AnnData) -> dict[str, set[str]]:
    """Return the values of each column of `.var`, which may be names of genes."""
    return {str(name): set(adata.var[name].astype(str)) for name in adata.var}


ENRICHMENT = {
    "table": Entry("table", numbers=("p_adjusted",), text=("component", "direction", "source")),
    "params": OPTIONS,
}


def write_enrichment(adata: AnnData, stored: StoredMetric, table: pd.DataFrame, params: Mapping[str, Any]) -> None:
    """Write gene sets of the components of a metric."""
    entry = {"table": table, "params": dict(params), "fingerprint": stored.fingerprint}
    write_result(adata, Keys(stored.key).enrichment, entry)


def read_enrichment(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the stored gene sets, if they are those of the metric as it is now."""
    slot = Keys(key).enrichment
    call = f"sg.ext.gprofiler(adata, key={key!r}) or sg.ext.enrich_gmt(adata, gene_sets, key={key!r})"
    check_adata(adata)
    entry = find_result(adata, slot, call, ENRICHMENT)
    if entry is None:
        raise KeyError(f"No {slot!r} in adata.uns; compute it first with {call}.")
    if Keys(key).metric in adata.uns:
        check_derived(entry, read_metric(adata, key), f"adata.uns[{slot!r}]", call)
    table: pd.DataFrame = entry["table"]
    return table


def check_sources(adata: AnnData, key: str, sources: Iterable[str], argument: str) -> None:
    """Raise unless each source of gene sets is one that the stored table has, or that was asked for."""
    entry = adata.uns[Keys(key).enrichment]
    params = entry.get("params", {})
    there = [str(source) for source in entry["table"]["source"].unique()]
    asked = [str(source) for name in ("sources", "gene_sets") for source in np.ravel(params.get(name, []))]
    known = list(dict.fromkeys([*there, *asked]))
    for source in sources:
        if source not in known:
            raise ValueError(f"{argument}={source!r} is no source of the stored gene sets, which has {choices(known)}.")


def check_component(adata: AnnData, key: str, table: pd.DataFrame, component: Component) -> str:
    """Return the name of a component of a stored table; raise if the metric, or the table, has no such."""
    if key in stored_keys(adata):
        return name_of_component(adata, read_metric(adata, key), component)
    name = component if isinstance(component, str) else f"{key}{component}"
    if name not in set(table["component"]):
        raise ValueError(
            f"component={component!r} is not in the table, which has {choices(table['component'].unique())}."
        )
    return name
