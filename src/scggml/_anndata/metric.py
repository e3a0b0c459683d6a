"""A learned metric as `.uns` holds it: read, check, write and use it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.copies import check_copies
from scggml._anndata.features import (
    Features,
    check_width,
    has_rep,
    pick,
    read_features,
)
from scggml._anndata.fingerprint import fingerprint
from scggml._anndata.forms import Entry, Form, check_entry
from scggml._anndata.keys import Keys
from scggml._anndata.labels import warn_of_new_labels
from scggml._anndata.messages import check_adata, choices
from scggml._anndata.mixtures import check_same
from scggml._anndata.origin import FORM as ORIGIN
from scggml._anndata.origin import check_cells, check_loadings
from scggml._anndata.parts import embed_cells
from scggml._anndata.reading import Reading, read_target
from scggml._anndata.results import find_result
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Names
from scggml._core.learn.bags import Bags
from scggml._core.learn.covariates import Adjustment
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.summary import Summarizer

ENTRIES = ("components", "singular_values", "features", "learner", "settled", "reading", "fingerprint")
"""What a metric computes with, which its fingerprint holds together."""

RECORD = {
    "features": Entry("text", ("features",)),
    "fingerprint": Entry("text"),
    "samples": Entry("text", ("samples",), optional=True),
    "labels": Entry("text", ("samples",), optional=True),
    "class_means": Entry("numbers", ("components", "classes"), missing=True, optional=True),
    "oriented_to": Entry("text", ("components",), optional=True),
    "learned_share": Entry("numbers", ("components",), optional=True),
    "shrinkage": Entry("numbers", optional=True),
    "scale": Entry("text", optional=True),
    "mixture": Entry("text", optional=True),
    "stop": Entry("text", optional=True),
    "converged": Entry("flags", optional=True),
    "refined": Entry("whole numbers", optional=True),
    "history": Entry("options", optional=True),
    "choice": Entry("options", optional=True),
    "bags": Entry("options", optional=True),
}
"""The rest of what is told about it."""

HISTORY = {
    "eigenvalues": Entry("numbers", ("alternations", "components"), missing=True, optional=True),
    **{name: Entry("numbers", ("passes",), optional=True) for name in ("loss", "gradient_norm", "active")},
    "components": Entry("numbers", ("passes", "components", "features"), optional=True),
}

CHOICE = {
    **{name: Entry("numbers", ("settings",), missing=True) for name in ("ridge", "shrinkage", "score", "error")},
    "ridge_scale": Entry("text", ("settings",)),
    "given_up": Entry("flags", ("settings",)),
    "chosen": Entry("whole numbers"),
    "reason": Entry("text"),
}


BAGS = {
    "components": Entry("numbers", ("bags", "components", "features")),
    "drawn": Entry("flags", ("bags", "samples")),
}


@dataclass(frozen=True, eq=False)
class StoredMetric:
    """A metric as `tl.ggml` stored it.

    Parameters
    ----------
    components, singular_values, features
        (k, d), (k,) and (d,) names of the features.
    learner, reading
        How it was learned, and from which cells.
    settled
        The learner with what was decided inside the training donors.
    adjustment
        Effects of covariates that are taken off the cells.
    fingerprint
        Changes with anything of the metric; what is derived from it is kept with it.
    record
        All that `.uns` holds about it, such as its history.
    """

    key: str
    components: Floats
    singular_values: Floats
    features: Names
    learner: Learner
    settled: Learner
    reading: Reading
    adjustment: Adjustment | None
    fingerprint: str
    record: Mapping[str, Any]

    @property
    def squared(self) -> bool:
        """True if distances are squared."""
        return self.learner.squared

    @property
    def oriented_to(self) -> tuple[str, ...]:
        """(k,) class at the positive end of each component; empty names if a record does not say it."""
        return tuple(str(name) for name in self.record.get("oriented_to", [""] * len(self.components)))

    @property
    def bags(self) -> Bags | None:
        """Metrics of draws of donors that it is the mean of; None if it is not, or a record does not hold them."""
        found = self.record.get("bags")
        if found is None:
            return None
        return Bags(np.asarray(found["components"], dtype=np.float64), np.asarray(found["drawn"], dtype=bool))

    @property
    def learned_share(self) -> Floats:
        """(k,) how much of each component was learned; 1 if a record does not say it."""
        found = self.record.get("learned_share")
        return np.ones(len(self.components)) if found is None else np.asarray(found, dtype=np.float64)

    def seen(self, names: Names) -> str:
        """Return "training" if any of these samples has the name of one that was learned on, else "other"."""
        known = self.record.get("samples", names)  # a record that does not say it may be of these
        return "other" if set(map(str, known)).isdisjoint(map(str, names)) else "training"

    @property
    def cost(self) -> GroundCost:
        """Name of the ground cost in the learned space."""
        return self.learner.cost

    def locate(self, adata: AnnData, *, again: bool = False) -> Features:
        """Find the features of an AnnData in the order of the metric; raise and list the missing ones.

        Features that are not those that the metric was learned on are refused, as far as the data tell. With `again`
        the cells are to be embedded anew, so that it does not matter where they were.
        """
        reading = self.reading
        found = read_features(adata, use_rep=reading.use_rep, layer=reading.layer, mask_var=None)
        check_width(found, len(self.features), f"metric {self.key!r} was learned on")
        # equal names that occur twice may be the other way around in cells of others
        twice = len(np.unique(self.features)) < len(self.features) and not self._embedded(adata)
        if twice or not np.array_equal(found.names, self.features):
            found = pick(found, self.features, f"features that the metric {self.key!r} was learned on")
        if "mixture" in self.record and self._embedded(adata):
            names = np.array([str(name) for name in self.record["samples"]])
            call = f"call sg.tl.ggml(key_added={self.key!r}) again."
            check_same(adata, reading.summary, names, str(self.record["mixture"]), call)
        if not again and self._embedded(adata):
            owner = None
            if self.adjustment is not None:
                owner = reading.of_everyone().select(adata, quiet=True).owner
            slot = Keys(self.key).cells
            check_cells(found, adata.obsm[slot], self.components, f"adata.obsm[{slot!r}]", owner)
        elif "origin" in self.record and reading.use_rep is not None:
            check_loadings(adata, self.record["origin"], reading.use_rep, self.key)
        return found

    def _embedded(self, adata: AnnData) -> bool:
        """Return whether cells are stored as this metric has embedded them."""
        entry = adata.uns.get(Keys(self.key).metric)
        own = isinstance(entry, Mapping) and str(entry.get("fingerprint")) == self.fingerprint
        return own and Keys(self.key).cells in adata.obsm

    def has_features(self, adata: AnnData) -> bool:
        """Return whether the features are there; cells that came in through their genes have coordinates only."""
        return has_rep(adata, self.reading.use_rep) or not has_rep(adata, Keys(self.key).cells)

    def embed(self, adata: AnnData, everyone: Selection | None) -> Floats:
        """Return (n_obs, k), all cells in the learned space, without the effects of covariates of their samples.

        `everyone` (all cells of all samples) is needed where there are covariates.
        """
        shifts = self.shifts(everyone)
        return embed_cells(self.locate(adata, again=True), self.components) - shifts

    def shifts(self, everyone: Selection | None) -> Floats | float:
        """Return (n_obs, k), what covariates move each cell by in the learned space; 0 if there are none."""
        if self.adjustment is None:
            return 0.0
        if everyone is None:
            raise ValueError(f"The metric {self.key!r} takes off effects of covariates; the samples are needed.")
        return covariate_shifts(self.reading, everyone, self.adjustment, self.components)[everyone.owner]

    def cohort(
        self,
        selection: Selection,
        *,
        summary: Summarizer | None = None,
        n_jobs: int | None = 1,
        progress: bool = False,
    ) -> Cohort:
        """Return the chosen cells in the learned space, or a summary of them there."""
        adata = selection.adata
        rest: dict[str, Any] = {"summary": summary, "rng": np.random.default_rng([self.reading.seed, 1])}
        rest |= {"n_jobs": n_jobs, "progress": "coresets" if progress else None}
        if not self.has_features(adata):
            return selection.read(read_features(adata, use_rep=Keys(self.key).cells), **rest)
        cohort = selection.read(self.locate(adata), components=self.components, **rest)
        if self.adjustment is None:
            return cohort
        shifts = covariate_shifts(self.reading, selection, self.adjustment, self.components)[:-1]
        return replace(cohort, points=cohort.points - np.repeat(shifts, cohort.sizes, axis=0))

    def select(self, adata: AnnData) -> tuple[Selection, Target]:
        """Choose the samples that the metric was learned from, and their labels; no cell is read.

        What is wrong with arguments, `.obs` or the names of features raises here.
        """
        selection = self.reading.select(adata, quiet=True)
        target = self.target(selection)
        self.reading.design(selection)
        self.locate(adata)
        return selection, target

    def target(self, selection: Selection) -> Target:
        """Return the labels of samples; warn of those that have others than when the metric was learned."""
        target = read_target(self.reading, selection)
        if self.record["reading"].get("label_key") == self.reading.label_key:
            warn_of_new_labels(target, selection.names, self.record, str(self.reading.label_key), self.key)
        return target

    def samples(
        self, selection: Selection, *, everything: bool = False, n_jobs: int | None = 1, progress: bool = False
    ) -> Samples:
        """Read the samples that the metric was learned from, as they were read then; copies of a sample raise.

        With `everything` all cells come beside a summary that stands for them.
        """
        features, everything = self.locate(selection.adata), everything or needs_everything(self.learner)
        check_copies(selection, features, self.reading.groups(selection))
        return self.reading.samples(selection, features, everything=everything, n_jobs=n_jobs, progress=progress)


def covariate_shifts(reading: Reading, selection: Selection, adjustment: Adjustment, components: Floats) -> Floats:
    """Return (P + 1, k), what covariates move samples by in the learned space; 0 for cells of no sample (-1)."""
    out = np.zeros((selection.n_samples + 1, len(components)))
    covariates = reading.covariates(selection)
    if covariates is None:
        raise ValueError("The metric has effects of covariates, but its reading names no covariate_keys.")
    out[:-1] = adjustment.shifts(covariates) @ components.T
    return out


def needs_everything(learner: Learner) -> bool:
    """Return whether learning asks for all cells beside a summary of them."""
    return getattr(learner.recipe, "refine", 0) > 0


def is_metric(entry: Any) -> bool:
    """Return whether an entry of `.uns` was written by `tl.ggml`."""
    return isinstance(entry, Mapping) and {"components", "singular_values", "features"} <= entry.keys()


def stored_keys(adata: AnnData) -> list[str]:
    """Return the keys of the metrics that an AnnData holds."""
    return [key for key, entry in adata.uns.items() if is_metric(entry)]


def read_metric(adata: AnnData, key: str) -> StoredMetric:
    """Read a learned metric; if it is missing or damaged, the message lists the stored ones and the next step."""
    check_adata(adata)
    entry = adata.uns.get(Keys(key).metric)
    again = f"Learn it with sg.tl.ggml(adata, sample_key, label_key, key_added={key!r})."
    if not is_metric(entry):
        raise KeyError(
            f"No learned metric in adata.uns[{key!r}]; stored metrics: {choices(stored_keys(adata))}. {again}"
        )
    missing = [name for name in ENTRIES if name not in entry]
    if missing:
        raise ValueError(f"The metric in adata.uns[{key!r}] lacks {choices(missing)}. {again}")
    where = f"adata.uns[{key!r}]"
    components = _numbers(entry, "components", where, again, 2)
    k, d = components.shape
    singular_values = _numbers(entry, "singular_values", where, again, 1)
    for name, shape, wanted in (
        ("singular_values", singular_values.shape, (k,)),
        ("features", np.shape(entry["features"]), (d,)),
    ):
        if shape != wanted:
            raise ValueError(
                f"{where}['{name}'] has shape {shape} beside components of shape {(k, d)}; the metric is damaged. "
                f"{again}"
            )
    features = np.array([str(name) for name in entry["features"]])
    check_entry(entry, where, f"the metric is damaged. {again}", RECORD, components=k, features=d)
    for name, form in (("history", HISTORY), ("choice", CHOICE), ("bags", BAGS), ("origin", ORIGIN)):
        if name in entry:
            check_entry(
                entry[name], f"{where}[{name!r}]", f"the metric is damaged. {again}", form, components=k, features=d
            )
    learner = _learner(entry, "learner", where, again)
    settled = _learner(entry, "settled", where, again)
    adjustment = _adjustment(entry, d, where, again)
    try:
        reading = Reading.from_params(entry["reading"], f"{where}['reading']")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error} {again}") from error
    parts: dict[str, Any] = {"learner": learner, "settled": settled, "reading": reading, "adjustment": adjustment}
    found = fingerprint(components, singular_values, features, **parts)
    if str(entry["fingerprint"]) != found:
        raise ValueError(f"{where} was changed after it was learned: its entries do not match its fingerprint. {again}")
    return StoredMetric(
        key=key,
        components=components,
        singular_values=singular_values,
        features=features,
        fingerprint=found,
        record=entry,
        **parts,
    )


def _learner(entry: Mapping[str, Any], name: str, where: str, again: str) -> Learner:
    try:
        return Learner.from_params(entry[name])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}[{name!r}]: {error} {again}") from error


def _adjustment(entry: Mapping[str, Any], d: int, where: str, again: str) -> Adjustment | None:
    given = entry.get("adjustment")
    if given is None:
        return None
    where = f"{where}['adjustment']"
    if not isinstance(given, Mapping) or not {"slopes", "center"} <= given.keys():
        raise ValueError(f"{where} lacks 'slopes' or 'center'; the metric is damaged. {again}")
    slopes, center = _numbers(given, "slopes", where, again, 2), _numbers(given, "center", where, again, 1)
    if slopes.shape != (len(center), d):
        raise ValueError(
            f"{where}['slopes'] has shape {slopes.shape} beside {len(center)} covariates and {d} features; the metric "
            f"is damaged. {again}"
        )
    return Adjustment(slopes, center)


def _numbers(entry: Mapping[str, Any], name: str, where: str, again: str, ndim: int) -> Floats:
    try:
        values = np.asarray(entry[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}[{name!r}] does not hold numbers; the metric is damaged. {again}") from error
    if values.ndim != ndim or not np.isfinite(values).all():
        raise ValueError(
            f"{where}[{name!r}] has shape {values.shape} or values that are not finite; the metric is damaged. {again}"
        )
    return values


def read_metric_entry(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return what `.uns` holds of a metric, as it is."""
    entry: Mapping[str, Any] = adata.uns[Keys(key).metric]
    return entry


def belongs(entry: Mapping[str, Any], stored: StoredMetric) -> bool:
    """Return whether a result was derived from the metric that is stored now."""
    return str(entry.get("fingerprint")) == stored.fingerprint


def check_derived(entry: Mapping[str, Any] | None, stored: StoredMetric, slot: str, call: str) -> None:
    """Raise if a result was derived from another metric than the one that is stored now."""
    if entry is not None and not belongs(entry, stored):
        raise ValueError(
            f"{slot} was computed for another metric than adata.uns[{stored.key!r}] is now; call {call} again."
        )


def read_derived(adata: AnnData, stored: StoredMetric, slot: str, call: str, form: Form) -> Mapping[str, Any]:
    """Return a result of `.uns` that belongs to the metric as it is now; else the message says what to call."""
    entry = find_result(adata, slot, call, form, of=stored.fingerprint)
    if entry is None:
        raise KeyError(f"No {slot!r} in adata.uns; compute it with {call}.")
    check_derived(entry, stored, f"adata.uns[{slot!r}]", call)
    return entry
