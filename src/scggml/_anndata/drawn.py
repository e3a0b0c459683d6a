"""Read what plots draw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.coordinates import read_cells, read_held_out_cells
from scggml._anndata.covariates import belongs_to_others, record_of
from scggml._anndata.features import find_basis
from scggml._anndata.forms import OPTIONS, Entry, check_entry, check_form
from scggml._anndata.graph import GRAPH_OF, GRAPHED
from scggml._anndata.keys import (
    MDS,
    MDS_RECORD,
    N_CELLS,
    NEIGHBORS,
    PREDICTION,
    TSNE,
    TSNE_RECORD,
    Keys,
    distance_keys,
)
from scggml._anndata.measured import check_measured
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric, read_derived, read_metric
from scggml._anndata.ranking import SPREAD, read_stability
from scggml._anndata.results import find_result
from scggml._anndata.samples import size_columns
from scggml._arguments import shown
from scggml._core.cohort import Floats, Integers

MADE_BY = {
    "mds": "sg.tl.mds(samples)",
    "tsne": "sg.tl.tsne(samples)",
    "umap": "sg.tl.neighbors(samples); sc.tl.umap(samples)",
}
"""Calls that make coordinates of samples."""


PREDICT = "samples = sg.tl.predict(adata, reference)"

MDS_FORM = {
    "key": Entry("text", optional=True),
    "eigenvalues": Entry("numbers", ("samples",), optional=True),
    "variance_ratio": Entry("numbers", ("coordinates",)),
}

TSNE_FORM = {
    "key": Entry("text", optional=True),
    "perplexity": Entry("numbers", optional=True),
    "kl_divergence": Entry("numbers", optional=True),
}
"""All may be missing: `sc.tl.tsne` writes another entry of the name."""

ATTRIBUTION = {
    "seen": Entry("text", optional=True),
    "types": Entry(
        "table",
        numbers=("excess", "excess_state", "excess_composition"),
        text=("class_a", "class_b", "cell_type"),
        optional=True,
    ),
}

PLAN = {"distance": Entry("numbers"), "sample_a": Entry("text"), "sample_b": Entry("text")}

PREDICTED = {
    "classes": Entry("text", ("classes",), optional=True),
    "abstain": Entry("numbers", optional=True),
    "params": OPTIONS,
}


def obs_column(samples: AnnData, key: str, argument: str = "color") -> pd.Series:
    """Return a column of `.obs`; if it is missing, the message lists the available ones."""
    if key not in samples.obs:
        raise KeyError(f"{argument}={key!r} is not a column of samples.obs, which has {choices(samples.obs)}.")
    return samples.obs[key]


def sample_values(samples: AnnData, key: str) -> pd.Series:
    """Return a column of `.obs`, or else the mean expression of a gene."""
    if key in samples.obs:
        return samples.obs[key]
    if key not in samples.var_names:
        raise KeyError(
            f"color={key!r} is not a column of samples.obs, which has {choices(samples.obs)}, and not a gene of "
            "samples.var_names."
        )
    return pd.Series(sample_genes(samples, [key], None)[0], index=samples.obs_names)


def stored_colors(samples: AnnData, key: str) -> list[str] | None:
    """Return the colors that scanpy and others keep for the groups of a column."""
    found = samples.uns.get(f"{key}_colors")
    return None if found is None else [str(color) for color in found]


def cell_counts(samples: AnnData) -> Integers | None:
    """Return (P,) number of cells of each sample, None if it is not known."""
    column = size_columns(samples.obs).get(N_CELLS)
    return None if column is None else samples.obs[column].to_numpy()


def sample_coordinates(samples: AnnData, basis: str, components: tuple[int, int]) -> pd.DataFrame:
    """Return `x` and `y` of the samples in two components of a basis, given with or without the leading `X_`."""
    slot = find_basis(samples, basis)
    if slot not in samples.obsm:
        name = basis.removeprefix("X_")
        hint = f" Compute it with {MADE_BY[name]}." if name in MADE_BY else ""
        raise KeyError(f"basis={basis!r}: no 'X_{name}' in samples.obsm, which holds {choices(samples.obsm)}.{hint}")
    coordinates = np.asarray(samples.obsm[slot])
    two = isinstance(components, Sequence) and len(components) == 2
    whole = two and all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in components)
    if not whole or not all(1 <= i <= coordinates.shape[1] for i in components):
        raise ValueError(
            f"components={shown(components)}: samples.obsm[{slot!r}] has components 1 to {coordinates.shape[1]}; pass "
            "two of them, such as (1, 2)."
        )
    first, second = (coordinates[:, i - 1] for i in components)
    return pd.DataFrame({"x": first, "y": second}, index=samples.obs_names)


def sample_genes(samples: AnnData, genes: list[str], layer: str | None) -> Floats:
    """Return (n_genes, P) of `.X` or a layer of the samples."""
    missing = [name for name in genes if name not in samples.var_names]
    if missing:
        raise KeyError(
            f"{len(missing)} of {len(genes)} genes are not in samples.var_names: {choices(missing)}. Samples of "
            "sg.tl.distances hold the genes of adata.X."
        )
    if layer is not None and layer not in samples.layers:
        raise KeyError(f"layer={layer!r} is not in samples.layers, which has {choices(samples.layers)}.")
    places = [np.flatnonzero(samples.var_names == name) for name in genes]
    double = [name for name, found in zip(genes, places, strict=True) if len(found) > 1]
    if double:
        raise ValueError(
            f"samples.var_names has several genes of the name {choices(double)}; call samples.var_names_make_unique()."
        )
    every = samples.X if layer is None else samples.layers[layer]
    if every is None:  # as sc.get.aggregate leaves it
        raise ValueError(
            f"samples.X is empty; pass one of samples.layers as layer, which has {choices(samples.layers)}."
        )
    found = every[:, np.concatenate(places)]
    return np.asarray(found.toarray() if sparse.issparse(found) else found, dtype=np.float64).T


def grouped(samples: AnnData, values: Floats, by: list[str], more: list[str]) -> tuple[AnnData, Floats]:
    """Return the groups of samples as the rows of an AnnData, and the (n, G) means of (n, P) values.

    Groups are the combinations of the columns `by` that exist, in the order of these; samples without a value in one of
    them are left out. `more` are other columns, which have one value for each group.
    """
    keys = pd.DataFrame({name: obs_column(samples, name, "groupby").astype("category") for name in by})
    number = keys.groupby(by, observed=True, sort=True).ngroup().fillna(-1).to_numpy(dtype=np.int64)
    if not (number >= 0).any():
        raise ValueError(f"No sample has a value in each of the columns groupby={by!r}.")
    _, number[number >= 0] = np.unique(number[number >= 0], return_inverse=True)
    first = [int(np.flatnonzero(number == g)[0]) for g in range(number.max() + 1)]
    obs = keys.iloc[first].copy()
    for name in more:
        column = obs_column(samples, name)
        several = column[number >= 0].groupby(number[number >= 0]).nunique(dropna=False) > 1
        if several.any():
            raise ValueError(
                f"color={name!r} has several values in {int(several.sum())} of the groups of groupby={by!r}; pass "
                "columns with one value for each group."
            )
        obs[name] = column.iloc[first]
    obs.index = [", ".join(str(value) for value in row) for row in keys.iloc[first].itertuples(index=False)]
    colors = {f"{name}_colors": kept for name in [*by, *more] if (kept := stored_colors(samples, name)) is not None}
    means = np.stack([values[:, number == g].mean(axis=1) for g in range(len(first))], axis=1)
    return AnnData(obs=obs, uns=colors), means


def seen(samples: AnnData, key: str) -> str | None:
    """Return whether distances are of samples that the metric was learned on ("training", "held out", "other")."""
    entry = record_of(samples, key)
    return str(entry["seen"]) if "seen" in entry else None


def is_learned(samples: AnnData) -> bool:
    """Return whether a metric was learned on these samples, as any of their distances says."""
    return any(seen(samples, key) in ("training", "held out") for key in distance_keys(samples.obsp))


def key_of(samples: AnnData, basis: str) -> str | None:
    """Return the key of the distances that coordinates come from, if they say so."""
    if find_basis(samples, basis) in (MDS, TSNE):
        entry = _mds_record(samples) if is_mds(samples, basis) else _tsne_record(samples)
        return None if entry is None or "key" not in entry else str(entry["key"])
    if not basis.removeprefix("X_").startswith(GRAPHED):
        return None
    graph = samples.uns.get(NEIGHBORS)
    slot = dict(graph.get("params", {})).get(GRAPH_OF) if isinstance(graph, Mapping) else None
    return next((key for key in distance_keys(samples.obsp) if Keys(key).distances == slot), None)


def is_mds(samples: AnnData, basis: str) -> bool:
    """Return whether coordinates are those of multidimensional scaling."""
    return find_basis(samples, basis) == MDS


def mds_shares(samples: AnnData) -> Floats | None:
    """Return the share of the distances that each coordinate of `tl.mds` shows, None if it is not known."""
    entry = _mds_record(samples)
    return None if entry is None else np.asarray(entry["variance_ratio"], dtype=np.float64)


def _mds_record(samples: AnnData) -> Mapping[str, Any] | None:
    """Return what `tl.mds` wrote about its coordinates, if it did."""
    found = find_result(samples, MDS_RECORD, "sg.tl.mds(samples)", MDS_FORM, name="samples")
    return _checked(samples, found, MDS, "sg.tl.mds")


def _tsne_record(samples: AnnData) -> Mapping[str, Any] | None:
    """Return what `tl.tsne` wrote about its coordinates, if it did."""
    found = find_result(samples, TSNE_RECORD, "sg.tl.tsne(samples)", TSNE_FORM, name="samples")
    return _checked(samples, found, TSNE, "sg.tl.tsne")


def _checked(samples: AnnData, found: Mapping[str, Any] | None, slot: str, function: str) -> Mapping[str, Any] | None:
    """Return the record of coordinates, which are of the distances as they are now."""
    if found is None:
        return None
    key = str(found.get("key", ""))
    call = f"{function}(samples, key={key!r})"
    if belongs_to_others(samples, key, found):
        raise ValueError(
            f"samples.obsm[{slot!r}] shows distances of another metric than samples.obsp["
            f"{Keys(key).distances!r}] has now; call {call} again."
        )
    check_measured(samples, key, found, f"samples.obsm[{slot!r}]", call)
    return found


def attributed_cells(adata: AnnData, stored: StoredMetric) -> tuple[Floats, pd.Series]:
    """Return the cells in the learned space, and how much farther each is from other classes than from its own."""
    keys = Keys(stored.key)
    call = f"sg.tl.attribute(adata, key={stored.key!r})"
    entry = _attribution(adata, stored)
    if keys.excess not in adata.obs:
        raise KeyError(f"No {keys.excess!r} in adata.obs; compute it with {call}.")
    held_out = entry.get("seen") == "held out" and keys.held_out_cells in adata.obsm
    excess = adata.obs[keys.excess]
    if not pd.api.types.is_float_dtype(excess) or np.isinf(excess).any():
        raise ValueError(f"adata.obs[{keys.excess!r}] does not hold finite numbers; call {call} again.")
    cells = read_held_out_cells(adata, stored) if held_out else read_cells(adata, stored)
    return cells, excess.astype(np.float64)


def attribution_seen(adata: AnnData, key: str) -> str | None:
    """Return whether attribution is of samples that the metric was learned on."""
    found = _attribution(adata, read_metric(adata, key)).get("seen")
    return None if found is None else str(found)


def attributed_types(adata: AnnData, key: str) -> pd.DataFrame | None:
    """Return what each cell type adds to the gap, None if `tl.attribute` was not given types."""
    table: pd.DataFrame | None = _attribution(adata, read_metric(adata, key)).get("types")
    return table


def _attribution(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any]:
    """Return what `tl.attribute` wrote for the metric as it is now."""
    slot, call = Keys(stored.key).attribution, f"sg.tl.attribute(adata, key={stored.key!r})"
    return read_derived(adata, stored, slot, call, ATTRIBUTION)


def stability_params(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the arguments of `tl.gene_stability`, if it drew donors for the metric as it is now."""
    found = read_stability(adata, read_metric(adata, key))
    if found is None or not {*SPREAD, "params"} <= found.keys():
        raise KeyError(
            f"No intervals of the metric {key!r} in adata.uns[{Keys(key).stability!r}]; draw donors with "
            f"sg.tl.gene_stability(adata, key={key!r}, n_boot=100)."
        )
    params: Mapping[str, Any] = found["params"]
    again = f"call sg.tl.gene_stability(adata, key={key!r}) again."
    form = {"level": Entry("numbers"), "n_top": Entry("whole numbers")}
    check_entry(params, f"adata.uns[{Keys(key).stability!r}]['params']", again, form)
    return params


