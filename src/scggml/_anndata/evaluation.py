"""Read the cells of a cohort for evaluation, as each fold sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.copies import check_copies
from scggml._anndata.features import (
    Features,
    check_varied,
    not_finite,
    raise_faults,
    varies,
)
from scggml._anndata.metric import needs_everything
from scggml._anndata.preprocess import Preprocess, Step
from scggml._anndata.reading import Reading
from scggml._anndata.scales import look_at, warn_of_scale
from scggml._anndata.selection import Selection
from scggml._anndata.steps import as_features
from scggml._anndata.subject import Design, Known, Subject
from scggml._core.cohort import Cohort, Floats, Integers, Names, Origin, Points
from scggml._core.folds import Fold
from scggml._core.learn.choice import summarize
from scggml._core.samples import Samples, mean_profiles
from scggml._core.transport.coreset import as_summary
from scggml._core.transport.groups import Groups, present
from scggml._core.transport.mixture import Gaussians, Mixture
from scggml._core.transport.summary import Summarizer


@dataclass(frozen=True, eq=False)
class Evaluation(Known):
    """Hold all that an evaluation needs of the samples of a cohort, their cells included.

    Parameters
    ----------
    cells
        AnnData of the cells, sample by sample, as the step takes them; without a step `.X` holds the features.
    weights, offsets, names
        (n_cells,) weights of the cells, (P + 1,) where each sample begins, and (P,) names.
    step
        From training and held-out cells to features; None takes these as they are.
    summary
        What stands for the cells of a sample.
    seen
        Representation that was computed on all cells, held-out ones included, if the features are one.
    reading
        How the samples were read.
    everything
        Whether all cells are wanted beside a summary.
    cell_groups
        (n_cells,) group of each cell, where samples are summarized by these.
    mixtures
        (P,) mixture of each sample, where these are there already.
    """

    cells: AnnData
    weights: Floats
    offsets: Integers
    names: Names
    step: Step | None
    summary: Summarizer | None
    seen: str | None
    reading: Reading
    everything: bool = False
    cell_groups: Integers | None = None
    mixtures: Sequence[Gaussians] | None = None

    @property
    def fitted_in_folds(self) -> bool:
        """Return whether the points of a sample depend on which samples are training ones."""
        return self.step is not None or (self.summary is not None and self.summary.is_shared)

    def params(self) -> dict[str, Any]:
        """Return how samples were read, as files can hold it."""
        return self.reading.to_params() | {
            "label_kind": self.target.kind,
            "preprocess": "None" if self.step is None else str(self.step),
        }

    def describe(self) -> dict[str, Any]:
        """Return what the features are, and whether they have seen the held-out cells."""
        slot = self.reading.use_rep or self.reading.layer or "X"
        return {"slot": slot, "refitted": self.step is not None, "seen": self.seen is not None}

    @property
    def label_key(self) -> str:
        """Column of `.obs` with what is to be predicted."""
        return str(self.reading.label_key)

    def samples(self, fold: Fold | None) -> Samples:
        """Return all samples with features fitted to the training samples of the fold (to all without a fold)."""
        owner = np.repeat(np.arange(len(self.names)), np.diff(self.offsets))
        if self.step is None:
            points: Points = self.cells.X
        elif fold is None:
            # a step of the user may work in place
            every = self.cells if isinstance(self.step, Preprocess) else self.cells.copy()
            points = self._fit(every, self.cells[:0].copy())[0]
        else:
            seen = np.isin(owner, fold.train)
            hidden = self.cells[~seen].copy()
            del hidden.obs[self.label_key]
            training, held_out = self._fit(self.cells[seen].copy(), hidden)
            if not varies(training):
                raise ValueError(
                    f"preprocess returned features that are the same for all {len(training)} training cells of a fold; "
                    "nothing can be learned from them."
                )
            points = np.empty((len(owner), training.shape[1]), dtype=training.dtype)
            points[seen], points[~seen] = training, held_out
        P = len(self.names)
        cohort = Cohort(
            points=points,
            weights=self.weights,
            offsets=self.offsets,
            labels=np.zeros(P, dtype=np.int64),
            names=self.names,
            classes=np.array(["unknown"]),
        )
        full, approximate = cohort, self.summary is not None and self.summary.traits.approximates
        if self.summary is not None:
            cohort = self._summarized(cohort, self.summary, None if fold is None else fold.train)
            cohort = replace(cohort, origin=Origin(mean_profiles(full), full.sizes))
        return Samples(
            cohort,
            self.groups,
            self.composition,
            self.batch,
            self.covariates,
            everything=full if self.everything and approximate else None,
            types=self.types if self.summary is None or (self.everything and approximate) else None,
        )

    def _summarized(self, cells: Cohort, summary: Summarizer, training: Integers | None) -> Cohort:
        """Return the samples, summarized; centroids that they share are those of the training samples."""
        rng, groups = np.random.default_rng([self.reading.seed, 1]), self.cell_groups
        if isinstance(summary, Mixture) and summary.shared:
            return summary.share(cells, summary.seed(rng), training)
        cohort = summarize(cells, summary, rng, groups=groups, given=self.mixtures)
        if not isinstance(summary, Groups) or groups is None:
            return cohort
        spans = cells.spans(np.arange(cells.n_samples))
        return summary.share(
            cohort, np.concatenate([present(groups[own], cells.weights[own]) for own in spans]), training
        )

    def _fit(self, training: AnnData, held_out: AnnData) -> tuple[Points, Points]:
        step: Any = self.step
        names = training.obs_names, held_out.obs_names  # a step may change those of its cells
        return as_features(step(training, held_out), *names)


def summary_of(subject: Subject, design: Design) -> Summarizer | None:
    """Return what will stand for the cells of a sample."""
    return as_summary(subject.reading.summary, design.selection.sizes, len(subject.features.names))


def what_lacks(subject: Subject, design: Design) -> dict[str, Any]:
    """Return what some methods cannot do with: labels that are numbers, summaries, weights."""
    return {
        "numbers": design.target.kind == "numbers",
        "summary": summary_of(subject, design),
        "weights_key": subject.reading.weights_key,
    }


def read_evaluation(subject: Subject, design: Design, *, everything: bool = False) -> Evaluation:
    """Read the cells of the samples; copies of a sample and values that are not finite raise here.

    With `everything` methods see all cells beside a summary that stands for them.
    """
    selection = design.selection
    subject = subject.seeing(selection.adata)
    reading, features, step = subject.reading, subject.features, subject.step
    cells = _cells(selection, features)
    raise_faults(replace(features, matrix=cells.X, columns=None, cells=cells.obs_names), not_finite(cells.X))
    check_varied(cells.X, features.slot)
    check_copies(selection, features, design.groups)
    if isinstance(step, Preprocess):
        cells = step.prepare(cells)
    elif step is None:
        cells.X = np.ascontiguousarray(cells.X.toarray() if sparse.issparse(cells.X) else cells.X, dtype=features.dtype)
        if reading.use_rep in (None, "X"):
            warn_of_scale(features.slot, look_at(cells.X))
    summary = as_summary(reading.summary, selection.sizes, len(features.names))
    return Evaluation(
        **design.known(),
        cells=cells,
        weights=selection.weights,
        offsets=selection.offsets,
        names=selection.names,
        step=step,
        summary=summary,
        seen=subject.seen,
        reading=reading,
        everything=everything or needs_everything(subject.learner),
        cell_groups=selection.groups(summary) if isinstance(summary, Groups) else None,
        mixtures=selection.mixtures(summary, features.names) if isinstance(summary, Mixture) else None,
    )


def draws(subject: Subject, design: Design, n_repeats: int, *, everything: bool = False) -> list[Evaluation]:
    """Return one evaluation, or one for each repeat if cells are drawn: each repeat then has a draw of its own."""
    reading, adata = subject.reading, design.selection.adata
    first = read_evaluation(subject, design, everything=everything)
    if (
        n_repeats == 1
        or reading.n_cells is None
        or not (replace(reading, n_cells=None).select(adata).sizes > reading.n_cells).any()
    ):
        return [first]
    found = [first]
    for repeat in range(1, n_repeats):
        seed = int(np.random.default_rng([reading.seed, 7, repeat]).integers(2**31))
        other = replace(subject, reading=replace(reading, seed=seed))
        found.append(read_evaluation(other, design.of(other.reading.select(adata)), everything=everything))
    return found


def _cells(selection: Selection, features: Features) -> AnnData:
    """Return the chosen cells with the features as `.X`, in memory."""
    adata, rows = selection.adata, selection.rows
    order = np.argsort(rows)
    block = features.matrix[rows[order]]  # rising, as files on disk want it
    if hasattr(block, "compute"):
        block = block.compute()
    if features.columns is not None:
        block = block[:, features.columns]
    block = block[np.argsort(order)]
    X = block.tocsr() if sparse.issparse(block) else np.asarray(block)
    names = pd.Index(features.names.astype(str))
    obs = adata.obs.loc[:, ~adata.obs.columns.duplicated(keep=False)]  # nobody could tell which of these is meant
    return AnnData(X, obs=obs.iloc[rows].copy(), var=pd.DataFrame(index=names))
