"""Find out what is evaluated, and on which samples, before any cell is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.composition import warn_of_leaks
from scggml._anndata.confounding import check_confounding
from scggml._anndata.features import (
    PCA_LOADINGS,
    Features,
    Mask,
    find_basis,
    pca_loadings_slot,
    read_features,
)
from scggml._anndata.loadings import pca_axes
from scggml._anndata.messages import warn
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.preprocess import Preprocess, Step
from scggml._anndata.reading import Reading
from scggml._anndata.selection import Selection
from scggml._anndata.steps import as_step
from scggml._arguments import shown
from scggml._core.checks import is_auto
from scggml._core.cohort import Floats, Integers
from scggml._core.learn.learner import Learner
from scggml._core.samples import Target
from scggml._core.transport.coreset import Coreset

N_CELLS, N_POINTS = 1000, 100
"""Most cells of a sample that an evaluation reads, and points of the coreset that stands for them: draws of few cells
would add noise to every distance."""

GIVEN = (
    *("use_rep", "layer", "label_kind", "reference_class", "groups_key", "batch_key", "covariate_keys"),
    *("weights_key", "min_cells", "summary"),
)
"""Arguments that evaluations share, each of which replaces a part of how samples are read."""

CHECKED = 200
"""Cells by which a stored PCA is recognized as one of the genes at hand."""


@dataclass(frozen=True)
class Subject:
    """The subject of an evaluation: how samples are read, the features, and the learner.

    Parameters
    ----------
    stored
        The metric that it comes from, None if it was described from scratch.
    refit
        Whether the features are a PCA of genes of which each fold has its own, if the cells show that they are one.
    """

    reading: Reading
    features: Features
    step: Step | None
    seen: str | None
    learner: Learner
    stored: StoredMetric | None
    refit: bool = False

    def seeing(self, adata: AnnData) -> "Subject":
        """Return the subject with the genes of its PCA as features, for which some cells are read."""
        if not self.refit or self.stored is None:
            return self
        genes = pca_genes(adata, self.stored)
        if genes is None:
            _warn_of_missing_axes(adata, self.stored)
            return self
        step = Preprocess(normalize=False, n_top_genes=None, scale=False, n_comps=len(self.features.names))
        return replace(self, features=genes, step=step, seen=None)

    def mark(self) -> dict[str, Any]:
        """Return the stored metric that is evaluated and its fingerprint, as an entry; nothing without one."""
        return {} if self.stored is None else {"of": {"key": self.stored.key, "fingerprint": self.stored.fingerprint}}

    def in_few_points(self, n_points: int) -> "Subject":
        """Return the subject with coresets of so many points, unless the stored metric has a summary of its own."""
        if self.stored is not None and self.reading.summary is not None:
            return self
        return replace(self, reading=replace(self.reading, summary=Coreset(n_points)))

    def named(self, key: str) -> tuple[str, Learner]:
        """Return the learner with the name that tables give it."""
        return ("canonical" if self.stored is None else key), self.learner


@dataclass(frozen=True, eq=False)
class Known:
    """Hold what `.obs` says about the samples of an evaluation.

    Parameters
    ----------
    target
        What is to be predicted.
    groups
        (P,) donor of each sample.
    composition, types
        (P, n_types) shares of cell types and (n_cells,) codes of those of the chosen cells, if there are any.
    batch, covariates
        (P,) technical batch and (P, q) covariates that are not part of the signal.
    strata
        (P,) within which labels may be permuted.
    technical
        (P,) codes of technical covariates, by name, whose trace in held-out distances is scored.
    """

    target: Target
    groups: Integers
    composition: Floats | None
    types: Integers | None
    batch: Integers | None
    covariates: Floats | None
    strata: Integers
    technical: dict[str, Integers]

    def known(self) -> dict[str, Any]:
        """Return these by name."""
        return {each.name: getattr(self, each.name) for each in fields(Known)}


@dataclass(frozen=True, eq=False)
class Design(Known):
    """Hold what is known with the samples that were chosen, of which no cell is read yet.

    Parameters
    ----------
    selection
        The samples and their cells.
    cell_type_key
        Column of `.obs` with cell types, if they are asked for.
    """

    selection: Selection
    cell_type_key: str | None = None

    def of(self, selection: Selection) -> "Design":
        """Return what is known of the same samples with other cells of theirs: other types, and shares of these."""
        composition, types = _types(selection, self.cell_type_key)
        return replace(self, selection=selection, composition=composition, types=types)


def read_design(
    adata: AnnData,
    subject: Subject,
    *,
    cell_type_key: str | None = None,
    strata_key: str | None = None,
    technical_keys: str | Sequence[str] = (),
) -> Design:
    """Read what `.obs` says about the samples; invalid arguments and `.obs` raise here, before any cell is read."""
    technical_keys = (technical_keys,) if isinstance(technical_keys, str) else technical_keys
    reading = subject.reading
    selection = reading.select(adata)
    reading.check_groups(selection)
    reading.check_mixtures(selection, subject.features, refitted=subject.step is not None or subject.refit)
    batch = None if reading.batch_key is None else selection.codes(reading.batch_key, "batch_key")
    if strata_key is not None:
        strata = selection.codes(strata_key, "strata_key")
        if batch is not None:
            strata = np.unique(np.stack([strata, batch], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    else:  # labels are permuted within batches
        strata = np.zeros(selection.n_samples, dtype=np.int64) if batch is None else batch
    target = reading.target(selection)
    if cell_type_key is not None:
        warn_of_leaks(selection, target, *selection.categories(cell_type_key, "cell_type_key"), cell_type_key)
    subject.learner.check(target)
    check_confounding(reading, selection, target)
    composition, types = _types(selection, cell_type_key)
    return Design(
        selection=selection,
        target=target,
        groups=reading.groups(selection),
        composition=composition,
        types=types,
        batch=batch,
        covariates=reading.covariates(selection),
        strata=strata,
        technical={key: selection.codes(key, "technical_keys") for key in technical_keys},
        cell_type_key=cell_type_key,
    )


def _types(selection: Selection, key: str | None) -> tuple[Floats | None, Integers | None]:
    """Return (P, n_types) shares of cell types and (n_cells,) the type of each chosen cell, if they are asked for."""
    if key is None:
        return None, None
    return selection.shares(key, "cell_type_key"), selection.categories(key, "cell_type_key")[0]


def given_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the arguments of a call that say how samples are read."""
    return {name: arguments[name] for name in GIVEN}


