"""Read what a trajectory of samples needs: an order by any of their cells, genes by folds of cells, and slots."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm.auto import tqdm

from scggml._anndata.coordinates import read_cells, read_held_out_cells
from scggml._anndata.covariates import belongs_to_others, origin_of, record_of
from scggml._anndata.expression import Expression, genes_of, read_expression, read_sums
from scggml._anndata.features import check_width, pick, read_features
from scggml._anndata.forms import OPTIONS, Entry
from scggml._anndata.genes import Component, pick_components
from scggml._anndata.graph import diffusion, pseudotime
from scggml._anndata.held_out import read_held_out
from scggml._anndata.keys import Keys
from scggml._anndata.measured import check_measured, measured
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric, read_metric, stored_keys
from scggml._anndata.reading import Reading
from scggml._anndata.results import drop_obsm, find_result, write_obs, write_obsm, write_result
from scggml._anndata.selection import Selection
from scggml._anndata.study import Label
from scggml._core.cohort import Floats, Names, Points
from scggml._core.transport.coreset import as_summary
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import distance_matrix

Order = Callable[[Selection], Floats]
"""Gives the order of samples by some of their cells."""

FOLLOWED = ("rho", "r2", "p_adjusted")
"""Columns with numbers of what is followed along an order."""

FORM = {
    "genes": Entry("table", numbers=FOLLOWED, text=("gene",)),
    "cell_types": Entry("table", numbers=("rho", "p_adjusted"), text=("cell_type",), optional=True),
    "association": Entry("numbers", missing=True),
    "measure": Entry("text"),
    "p_value": Entry("numbers", missing=True),
    "params": OPTIONS,
    "seen": Entry("text", optional=True),
}

HELD_OUT = Keys("").held_out
"""Ending of the keys of held-out distances."""


@dataclass(frozen=True, eq=False)
class Source:
    """Say where the order of samples comes from, and how to get it again from some of their cells.

    Parameters
    ----------
    seen
        Whether a metric was learned on the samples: "training", "held out", "other"; None if none was learned.
    stored, selection
        The metric and the cells of the samples in the order of `.obs_names`, None where they are not known.
    of_cells
        Distances, or scores, of the samples by some of their cells, None where they cannot be computed again.
    """

    seen: str | None
    stored: StoredMetric | None = None
    selection: Selection | None = None
    of_cells: Order | None = None

    @property
    def own_label(self) -> str | None:
        """Name of the label that the metric has learned from these samples; None if it has not."""
        learned = self.stored is not None and self.seen in ("training", "held out")
        return self.stored.reading.label_key if learned and self.stored is not None else None


def source_of_distances(samples: AnnData, adata: AnnData | None, key: str, n_jobs: int | None) -> Source:
    """Find out what stored distances are, and how to compute them from some cells."""
    record = record_of(samples, key)
    seen = str(record["seen"]) if "seen" in record else None
    if adata is None:
        return Source(seen)
    name = str(record.get("metric", ""))
    learned = name.removesuffix(HELD_OUT)
    if learned in stored_keys(adata) and "fingerprint" in record:
        stored = read_metric(adata, learned)
        if str(record["fingerprint"]) != stored.fingerprint:
            raise ValueError(
                f"samples.obsp[{Keys(key).distances!r}] was computed for another metric than adata.uns[{learned!r}] is "
                "now; compute it again with sg.tl.distances."
            )
        selection = _of_samples(stored.reading.select(adata, quiet=True), samples.obs_names)
        by_cells = _held_out(adata, stored, n_jobs) if name != learned else _learned(stored, n_jobs)
        return Source(seen, stored, selection, by_cells)
    if "reading" in record and "features" in record:
        where = f"samples.uns[{Keys(key).distances!r}]['reading']"
        reading = Reading.from_params(record["reading"], where)
        selection = _of_samples(reading.select(adata, quiet=True), samples.obs_names)
        names = np.array([str(feature) for feature in record["features"]])
        return Source(seen, None, selection, _fixed(adata, reading, names, name, n_jobs))
    return Source(seen)


def source_of_scores(samples: AnnData, adata: AnnData, key: str, component: Component) -> tuple[Source, int]:
    """Return where the scores of samples on a component come from, and its number."""
    stored = read_metric(adata, key)
    (number,) = pick_components(adata, stored, [component], "no component", argument="component")
    selection = _of_samples(stored.reading.select(adata, quiet=True), samples.obs_names)
    seen = stored.seen(selection.names)
    if seen == "training":
        seen, cells = "held out", read_held_out_cells(adata, stored)[:, number - 1]
    else:
        cells = read_cells(adata, stored)[:, number - 1]

    def of_cells(part: Selection) -> Floats:
        out: Floats = np.add.reduceat(cells[part.rows] * part.weights, part.offsets[:-1])
        return out

    return Source(seen, stored, selection, of_cells), number


def _of_samples(selection: Selection, names: pd.Index) -> Selection:
    """Return the samples of these names, in this order."""
    place = pd.Index(selection.names.astype(str)).get_indexer(names.astype(str))
    if (place < 0).any():
        missing = names[place < 0]
        raise ValueError(
            f"{len(missing)} of the {len(names)} samples are not in adata.obs[{selection.sample_key!r}], or have too "
            f"few cells: {choices(missing)}. Pass the cells that samples were computed from."
        )
    return selection.take(place)


def _held_out(adata: AnnData, stored: StoredMetric, n_jobs: int | None) -> Order:
    found = read_held_out(adata, stored)

    def of_cells(part: Selection) -> Floats:
        summary = as_summary(stored.reading.summary, part.sizes, len(stored.components))
        cohort = found.cohort(part, summary=summary, n_jobs=n_jobs)
        return found.distances(cohort, found.folds(part), stored.learner.engine, n_jobs=n_jobs)

    return of_cells


def _learned(stored: StoredMetric, n_jobs: int | None) -> Order:
    def of_cells(part: Selection) -> Floats:
        summary = as_summary(stored.reading.summary, part.sizes, len(stored.components))
        cohort = stored.cohort(part, summary=summary, n_jobs=n_jobs)
        return distance_matrix(cohort, stored.cost, solver=stored.learner.engine, n_jobs=n_jobs)

    return of_cells


def _fixed(adata: AnnData, reading: Reading, names: Names, cost: Any, n_jobs: int | None) -> Order:
    features = read_features(adata, use_rep=reading.use_rep, layer=reading.layer)
    check_width(features, len(names), "distances were computed of")
    if not np.array_equal(features.names, names):
        features = pick(features, names, "features that the distances were computed of")

    def of_cells(part: Selection) -> Floats:
        summary = as_summary(reading.summary, part.sizes, len(names))
        rng = np.random.default_rng([reading.seed, 1])
        cohort = part.read(features, summary=summary, rng=rng, n_jobs=n_jobs)
        return distance_matrix(cohort, cost, solver=Exact(), n_jobs=n_jobs)

    return of_cells


def diffusion_order(distances: Floats, root: int, n_neighbors: int, seed: int) -> Floats:
    """Return (P,) diffusion pseudotime of distances from a sample, 0 to 1.

    Samples that no walk reaches, as they are too far from all others, come last, by their distance.
    """
    order = pseudotime(diffusion(distances, n_neighbors, seed), root)
    far = ~np.isfinite(order)
    if far.any():
        order[far] = order[~far].max() + distances[root, far] / distances[root].max()
        order /= order.max()
    return order


def along_diffusion(of_cells: Order, root: int, n_neighbors: int, seed: int) -> Order:
    """Return how samples are ordered by diffusion pseudotime of their distances by some cells."""

    def order(part: Selection) -> Floats:
        return diffusion_order(of_cells(part), root, n_neighbors, seed)

    return order


def first_sample(distances: Floats, label: Label | None, n_neighbors: int, seed: int) -> int:
    """Return the end of the first diffusion component at which the label is lowest; without a label, either end."""
    along = diffusion(distances, n_neighbors, seed).obsm["X_diffmap"][:, 1]
    late = label is None or label.is_late(along)
    return int(np.argmin(along) if late else np.argmax(along))


@dataclass(frozen=True)
class Values:
    """Values of samples that may change along an order.

    Parameters
    ----------
    names
        (n,) names.
    whole
        (P, n) of all cells.
    apart
        (n_folds, P, n) of the cells of each fold, which the order of that number is *not* from.
    """

    names: Names
    whole: Points
    apart: Points


@dataclass(frozen=True)
class Folds:
    """Samples by random folds of their cells.

    Parameters
    ----------
    orders
        (n_folds, P) order by the cells outside of each fold.
    genes, types
        Mean expression; logarithms of the shares of cell types, None without a column of them.
    shares
        (P, n_types) shares of cell types among all cells.
    """

    orders: Floats
    genes: Values
    types: Values | None = None
    shares: Floats | None = None


def read_folds(
    order: Order,
    selection: Selection,
    expression: Expression,
    cell_type_key: str | None,
    *,
    n_folds: int,
    rng: np.random.Generator,
    n_jobs: int | None,
    progress: bool,
) -> Folds:
    """Split the cells of all samples into folds, order samples without each and read the genes in it."""
    folds = selection.folds(n_folds, rng)
    bar = tqdm([rest for rest, _ in folds], desc="orders", unit="fold", disable=not progress, leave=False)
    orders = np.stack([order(rest) for rest in bar])
    parts = [selection, *(own for _, own in folds)]
    place = np.full(selection.adata.n_obs, -1, dtype=np.int64)
    place[selection.rows] = np.arange(len(selection.rows))
    numbers = np.zeros((len(selection.rows), len(parts)))
    for column, part in enumerate(parts):
        numbers[place[part.rows], column] = part.weights
    spans = [slice(start, stop) for start, stop in pairwise(selection.offsets)]
    found = read_sums(expression, [selection.rows[own] for own in spans], (numbers[own] for own in spans), n_jobs)
    means = np.stack([sums.products.astype(np.float32) for sums in found], axis=1)
    genes = Values(expression.features.names, means[0], means[1:])
    if cell_type_key is None:
        return Folds(orders, genes)
    names = selection.categories(cell_type_key, "cell_type_key")[1]
    shares = [part.shares(cell_type_key, "cell_type_key") for part in parts]
    logs = [log_ratios(share * part.sizes[:, None]) for share, part in zip(shares, parts, strict=True)]
    return Folds(orders, genes, Values(names, logs[0], np.stack(logs[1:])), shares[0])


def expression_of(adata: AnnData, stored: StoredMetric | None, layer: str | None) -> Expression:
    """Find the expression that is followed along the order."""
    return genes_of(adata, layer) if stored is None else read_expression(adata, stored, layer)


def log_ratios(counts: Floats) -> Floats:
    """Return logarithms of shares of cell types less their mean over types; a half cell is added to each."""
    logs = np.log(counts + 0.5)
    out: Floats = logs - logs.mean(axis=-1, keepdims=True)
    return out


def write_trajectory(
    samples: AnnData, key: str, order: Floats, entry: Mapping[str, Any], shares: pd.DataFrame | None
) -> None:
    """Write the order into `.obs`, what changes along it into `.uns`, and shares of cell types into `.obsm`."""
    keys = Keys(key)
    write_obs(samples, {keys.pseudotime: order})
    of_distances = "component" not in entry["params"]
    origin = origin_of(samples, key) | measured(samples, key, distances=of_distances)
    write_result(samples, keys.trajectory, dict(entry) | origin)
    if shares is None:
        drop_obsm(samples, keys.cell_types)  # those of a trajectory that was there
    else:
        write_obsm(samples, keys.cell_types, shares)


def shares_along(samples: AnnData, key: str) -> pd.DataFrame | None:
    """Return (P, n_types) shares of the cell types that were followed along a trajectory."""
    slot = Keys(key).cell_types
    if slot not in samples.obsm:
        return None
    found, types = pd.DataFrame(samples.obsm[slot]), read_trajectory(samples, key)[1].get("cell_types")
    known = [] if types is None else list(types["cell_type"].astype(str))
    found.columns = found.columns.astype(str)
    numbers = all(pd.api.types.is_numeric_dtype(found[name]) for name in found)
    if set(found.columns) != set(known) or not numbers or not np.isfinite(found.to_numpy(dtype=np.float64)).all():
        raise ValueError(
            f"samples.obsm[{slot!r}] does not hold finite shares of the cell types of the trajectory "
            f"({choices(known)}); call sg.tl.trajectory(samples, adata, key={key!r}) again."
        )
    return found


def read_trajectory(samples: AnnData, key: str) -> tuple[Floats, Mapping[str, Any]]:
    """Return the order of samples and what changes along it; if it is missing, the message lists what is stored."""
    keys = Keys(key)
    call = f"sg.tl.trajectory(samples, adata, key={key!r})"
    entry = find_result(samples, keys.trajectory, call, FORM, name="samples")
    if entry is None or keys.pseudotime not in samples.obs:
        ending = Keys("").trajectory
        stored = [name.removesuffix(ending) for name in samples.uns if name.endswith(ending)]
        raise KeyError(
            f"No {keys.trajectory!r} in samples.uns with {keys.pseudotime!r} in samples.obs; stored for "
            f"{choices(stored)}. Compute it with {call}."
        )
    if belongs_to_others(samples, key, entry):
        raise ValueError(
            f"samples.uns[{keys.trajectory!r}] is of distances of another metric than samples.obsp["
            f"{keys.distances!r}] has now; call {call} again."
        )
    check_measured(samples, key, entry, f"samples.uns[{keys.trajectory!r}]", call)
    order = samples.obs[keys.pseudotime]
    if not pd.api.types.is_float_dtype(order) or not np.isfinite(order).all():
        raise ValueError(f"samples.obs[{keys.pseudotime!r}] does not hold finite numbers; call {call} again.")
    return order.to_numpy(dtype=np.float64), entry
