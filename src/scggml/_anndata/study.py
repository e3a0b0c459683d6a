"""Read what is known of samples that are ordered: a label that the order may follow, and what counts once."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.stats import spearmanr

from scggml._anndata.covariates import read_covariate
from scggml._anndata.reading import Reading
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.labelings import permutation_blocks


@dataclass(frozen=True, eq=False)
class Label:
    """Hold what is known of each sample that an order may follow.

    Parameters
    ----------
    name
        Column of `.obs`.
    values
        (P,) numbers or codes of classes, NaN where missing.
    ordered
        Whether larger values are later; two classes are.
    levels
        Names of the classes; empty for numbers.
    """

    name: str
    values: Floats
    ordered: bool
    levels: tuple[str, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """(P,) bool, whether the sample has a value."""
        return ~np.isnan(self.values)

    def is_late(self, order: Floats) -> bool:
        """Return whether an order begins with the lowest value, or with the first class."""
        values = self.values if self.ordered else np.where(self.known, self.values > 0, np.nan)
        known = self.known
        if not known.any() or np.ptp(values[known]) == 0 or np.ptp(order[known]) == 0:
            return True
        return bool(spearmanr(order[known], values[known]).statistic >= 0)


def read_label(samples: AnnData, name: str | None, reading: Reading | None) -> Label | None:
    """Return the label of the samples, its classes ordered and the reference first as the metric says."""
    if name is None:
        return None
    column = read_covariate(samples, name, "label_key")
    if column.kind == "numeric":
        return Label(name, column.values, True)
    own = reading if reading is not None and reading.label_key == name else None
    levels, kind = column.levels, None if own is None else own.label_kind
    dtype = samples.obs[name].dtype
    ordered = isinstance(dtype, pd.CategoricalDtype) and bool(dtype.ordered) and kind != "classes"
    if isinstance(kind, tuple):
        levels, ordered = tuple(level for level in kind if level in levels), True
    elif not ordered and own is not None and own.reference_class in levels:
        levels = (str(own.reference_class), *(level for level in levels if level != own.reference_class))
    place = np.array([levels.index(level) for level in column.levels] + [0], dtype=np.float64)
    values = np.where(column.known, place[np.where(column.known, column.values, -1).astype(np.int64)], np.nan)
    return Label(name, values, ordered or len(levels) == 2, levels)


@dataclass(frozen=True, eq=False)
class Study:
    """Hold what is known of each sample; those of one donor, label and batch are a unit, which counts once.

    Parameters
    ----------
    label
        Label, None if there is none.
    groups, batch
        (P,) code of the donor, and of the batch.
    """

    label: Label | None
    groups: Integers
    batch: Integers

    @property
    def codes(self) -> Integers:
        """(P,) code of the unit of each sample, in the order of donors."""
        label = np.zeros(len(self.groups)) if self.label is None else np.nan_to_num(self.label.values, nan=np.inf)
        parts = np.stack([self.groups, label, self.batch], axis=1)
        return np.unique(parts, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def merge(self, values: Points) -> Points:
        """Return the means of (..., P, n) values over the samples of each unit."""
        codes = self.codes
        share = sparse.csr_array((1.0 / np.bincount(codes)[codes], (codes, np.arange(len(codes)))))
        flat = values.reshape(-1, *values.shape[-2:])
        return np.stack([share @ part for part in flat]).reshape(*values.shape[:-2], -1, values.shape[-1])

    def merge_orders(self, orders: Floats) -> Floats:
        """Return the means of (..., P) orders over the samples of each unit."""
        return np.asarray(self.merge(orders[..., None])[..., 0], dtype=np.float64)

    @property
    def blocks(self) -> list[Integers]:
        """Units that may change places: those of a batch whose donors have one label, and the units of other donors."""
        first = np.unique(self.codes, return_index=True)[1]
        label = np.zeros(len(first)) if self.label is None else np.nan_to_num(self.label.values[first], nan=-1.0)
        found = permutation_blocks(label, self.groups[first], self.batch[first])
        return [np.concatenate(block) for block in found if block]

    def take(self, samples: Integers) -> "Study":
        """Return the same of the given samples."""
        label = None if self.label is None else replace(self.label, values=self.label.values[samples])
        return Study(label, self.groups[samples], self.batch[samples])

    def labelled(self) -> Integers:
        """Return the samples whose label is known."""
        return np.arange(len(self.groups)) if self.label is None else np.flatnonzero(self.label.known)
