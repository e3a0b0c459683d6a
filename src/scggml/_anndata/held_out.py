"""The door to metrics that have not seen some donors: read, check, write and use them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from anndata import AnnData
from tqdm.auto import tqdm

from scggml._anndata.forms import Entry
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric, belongs, check_derived
from scggml._anndata.parts import embed_cells
from scggml._anndata.results import find_result, write_obsm, write_result
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Integers, Names
from scggml._core.evaluate.cross_fit import CrossFit, Separation
from scggml._core.learn.covariates import Adjustment
from scggml._core.transport.pairs import solve_distances, square
from scggml._core.transport.solver import Solver
from scggml._core.transport.summary import Summarizer

FORM = {
    "samples": Entry("text", ("samples",)),
    "fold": Entry("whole numbers", ("samples",)),
    "left_out": Entry("whole numbers", ("metrics", 2)),
    "components": Entry("numbers", ("metrics", "components", "features")),
    "centers": Entry("numbers", ("metrics", "components")),
    "scales": Entry("numbers", ("metrics", "components")),
    "p_values": Entry("numbers", ("components",), missing=True),
    "slopes": Entry("numbers", ("metrics", "covariates", "features"), optional=True),
    "covariate_means": Entry("numbers", ("metrics", "covariates"), optional=True),
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Metrics of a cross-fit, as `tl.cross_fit` stored them.

    Parameters
    ----------
    stored
        The metric that they belong to.
    names
        (P,) samples.
    fits
        The metrics.
    """

    stored: StoredMetric
    names: Names
    fits: CrossFit

    def folds(self, selection: Selection) -> Integers:
        """Return (P,) the fold of each chosen sample, found by name."""
        place = {str(name): i for i, name in enumerate(self.names)}
        missing = [name for name in selection.names if str(name) not in place]
        if missing:
            raise ValueError(
                f"{len(missing)} of the {selection.n_samples} samples were not there when the metric was cross-fitted: "
                f"{choices(missing)}. Take the samples that the metric was learned on, or learn it on all of them and "
                f"call sg.tl.cross_fit(adata, key={self.stored.key!r}) again."
            )
        return self.fits.fold[[place[str(name)] for name in selection.names]]

    def embed(self, adata: AnnData, everyone: Selection, n_jobs: int | None) -> Floats:
        """Return (n_obs, k) all cells under the metric that has not seen their donor; NaN for cells of no sample."""
        components, centers = self.fits.single()
        K, k, d = components.shape
        found = embed_cells(self.stored.locate(adata), components.reshape(K * k, d), n_jobs).reshape(-1, K, k)
        fold = np.append(self.folds(everyone), 0)[everyone.owner]  # that of cells of no sample is of no account
        out: Floats = found[np.arange(len(fold)), fold] - centers[fold]
        covariates = self.stored.reading.covariates(everyone)
        if covariates is not None:
            shifts = [part.shifts(covariates) @ W.T for part, W in zip(self.fits.adjustments, components, strict=False)]
            by_sample = np.stack(shifts, axis=1)[np.arange(everyone.n_samples), self.folds(everyone)]
            out -= np.vstack([by_sample, np.zeros(k)])[everyone.owner]
        out[everyone.owner < 0] = np.nan
        return out

    def cohort(
        self, selection: Selection, *, summary: Summarizer | None = None, n_jobs: int | None = 1, progress: bool = False
    ) -> Cohort:
        """Return the chosen cells under all metrics without two folds, (n_cells, n_metrics k), or a summary of them."""
        components = self.fits.double()
        n, k, d = components.shape
        stacked = components.reshape(n * k, d)
        cohort = selection.read(
            self.stored.locate(selection.adata),
            components=stacked,
            summary=summary,
            rng=np.random.default_rng([self.stored.reading.seed, 1]),
            n_jobs=n_jobs,
            progress="coresets" if progress else None,
        )
        covariates = self.stored.reading.covariates(selection)
        if covariates is None:
            return cohort
        adjustments = self.fits.adjustments[self.fits.n_folds :]
        shifts = np.hstack([part.shifts(covariates) @ W.T for part, W in zip(adjustments, components, strict=True)])
        return replace(cohort, points=cohort.points - np.repeat(shifts, cohort.sizes, axis=0))

    def points(self, cohort: Cohort, number: int) -> Floats:
        """Return (n_points, k) where the cells of `cohort` are under one of the metrics without two folds."""
        k = self.fits.components.shape[1]
        out: Floats = np.ascontiguousarray(cohort.points[:, number * k : (number + 1) * k], dtype=np.float64)
        return out

    def distances(
        self,
        cohort: Cohort,
        fold: Integers,
        solver: Solver,
        *,
        n_jobs: int | None,
        progress: str | None = None,
    ) -> Floats:
        """Return (P, P) distances of samples in these folds, each pair under metrics that have seen neither donor."""
        out = np.zeros((cohort.n_samples, cohort.n_samples))
        fits = list(self.fits.pairs(fold))
        for e, members, pairs, share in tqdm(fits, desc=progress, unit="fit", disable=progress is None, leave=False):
            part, cost = cohort.take(members), self.stored.cost
            values = solve_distances(part, self.points(part, e), pairs, cost, solver=solver, n_jobs=n_jobs)
            out[np.ix_(members, members)] += square(values * share, pairs, len(members))
        return out


