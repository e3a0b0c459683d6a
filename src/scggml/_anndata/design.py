"""The door in for evaluation: what each sample is, and its cells as each fold sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.columns import SampleColumns
from scggml._anndata.copies import check_copies
from scggml._anndata.preprocess import Preprocess, Step
from scggml._anndata.read import Features, Mask, choices, read_cohort, read_features
from scggml._core.cohort import Cohort, Floats, Integers, Names, Points
from scggml._core.evaluate.folds import Fold
from scggml._core.samples import LABEL_KINDS, LabelKind, Samples, Target

FEW = 10
"""Numbers with at most so many values are taken for classes unless `label_kind` says otherwise."""


@dataclass(frozen=True)
class Design:
    """Everything about the samples of a cohort that an evaluation needs.

    Parameters
    ----------
    cells
        The cells that take part, sample by sample; `.X` holds the features, or what `step` makes them from.
    offsets
        (P + 1,) where each sample begins.
    names
        (P,) names of the samples.
    target
        What is predicted.
    groups
        (P,) code of the donor of each sample.
    composition, batch, strata
        Per sample, if there are such columns.
    covariates
        Codes of the samples for each technical covariate.
    step
        What turns cells into features in each fold; None if `cells.X` holds the features.
    label_key
        Column that is hidden where held-out cells are shown.
    """

    cells: AnnData
    offsets: Integers
    names: Names
    target: Target
    groups: Integers
    composition: Floats | None
    batch: Integers | None
    strata: Integers
    covariates: dict[str, Integers]
    step: Step | None
    label_key: str

    def samples(self, fold: Fold | None) -> Samples:
        """All samples with features fitted to the training samples of the fold (to all samples without a fold)."""
        owner = np.repeat(np.arange(len(self.names)), np.diff(self.offsets))
        if self.step is None:
            points: Points = self.cells.X
        elif fold is None:
            points = self._fit(self.cells, self.cells[:0])[0]
        else:
            seen = np.isin(owner, fold.train)
            hidden = self.cells[~seen].copy()
            del hidden.obs[self.label_key]
            training, held_out = self._fit(self.cells[seen].copy(), hidden)
            points = np.empty((len(owner), training.shape[1]), dtype=training.dtype)
            points[seen], points[~seen] = training, held_out
        sizes = np.diff(self.offsets)
        P = len(self.names)
        cohort = Cohort(
            points=points,
            weights=np.repeat(1 / sizes, sizes),
            offsets=self.offsets,
            labels=np.zeros(P, dtype=np.int64),
            names=self.names,
            classes=np.array(["unknown"]),
        )
        return Samples(cohort, self.groups, self.composition, self.batch)

    def _fit(self, training: AnnData, held_out: AnnData) -> tuple[Points, Points]:
        step: Any = self.step
        first, second = (np.asarray(part) for part in step(training, held_out))
        shapes = [(len(part), *part.shape[1:]) for part in (first, second)]
        wanted = [(training.n_obs, *first.shape[1:]), (held_out.n_obs, *first.shape[1:])]
        if first.ndim != 2 or shapes != wanted:
            raise ValueError(
                f"preprocess returned arrays of shape {first.shape} and {second.shape}; it is given "
                f"{training.n_obs} training and {held_out.n_obs} held-out cells and must return (cells, features) of "
                "both."
            )
        for part, what in ((first, "training"), (second, "held-out")):
            if not np.isfinite(part).all():
                raise ValueError(
                    f"preprocess returned values that are NaN or infinite for {what} cells; features must be finite."
                )
        return first, second


def read_design(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    groups_key: str | None,
    use_rep: str | None,
    layer: str | None,
    mask_var: Mask,
    preprocess: Step | str | None,
    label_kind: LabelKind | str = "auto",
    cell_type_key: str | None = None,
    batch_key: str | None = None,
    strata_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    n_cells: int | None,
    min_cells: int,
    rng: np.random.Generator,
) -> Design:
    """Read the samples of a cohort with all that an evaluation asks about them; every fault is named here."""
    covariate_keys = (covariate_keys,) if isinstance(covariate_keys, str) else covariate_keys
    features = read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var)
    # a cohort whose only feature is the position of the cell: which cells are drawn, in which order
    places = Features(
        np.arange(adata.n_obs, dtype=np.float64)[:, None], "adata.obs", np.array(["place"]), None, adata.obs_names
    )
    cohort = read_cohort(adata, places, sample_key, label_key, n_cells=n_cells, min_cells=min_cells, rng=rng)
    rows = cohort.points[:, 0].astype(np.int64)
    target = _target(adata, cohort, label_key, label_kind)
    table = SampleColumns(adata, sample_key, cohort.names, cohort.offsets, rows)
    groups = np.arange(cohort.n_samples) if groups_key is None else table.codes(groups_key, "groups_key")
    step = _step(preprocess, use_rep)
    cells = _cells(adata, features, rows)
    _check_finite(cells, features)
    check_copies(adata, features, sample_key, pd.Series(groups, index=cohort.names))
    if isinstance(step, Preprocess):
        cells = step.prepare(cells)
    elif step is None:
        cells.X = np.ascontiguousarray(cells.X.toarray() if sparse.issparse(cells.X) else cells.X, dtype=features.dtype)
    return Design(
        cells=cells,
        offsets=cohort.offsets,
        names=cohort.names,
        target=target,
        groups=groups,
        composition=None if cell_type_key is None else table.shares(cell_type_key, "cell_type_key"),
        batch=None if batch_key is None else table.codes(batch_key, "batch_key"),
        strata=np.zeros(len(groups), dtype=np.int64) if strata_key is None else table.codes(strata_key, "strata_key"),
        covariates={key: table.codes(key, "covariate_keys") for key in covariate_keys},
        step=step,
        label_key=label_key,
    )


def _step(preprocess: Step | str | None, use_rep: str | None) -> Step | None:
    if isinstance(preprocess, str):
        if preprocess != "auto":
            raise ValueError(
                f"preprocess={preprocess!r} is not known; pass 'auto', None, a Preprocess(...) or a function of "
                "training and held-out cells."
            )
        return Preprocess() if use_rep in (None, "X") else None
    if preprocess is not None and not callable(preprocess):
        raise TypeError(
            f"preprocess is a {type(preprocess).__name__}; pass 'auto', None, a Preprocess(...) or a function of "
            "training and held-out cells."
        )
    return preprocess


def _target(adata: AnnData, cohort: Cohort, label_key: str, label_kind: str) -> Target:
    if label_kind not in ("auto", *LABEL_KINDS):
        raise ValueError(f"label_kind={label_kind!r} is not known; choose from {('auto', *LABEL_KINDS)}.")
    column = adata.obs[label_key]
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if label_kind == "auto":
        if numeric and len(cohort.classes) > FEW:
            label_kind = "numbers"
        elif isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
            label_kind = "ordered"
        else:
            label_kind = "classes"
    if label_kind == "numbers":
        if not numeric:
            raise ValueError(
                f"label_kind='numbers', but adata.obs[{label_key!r}] has dtype {column.dtype}; numbers are needed."
            )
        values = cohort.classes.astype(np.float64)[cohort.labels]
        if len(np.unique(values)) < 2:
            raise ValueError(f"label_key={label_key!r} has one value only ({values[0]}); there is nothing to predict.")
        return Target("numbers", values, np.array([], dtype=str))
    used = np.unique(cohort.labels)
    if len(used) < 2:
        raise ValueError(
            f"label_key={label_key!r} has one class only ({choices(cohort.classes[used])}); an evaluation needs two or "
            "more. Pass the column of adata.obs that tells the groups of patients apart."
        )
    kind: LabelKind = "ordered" if label_kind == "ordered" else "classes"
    return Target(kind, np.searchsorted(used, cohort.labels).astype(np.float64), cohort.classes[used])


def _cells(adata: AnnData, features: Features, rows: Integers) -> AnnData:
    """The given cells with the features as `.X`, in memory."""
    order = np.argsort(rows)
    block = features.matrix[rows[order]]  # rising, as files on disk want it
    if hasattr(block, "compute"):
        block = block.compute()
    if features.columns is not None:
        block = block[:, features.columns]
    block = block[np.argsort(order)]
    X = block.tocsr() if sparse.issparse(block) else np.asarray(block)
    names = pd.Index(features.names.astype(str))
    return AnnData(X, obs=adata.obs.iloc[rows].copy(), var=pd.DataFrame(index=names))


def _check_finite(cells: AnnData, features: Features) -> None:
    X = cells.X
    if sparse.issparse(X):
        if np.isfinite(X.data).all():
            return
        X = X.toarray()
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        raise ValueError(
            f"{features.slot} has {len(bad)} values that are NaN or infinite; the first is in cell "
            f"{str(cells.obs_names[bad[0, 0]])!r}, feature {str(features.names[bad[0, 1]])!r}. Leave such cells or "
            "features out, or impute them."
        )
