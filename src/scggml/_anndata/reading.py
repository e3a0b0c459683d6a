"""Record how the samples of a metric were read, so that all later analyses see the same cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData

from scggml._anndata.features import Features
from scggml._anndata.messages import check_adata, choices
from scggml._anndata.selection import Selection, select
from scggml._arguments import shown
from scggml._core.learn.learner import KINDS
from scggml._core.params import from_params, plain, to_params
from scggml._core.samples import LABEL_KINDS, LabelKind, Samples, Target, check_design, lists_levels
from scggml._core.seeds import as_seed
from scggml._core.transport.coreset import Summary, as_summary
from scggml._core.transport.groups import Groups
from scggml._core.transport.mixture import Mixture
from scggml._core.transport.summary import Summarizer


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Columns of `.obs` and rules by which cells become samples, and the study design that goes with them.

    Parameters
    ----------
    sample_key, label_key
        Sample of each cell, and what is to be learned of each sample (None if nothing is).
    label_kind, reference_class
        See `tl.ggml`; levels from low to high are a tuple.
    groups_key, batch_key, covariate_keys
        Donor, technical batch and covariates of each sample.
    weights_key
        Weight of each cell.
    use_rep, layer
        Slot of the features.
    n_cells, min_cells, summary
        How many cells are drawn, how many a sample needs, and what stands for them. (`"auto"` is
        settled when the cells are read first.)
    seed
        Seed of what is drawn.
    """

    sample_key: str
    label_key: str | None = None
    label_kind: LabelKind | Literal["auto"] | tuple[str, ...] = "auto"
    reference_class: str | None = None
    groups_key: str | None = None
    batch_key: str | None = None
    covariate_keys: tuple[str, ...] = ()
    weights_key: str | None = None
    use_rep: str | None = None
    layer: str | None = None
    n_cells: int | None = None
    min_cells: int = 1
    summary: Summary = None
    seed: int = 0

    def __post_init__(self) -> None:
        keys: object = self.covariate_keys
        if isinstance(keys, str) or not isinstance(keys, Sequence):
            raise TypeError(f"covariate_keys={keys!r} is a {type(keys).__name__}; pass a list of columns of adata.obs.")
        object.__setattr__(self, "covariate_keys", tuple(keys))
        kind: object = self.label_kind
        if not isinstance(kind, str):
            # the order of a set or a dict is not one that the user chose
            if not lists_levels(kind):
                raise TypeError(
                    f"label_kind={kind!r} is a {type(kind).__name__}; choose from {('auto', *LABEL_KINDS)}, or pass "
                    "the list of the levels from low to high."
                )
            object.__setattr__(self, "label_kind", tuple(str(level) for level in self.label_kind))
        for name in ("batch_key", "groups_key"):
            key = getattr(self, name)
            if key is not None and key == self.label_key:
                raise ValueError(f"{name} and label_key are both {key!r}; nothing could be learned about the label.")
        object.__setattr__(self, "reference_class", _as_name(self.reference_class))
        as_summary(self.summary, np.ones(1), 1)  # raises unless it is known
        if self.label_key in self.covariate_keys:
            raise ValueError(f"covariate_keys holds the label_key {self.label_key!r}, whose effect is to be learned.")

    def select(self, adata: AnnData, *, quiet: bool = False) -> Selection:
        """Choose the cells of each sample."""
        check_adata(adata)
        return select(
            adata,
            self.sample_key,
            weights_key=self.weights_key,
            n_cells=self.n_cells,
            min_cells=self.min_cells,
            rng=np.random.default_rng([self.seed, 0]),
            quiet=quiet,
        )

    def target(self, selection: Selection) -> Target:
        """Return what is to be learned about the samples; see `check_design` for what learning needs."""
        if self.label_key is None:
            raise ValueError("label_key is needed: the column of adata.obs with what is to be learned.")
        return selection.target(self.label_key, self.label_kind, self.reference_class)

    def covariates(self, selection: Selection) -> np.ndarray | None:
        """Return (P, q) covariates of the samples, None if there are none."""
        if not self.covariate_keys:
            return None
        return np.stack([selection.numbers(key, "covariate_keys") for key in self.covariate_keys], axis=1)

    def groups(self, selection: Selection) -> np.ndarray:
        """Return (P,) the donor of each sample; without a key each sample is a donor of its own."""
        if self.groups_key is None:
            return np.arange(selection.n_samples)
        return selection.codes(self.groups_key, "groups_key")

    def design(self, selection: Selection) -> dict[str, Any]:
        """Return donor, batch and covariates of each sample, None for what there is not."""
        self.check_groups(selection)
        return {
            "groups": self.groups(selection),
            "batch": None if self.batch_key is None else selection.codes(self.batch_key, "batch_key"),
            "covariates": self.covariates(selection),
        }

    @property
    def of_cells(self) -> bool:
        """Return whether the points of a sample stand for cells."""
        return not isinstance(self.summary, Summarizer) or self.summary.traits.approximates

    def check_groups(self, selection: Selection) -> None:
        """Raise unless each cell has a group, where samples are summarized by groups, or each sample its mixture."""
        if isinstance(self.summary, Groups):
            selection.groups(self.summary)
        elif isinstance(self.summary, Mixture):
            selection.mixtures(self.summary, None)

    def check_mixtures(self, selection: Selection, features: Features, *, refitted: bool = False) -> None:
        """Raise unless mixtures that are there already are of these features, which no fold refits."""
        if not isinstance(self.summary, Mixture) or self.summary.key is None:
            return
        if refitted:
            raise ValueError(
                f"summary={self.summary!r}: mixtures that are there already are of the features as they are, and "
                "preprocess would fit others in each fold. Pass preprocess=None, or Mixture(n), which is fitted there."
            )
        selection.mixtures(self.summary, features.names)

    def of_everyone(self) -> "Reading":
        """Return the reading that takes all cells of all samples alike, for what is done to each cell."""
        return replace(self, n_cells=None, min_cells=1, weights_key=None)

    def settled(self, selection: Selection, n_features: int) -> "Reading":
        """Return the reading with `"auto"` settled for the samples and features at hand."""
        return replace(self, summary=as_summary(self.summary, selection.sizes, n_features))

    def samples(
        self,
        selection: Selection,
        features: Features,
        *,
        everything: bool = False,
        n_jobs: int | None = 1,
        progress: bool = False,
    ) -> Samples:
        """Read the cells of the samples, and what else is known of these; everything about `.obs` is checked first.

        With `everything` all cells come beside a summary that stands for them.
        """
        design = self.design(selection)
        summary = as_summary(self.summary, selection.sizes, len(features.names))
        rng = np.random.default_rng([self.seed, 1])
        bar = "coresets" if progress else None
        cohort = selection.read(features, summary=summary, rng=rng, n_jobs=n_jobs, progress=bar)
        everything = everything and summary is not None and summary.traits.approximates
        full = selection.read(features, rng=rng, n_jobs=n_jobs) if everything else None
        return Samples(cohort, everything=full, **design)

    def learning_rng(self) -> np.random.Generator:
        """Return the generator that learning draws from."""
        return np.random.default_rng([self.seed, 2])

    def to_params(self) -> dict[str, Any]:
        """Return plain values that files can hold; None leaves no trace."""
        out: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or (isinstance(value, tuple) and not value):
                continue
            if isinstance(value, Summarizer):
                value = to_params(value, KINDS)
            elif isinstance(value, tuple):
                value = np.array(value, dtype=object)
            out[field.name] = plain(value)
        return out

    @classmethod
    def from_params(cls, params: Any, where: str) -> "Reading":
        """Return the reading that `to_params` wrote down."""
        known = [field.name for field in fields(cls)]
        if not isinstance(params, Mapping) or "sample_key" not in params:
            raise ValueError(f"{where} does not say how samples were read; it needs at least a sample_key.")
        given: dict[str, Any] = {}
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{where} has an entry {name!r} that is not known; known are {choices(known)}.")
            if isinstance(value, Mapping):
                given[name] = from_params(value, KINDS, f"{where}[{name!r}]")
            elif name in ("covariate_keys", "label_kind") and np.ndim(value) == 1:
                given[name] = tuple(str(part) for part in value)
            else:
                given[name] = plain(value)
        try:
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where} is damaged: {error}") from error