def write_held_out(
    adata: AnnData, found: HeldOut, cells: Floats, separated: Separation, params: Mapping[str, Any]
) -> None:
    """Write the metrics into `.uns` and the (n_obs, k) cells into `.obsm`."""
    keys, fits = Keys(found.stored.key), found.fits
    entry: dict[str, Any] = {
        "samples": found.names.astype(object),
        "fold": fits.fold,
        "left_out": fits.left_out,
        "components": fits.components,
        "centers": fits.centers,
        "scales": fits.scales,
        "class_means": separated.class_means,
        "p_values": separated.p_values,
        "fingerprint": found.stored.fingerprint,
        "params": dict(params),
    }
    if fits.adjustments:
        entry["slopes"] = np.stack([part.slopes for part in fits.adjustments])
        entry["covariate_means"] = np.stack([part.center for part in fits.adjustments])
    write_result(adata, keys.held_out, entry)
    write_obsm(adata, keys.held_out_cells, cells)


def has_held_out(adata: AnnData, stored: StoredMetric) -> bool:
    """Return whether there are metrics without some donors of the metric as it is now."""
    entry = _find(adata, stored)
    return entry is not None and belongs(entry, stored)


def _find(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any] | None:
    k, d = stored.components.shape
    call = f"sg.tl.cross_fit(adata, key={stored.key!r})"
    return find_result(adata, Keys(stored.key).held_out, call, FORM, of=stored.fingerprint, components=k, features=d)


def read_held_out(adata: AnnData, stored: StoredMetric) -> HeldOut:
    """Read the metrics; if they are missing or belong to another metric, the message says what to call."""
    slot = Keys(stored.key).held_out
    call = f"sg.tl.cross_fit(adata, key={stored.key!r})"
    entry = _find(adata, stored)
    if entry is None:
        raise KeyError(f"No {slot!r} in adata.uns; learn metrics that have not seen some donors with {call}.")
    check_derived(entry, stored, f"adata.uns[{slot!r}]", call)
    adjustments: tuple[Adjustment, ...] = ()
    if "slopes" in entry:
        adjustments = tuple(
            Adjustment(np.asarray(slopes), np.asarray(center))
            for slopes, center in zip(entry["slopes"], entry["covariate_means"], strict=True)
        )
    fits = CrossFit(
        np.asarray(entry["fold"], dtype=np.int64),
        np.asarray(entry["left_out"], dtype=np.int64),
        components=np.asarray(entry["components"], dtype=np.float64),
        centers=np.asarray(entry["centers"], dtype=np.float64),
        scales=np.asarray(entry["scales"], dtype=np.float64),
        adjustments=adjustments,
    )
    names = np.array([str(name) for name in entry["samples"]])
    return HeldOut(stored, names, fits)