def read_subject(
    adata: AnnData,
    sample_key: str | None,
    label_key: str | None,
    *,
    key: str,
    preprocess: Step | str | None,
    mask_var: Mask,
    n_cells: int | str | None,
    seed: int,
    given: dict[str, Any],
) -> Subject:
    """Find out what is evaluated: the metric that is stored, or what the arguments describe.

    Parameters
    ----------
    sample_key, label_key
        With both the arguments describe everything; without either it is as it was for the metric `key`, other
        arguments of `given` that are not None replacing parts of it.
    n_cells
        `"auto"` is that of the stored metric, or `N_CELLS`. A summary `"auto"` is that of the stored metric, or a
        coreset of `N_POINTS`.
    """
    if (sample_key is None) != (label_key is None):
        raise ValueError(
            f"sample_key={sample_key!r} and label_key={label_key!r}: pass both, or neither to evaluate the metric that "
            f"is stored as {key!r}."
        )
    replaced = {
        name: value
        for name, value in given.items()
        if value is not None and not (isinstance(value, tuple) and not value) and name != "summary"
    }
    if not is_auto(given.get("summary", "auto")):  # None is all cells
        replaced["summary"] = given["summary"]
    if sample_key is not None and label_key is not None:
        reading = Reading(
            sample_key=sample_key,
            label_key=label_key,
            n_cells=N_CELLS if n_cells == "auto" else n_cells,  # type: ignore[arg-type]  # checked when cells are drawn
            seed=seed,
            **({"summary": Coreset(N_POINTS)} | replaced),
        )
        features = read_features(adata, use_rep=reading.use_rep, layer=reading.layer, mask_var=mask_var)
        step = as_step(preprocess, usual=reading.use_rep in (None, "X"))
        return Subject(reading, features, step, _seen(reading, step), Learner(), None)
    stored = read_metric(adata, key)
    asked_for = replaced | ({} if mask_var is None else {"mask_var": mask_var})
    own = {name: asked_for[name] for name in ("layer", "use_rep", "mask_var") if name in asked_for}
    if own:
        asked = ", ".join(f"{name}={shown(value)}" for name, value in own.items())
        raise ValueError(
            f"{asked}: the metric {key!r} has features of its own; {', '.join(own)} goes with sample_key and label_key."
        )
    replaced |= {} if n_cells == "auto" else {"n_cells": n_cells}
    reading = replace(stored.reading, **replaced)
    auto = is_auto(preprocess)
    step = None if auto else as_step(preprocess, usual=reading.use_rep in (None, "X"))
    features = stored.locate(adata) if step is None else read_features(adata, layer=reading.layer)
    refit = auto and reading.use_rep not in (None, "X")
    return Subject(reading, features, step, _seen(reading, step), stored.learner, stored, refit)


def _seen(reading: Reading, step: Step | None) -> str | None:
    return reading.use_rep if step is None and reading.use_rep not in (None, "X") else None


def _warn_of_missing_axes(adata: AnnData, stored: StoredMetric) -> None:
    """Warn of a PCA that cannot be refitted to training cells since its loadings are missing."""
    name = str(stored.reading.use_rep)
    missing = pca_axes(adata, name, len(stored.features)) is None
    if stored.reading.use_rep is not None and find_basis(adata, name) in PCA_LOADINGS and missing:
        warn(
            f"adata.varm[{pca_loadings_slot(adata, name)!r}] has no loadings of use_rep={name!r}, so its PCA cannot be "
            "refitted in each fold: it is taken as it is and has seen the held-out cells. Compute it again "
            "with sc.pp.pca(adata), or pass preprocess=None to take it so on purpose."
        )


def pca_genes(adata: AnnData, stored: StoredMetric) -> Features | None:
    """Return the genes of `.X`, or of a layer, whose PCA the features are; None if they are not one of these.

    Recognized by the cells themselves: some of them, times the loadings, must come out where they are.
    """
    axes = pca_axes(adata, str(stored.reading.use_rep), len(stored.features))
    if axes is None or not axes.any():
        return None
    used = np.asarray(axes.any(axis=1))  # genes that the PCA did not see have zero rows
    rows = np.unique(np.linspace(0, adata.n_obs - 1, CHECKED).astype(np.int64))
    known = stored.locate(adata).rows(rows).astype(np.float64)
    near = 1e-2 * max(float(np.ptp(known, axis=0).max()), np.finfo(float).tiny)
    for layer in (None, *(name for name in adata.layers if name is not None)):
        if layer is None and adata.X is None:
            continue
        genes = read_features(adata, layer=layer, mask_var=used)
        rest = known - genes.rows(rows).astype(np.float64) @ axes[used]
        if np.abs(rest - rest.mean(axis=0)).max() <= near:  # the center of the PCA is not stored
            return genes
    return None