def _as_name(label: object) -> object:
    """Return the name of a class, also of a label that is a whole number; None as it is."""
    if isinstance(label, bool) or not isinstance(label, str | int | np.integer | None):
        kind = type(label).__name__
        raise TypeError(f"reference_class={shown(label)} is a {kind}; pass the name of a class, or None for the first.")
    return None if label is None else str(label)


STORED = "stored"
"""Stands for what the metric was learned with."""

Stored = Literal["stored"]


def seed_of(rng: int | np.random.Generator | Stored) -> int | Stored:
    """Return the seed that a user passed, or `"stored"`."""
    return STORED if isinstance(rng, str) and rng == STORED else as_seed(rng)  # type: ignore[arg-type]  # other text


def reread(reading: Reading, **given: Any) -> Reading:
    """Return a reading with other values: `"stored"`, and None for a key, keep what the metric was learned with."""
    changed = {
        name: value
        for name, value in given.items()
        if not (isinstance(value, str) and value == STORED) and not (value is None and name.endswith("_key"))
    }
    if changed.get("label_key", reading.label_key) != reading.label_key:  # options of the other label do not apply
        changed = {"label_kind": "auto", "reference_class": None} | changed
    return replace(reading, **changed)


def read_target(reading: Reading, selection: Selection) -> Target:
    """Return the target of a cohort that a metric can be learned from."""
    target = reading.target(selection)
    key = str(reading.label_key)
    check_design(
        target,
        selection.names,
        f"adata.obs[{key!r}] (label_key)",
        leave_out=lambda name: f" ({selection.without(key, name)})",
    )
    return target