def plan_info(plan: AnnData) -> Mapping[str, Any]:
    """Return the samples and the distance of a coupling."""
    for slot, name in (("uns", "plan"), ("layers", "distance")):
        if name not in getattr(plan, slot):
            raise KeyError(f"No {name!r} in plan.{slot}; make it with plan = sg.tl.plan(adata, sample_a, sample_b).")
    info: Mapping[str, Any] = plan.uns["plan"]
    check_entry(info, "plan.uns['plan']", "call plan = sg.tl.plan(adata, sample_a, sample_b) again.", PLAN)
    return info


def plan_ends(plan: AnnData, cell_type_key: str) -> tuple[pd.Series, pd.Series]:
    """Return the type of each cell of the two samples of a coupling."""
    for slot, frame in (("obs", plan.obs), ("var", plan.var)):
        if cell_type_key not in frame:
            raise KeyError(
                f"cell_type_key={cell_type_key!r} is not a column of plan.{slot}, which has {choices(frame)}."
            )
    return plan.obs[cell_type_key], plan.var[cell_type_key]


def plan_entries(plan: AnnData) -> tuple[Integers, Integers, Floats, Floats]:
    """Return source, target, mass and distance of each entry of a coupling."""
    coupling = plan.X.tocoo()
    distance = np.asarray(plan.layers["distance"].tocsr()[coupling.row, coupling.col]).ravel()
    return coupling.row.astype(np.int64), coupling.col.astype(np.int64), coupling.data, distance


def predicted_classes(samples: AnnData, unlike: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the class probabilities of new samples, and which of these are unlike the reference."""
    entry = read_prediction(samples)
    if PREDICTION not in samples.obsm:
        raise ValueError(
            "samples.obsm holds no 'prediction': the label is a number, which has no class probabilities. Its "
            "predictions and their intervals are in samples.obs[['prediction', 'low', 'high']]."
        )
    again, found = f"call {PREDICT} again.", np.asarray(samples.obsm[PREDICTION])
    check_form(entry, f"samples.uns[{PREDICTION!r}]", again, {"classes": Entry("text", ("classes",))})
    classes = [str(name) for name in entry["classes"]]
    numbers = found.shape == (samples.n_obs, len(classes)) and np.issubdtype(found.dtype, np.number)
    if not numbers or not (np.isfinite(found) & (found >= 0)).all() or not np.allclose(found.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"samples.obsm[{PREDICTION!r}] does not hold probabilities of the {len(classes)} classes "
            f"{choices(classes)} that add up to 1; {again}"
        )
    return pd.DataFrame(found, index=samples.obs_names, columns=classes), _flags(samples, unlike)


def _flags(samples: AnnData, name: str) -> np.ndarray:
    """Return (n,) a column of flags."""
    column = obs_column(samples, name, "column")
    if not pd.api.types.is_bool_dtype(column):
        raise ValueError(f"samples.obs[{name!r}] holds {column.dtype}, where flags are needed; call {PREDICT} again.")
    return column.to_numpy(dtype=bool)


def abstaining(samples: AnnData) -> tuple[np.ndarray, float]:
    """Return (n,) which new samples get no class, and the error that was promised; NaN if none was."""
    rate = read_prediction(samples).get("abstain")
    if rate is None:
        return np.zeros(samples.n_obs, dtype=bool), float("nan")
    return _flags(samples, "abstains"), float(rate)


def read_prediction(samples: AnnData) -> Mapping[str, Any]:
    """Return what `tl.predict` wrote about its predictions."""
    entry = find_result(samples, PREDICTION, PREDICT, PREDICTED, name="samples")
    if entry is None:
        raise KeyError("samples.uns holds no 'prediction'; make it with samples = sg.tl.predict(adata, reference).")
    return entry
