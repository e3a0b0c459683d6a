"""Decide once which cells of which samples are used, and read what `.obs` says about these samples."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm.auto import tqdm

from scggml._anndata.columns import comparison, text_codes
from scggml._anndata.features import Fault, Features, raise_faults
from scggml._anndata.messages import choices, find_column, warn
from scggml._anndata.mixtures import read_mixtures
from scggml._anndata.parts import Cells, Recipe, read_parts
from scggml._core.checks import LARGEST, check_whole, usable
from scggml._core.cohort import Cohort, Floats, Integers, Names, Origin, Points
from scggml._core.samples import LabelKind, Target, make_target
from scggml._core.threads import one_blas_thread
from scggml._core.transport.groups import Groups, present
from scggml._core.transport.mixture import Gaussians, Mixture
from scggml._core.transport.products import project
from scggml._core.transport.summary import Summarizer, joined_atoms


@dataclass(frozen=True, eq=False)
class Selection:
    """Cells of an AnnData, sample by sample, in order of first appearance.

    Parameters
    ----------
    names, offsets
        (P,) samples, and (P + 1,) where each begins in `rows`.
    rows
        (n_cells,) positions of the chosen cells, rising within each sample.
    weights
        (n_cells,) weight of each chosen cell, of sum 1 in each sample.
    owner
        (n_obs,) sample of each cell of the AnnData, chosen or not; -1 for samples that were left out.
    """

    adata: AnnData
    sample_key: str
    names: Names
    offsets: Integers
    rows: Integers
    weights: Floats
    owner: Integers

    @property
    def n_samples(self) -> int:
        """Number of samples, P."""
        return len(self.names)

    @property
    def sizes(self) -> Integers:
        """(P,) number of chosen cells of each sample."""
        return np.diff(self.offsets)

    def take(self, samples: Integers) -> "Selection":
        """Return the given samples only, in the given order."""
        rows = np.concatenate([np.arange(self.offsets[p], self.offsets[p + 1]) for p in samples])
        place = np.full(self.n_samples + 1, -1, dtype=np.int64)  # the last one is for samples that were left out
        place[samples] = np.arange(len(samples))
        return replace(
            self,
            names=self.names[samples],
            offsets=np.concatenate([[0], np.cumsum(self.sizes[samples])]),
            rows=self.rows[rows],
            weights=self.weights[rows],
            owner=place[self.owner],
        )

    def folds(self, n_folds: int, rng: np.random.Generator) -> list[tuple["Selection", "Selection"]]:
        """Deal the chosen cells of each sample at random into folds; return all others and the cells of each fold.

        Each sample must have at least as many cells as there are folds.
        """
        fold = np.empty(len(self.rows), dtype=np.int64)
        for start, stop in pairwise(self.offsets):
            fold[start:stop] = rng.permutation(stop - start) % n_folds
        return [(self._part(fold != k), self._part(fold == k)) for k in range(n_folds)]

    def _part(self, chosen: np.ndarray) -> "Selection":
        """Return some of the chosen cells of each sample, their weights of sum 1 again."""
        counts = np.add.reduceat(chosen.astype(np.int64), self.offsets[:-1])
        weights = np.where(chosen, self.weights, 0.0)
        total = np.repeat(np.add.reduceat(weights, self.offsets[:-1]), self.sizes)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            rows=self.rows[chosen],
            weights=(weights / total)[chosen],
        )

    def _cells(self, key: str, argument: str) -> tuple[pd.Series, Integers]:
        """Return a column without missing values for all cells of the samples, and the sample of each."""
        column = find_column(self.adata, key, argument)
        column, owner = self._inside(column)
        missing = column.isna().to_numpy()
        if missing.any():
            raise ValueError(
                f"adata.obs[{key!r}] ({argument}) is missing for {int(missing.sum())} of {self.adata.n_obs} cells (the "
                f"first is {str(column.index[int(missing.argmax())])!r}); leave these cells out with "
                f"adata[adata.obs[{key!r}].notna()], or fill the column."
            )
        return column, owner

    def _inside(self, column: pd.Series) -> tuple[pd.Series, Integers]:
        """Return the cells of the samples in a column, and the sample of each."""
        inside = self.owner >= 0
        return (column, self.owner) if inside.all() else (column[inside], self.owner[inside])

    def _per_sample(self, key: str, argument: str) -> tuple[pd.Series, Names]:
        """Return the cells of a column that stand for their samples, and the (P,) text of each."""
        column, owner = self._cells(key, argument)
        codes, names = text_codes(column)
        first = self._one_value(codes, names, owner, key, argument)
        return column.iloc[first], names[codes[first]].astype(str)

    def check_one_value(self, key: str, argument: str) -> None:
        """Raise if cells of a sample have different values; these may be missing, as labels of new samples are."""
        column, owner = self._inside(find_column(self.adata, key, argument))
        codes, names = text_codes(column)
        self._one_value(codes, np.append(names, "missing"), owner, key, argument)

    def _one_value(self, codes: Integers, names: Names, owner: Integers, key: str, argument: str) -> Integers:
        """Return the first cell of each sample; raise if others of the sample have another value."""
        rows = np.flatnonzero(~pd.Series(owner).duplicated().to_numpy())
        first = rows[np.argsort(owner[rows])]
        torn = np.flatnonzero(codes != codes[first][owner])
        if len(torn):
            sample = owner[torn[0]]
            raise ValueError(
                f"{len(np.unique(owner[torn]))} of {self.n_samples} samples have cells of more than one value in "
                f"adata.obs[{key!r}] ({argument}): sample {str(self.names[sample])!r} of "
                f"adata.obs[{self.sample_key!r}] has {choices(names[pd.unique(codes[owner == sample])])}. A sample has "
                f"one; pass another {argument}, or split such samples by joining both columns into a new sample_key."
            )
        return first

    def values(self, key: str, argument: str) -> Names:
        """Return (P,) value of each sample in a column, as text."""
        return self._per_sample(key, argument)[1]

    def codes(self, key: str, argument: str) -> Integers:
        """Return (P,) code of each sample's value, in order of first appearance."""
        return pd.factorize(self._per_sample(key, argument)[1])[0].astype(np.int64)

    def numbers(self, key: str, argument: str) -> Floats:
        """Return (P,) number of each sample; raise and show the first value that is not one."""
        column, text = self._per_sample(key, argument)
        found = as_numbers(column)
        if found is None:
            raise ValueError(
                f"adata.obs[{key!r}] ({argument}) has {str(text[0])!r}; numbers are needed (of a category make one, "
                f"such as ({comparison(column, key, str(text[0]), '==')}).astype(float))."
            )
        if not usable(found).all():
            bad = int(np.flatnonzero(~usable(found))[0])
            wanted = (
                f"numbers up to {LARGEST:g}, whose squares are finite," if np.isfinite(found[bad]) else "finite numbers"
            )
            raise ValueError(
                f"adata.obs[{key!r}] ({argument}) has {str(text[bad])!r} for sample {str(self.names[bad])!r}; {wanted} "
                f"are needed. Leave the sample out ({self.without(self.sample_key, str(self.names[bad]))})."
            )
        return found

    def without(self, key: str, text: str) -> str:
        """Return code that leaves out the cells with the value that has this text, for a message."""
        return f"adata[{comparison(find_column(self.adata, key, key), key, text, '!=')}]"

    def shares(self, key: str, argument: str) -> Floats:
        """Return (P, n_types) share of the chosen cells of each sample that have each value."""
        codes, names = self.categories(key, argument)
        counts = np.zeros((self.n_samples, len(names)))
        np.add.at(counts, (np.repeat(np.arange(self.n_samples), self.sizes), codes), self.weights)
        return counts

    def categories(self, key: str, argument: str) -> tuple[Integers, Names]:
        """Return (n_cells,) code of each chosen cell, and the names of the codes in their order."""
        column, _ = self._cells(key, argument)
        codes, texts = text_codes(column)
        first = np.flatnonzero(~pd.Series(codes).duplicated().to_numpy())
        names = value_order(column.iloc[first])
        place = np.full(self.adata.n_obs, -1, dtype=np.int64)
        place[self.owner >= 0] = pd.Index(names).get_indexer(pd.Index(texts))[codes]
        return place[self.rows], names

    def cells(self) -> pd.DataFrame:
        """Return (n_cells,) rows of `.obs`, sample by sample."""
        return self.adata.obs.iloc[self.rows]

    def target(
        self, label_key: str, label_kind: LabelKind | Literal["auto"] | Sequence[str], reference_class: str | None
    ) -> Target:
        """Return what is to be learned about the samples."""
        if label_key == self.sample_key:
            raise ValueError(
                f"sample_key and label_key are both {label_key!r}; the label is the class of a sample, not its name."
            )
        column, text = self._per_sample(label_key, "label_key")
        named = isinstance(column.dtype, pd.CategoricalDtype)  # numbers that were made categories are names
        ordered = named and bool(column.cat.ordered)
        return make_target(
            text,
            None if named and label_kind != "numbers" else as_numbers(column),
            [str(name) for name in value_order(column)],
            kind=label_kind,
            has_order=ordered,
            reference=reference_class,
            what=f"adata.obs[{label_key!r}] (label_key)",
            leave_out=lambda name: f" ({self.without(label_key, name)})",
        )

    def groups(self, summary: Groups) -> Integers:
        """Return (n_cells,) group of each chosen cell."""
        return self.categories(summary.key, "Groups: key")[0]

    def mixtures(self, summary: Mixture, features: Names | None) -> list[Gaussians] | None:
        """Return the mixture of each sample among these features, None if they are not there already."""
        return None if summary.key is None else read_mixtures(self.adata, summary.key, self.names, features)

    def _samples(self, summary: Summarizer | None, features: Names, rng: np.random.Generator) -> list[Cells]:
        """Return the chosen cells of each sample; seeds are drawn here, in the order of the samples."""
        spans = [slice(start, stop) for start, stop in pairwise(self.offsets)]
        draws: Sequence[Any] | None = None
        if isinstance(summary, Groups):
            groups = self.groups(summary)
            draws = [groups[own] for own in spans]
        elif isinstance(summary, Mixture):
            draws = self.mixtures(summary, features)
        if draws is None:
            draws = [0 if summary is None else summary.seed(rng) for _ in self.names]
        return [Cells(self.rows[own], self.weights[own], draw) for own, draw in zip(spans, draws, strict=True)]

    def read(
        self,
        features: Features,
        *,
        summary: Summarizer | None = None,
        components: Floats | None = None,
        rng: np.random.Generator,
        n_jobs: int | None = 1,
        progress: str | None = None,
    ) -> Cohort:
        """Read the chosen cells; labels are all 0.

        Few samples are in memory at a time: one, and one more for each thread. With `components` (k, d) the points are
        the projected cells. A `summary` is taken of the points, or of the features and then projected; while that goes
        on for several samples, a bar with the text `progress` shows how many are done.
        """
        if isinstance(summary, Mixture) and summary.shared:
            cells = summary.share(self.read(features, rng=rng, n_jobs=n_jobs), summary.seed(rng))
            return cells if components is None else replace(cells, points=project(cells.points, components, n_jobs))
        sizes, samples = self.sizes, self._samples(summary, features.names, rng)
        of_features = summary is not None and summary.traits.of_features
        width = len(features.names) if components is None else len(components)
        dtype = features.dtype if components is None and not of_features else np.float64
        most, groups = _room(summary, samples, len(features.names) if of_features else width)
        points: Points = np.empty((int(most.sum()), width), dtype=dtype)
        weights = np.empty(len(points))
        profiles = np.empty((self.n_samples, len(features.names)))
        offsets = np.zeros(self.n_samples + 1, dtype=np.int64)
        faults: list[Fault] = []
        atoms = list[Integers | None]()
        hidden = progress is None or summary is None or self.n_samples == 1
        desc = "mixtures" if isinstance(summary, Mixture) else progress
        bar = tqdm(total=self.n_samples, desc=desc, unit="sample", disable=hidden, leave=False)
        parts = read_parts(features, samples, Recipe(features.dtype, components, summary), n_jobs)
        # Once for all samples: to begin and end it takes longer than a small one does.
        with bar, closing(parts), one_blas_thread():
            for p, part in enumerate(parts):
                faults += part.faults
                profiles[p] = part.profile
                start, stop = offsets[p], offsets[p] + min(len(part.points), most[p])
                points[start:stop], weights[start:stop] = part.points[: most[p]], part.weights[: most[p]]
                offsets[p + 1] = stop
                atoms.append(part.atoms)
                bar.update()
        raise_faults(features, faults)
        n = int(offsets[-1])
        cohort = Cohort(
            points[:n],
            weights[:n],
            offsets,
            np.zeros(self.n_samples, dtype=np.int64),
            self.names,
            np.array(["unknown"]),
            Origin(profiles, sizes),
            gaussian=summary is not None and summary.traits.atoms == "gaussian",
            atoms=joined_atoms(atoms),
        )
        return summary.share(cohort, np.concatenate(groups)) if isinstance(summary, Groups) else cohort


def _room(summary: Summarizer | None, samples: list[Cells], n_features: int) -> tuple[Integers, list[Integers]]:
    """Return (P,) the most points of samples, and the groups in each where their points are those of groups."""
    sizes = np.array([len(cells.rows) for cells in samples])
    if isinstance(summary, Groups):  # not room for as many points as there are cells
        groups = [present(np.asarray(cells.draw), cells.weights) for cells in samples]
        return np.array([len(own) for own in groups]), groups
    if isinstance(summary, Mixture) and summary.key is not None:
        return np.array([cells.draw.n_points for cells in samples]), []
    return sizes if summary is None else summary.most(sizes, n_features), []


def select(
    adata: AnnData,
    sample_key: str,
    *,
    weights_key: str | None = None,
    n_cells: int | None = None,
    min_cells: int = 1,
    rng: np.random.Generator,
    quiet: bool = False,
) -> Selection:
    """Choose the cells of each sample; an invalid `.obs` raises before any cell is read."""
    if not adata.obs_names.is_unique:
        twice = adata.obs_names[adata.obs_names.duplicated()]
        raise ValueError(
            f"adata.obs_names has {len(twice)} duplicated names (the first is {twice[0]!r}); "
            "call adata.obs_names_make_unique() first."
        )
    if adata.n_obs == 0:
        raise ValueError("adata has 0 cells; at least one sample is needed.")
    if n_cells is not None:
        check_whole("n_cells", n_cells, 1)
    check_whole("min_cells", min_cells, 1)
    column = find_column(adata, sample_key, "sample_key")
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise ValueError(
            f"adata.obs[{sample_key!r}] (sample_key) is missing for {len(missing)} of {adata.n_obs} cells (the first "
            f"is {adata.obs_names[missing[0]]!r}); leave these cells out with adata[adata.obs[{sample_key!r}].notna()]."
        )
    codes, found = text_codes(column)
    names = found.astype(str)
    weights = _cell_weights(adata, weights_key)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    kept = _large_enough(members, names, min_cells, quiet=quiet)
    chosen = [_draw(members[p], n_cells, rng) for p in kept]
    parts = []
    for p, rows in zip(kept, chosen, strict=True):
        largest = weights[rows].max()
        if largest <= 0:
            raise ValueError(f"The weights of sample {str(names[p])!r} in adata.obs[{weights_key!r}] sum to 0.")
        own = weights[rows] / largest  # their sum would overflow
        parts.append(own / own.sum())
    place = np.full(len(names), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return Selection(
        adata=adata,
        sample_key=sample_key,
        names=names[kept],
        offsets=np.concatenate([[0], np.cumsum([len(rows) for rows in chosen])]).astype(np.int64),
        rows=np.concatenate(chosen),
        weights=np.concatenate(parts),
        owner=place[codes],
    )


def as_text(column: pd.Series) -> np.ndarray:
    """Return (n_obs,) values of a column as text, the same for a category wherever it is asked for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(column.cat.categories).astype(str).to_numpy()[column.cat.codes.to_numpy()]
    return column.astype(str).to_numpy()


def as_numbers(column: pd.Series) -> Floats | None:
    """Return the values of a column as numbers, None if they are none; categories of numbers are numbers."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    numeric &= not pd.api.types.is_complex_dtype(values)
    return np.asarray(column, dtype=np.float64) if numeric else None


def value_order(column: pd.Series) -> Names:
    """Return the different values as text: categories in their order, numbers and dates by value, others by letter."""
    text = as_text(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = pd.Series(column.cat.categories).astype(str).to_numpy()
    elif pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column):
        names = np.sort(np.unique(text).astype(object))
    else:
        first = ~column.duplicated().to_numpy()
        names = text[first][np.argsort(column[first].to_numpy(), kind="stable")]
    used = set(text)
    return np.array([name for name in dict.fromkeys(names) if name in used]).astype(str)


def _cell_weights(adata: AnnData, weights_key: str | None) -> Floats:
    if weights_key is None:
        return np.ones(adata.n_obs)
    column = find_column(adata, weights_key, "weights_key")
    text = pd.api.types.is_object_dtype(column) and column.map(type).isin([str, bool]).any()
    # The numbers by which dates are kept are none of the user's.
    dates = pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column)
    if text or dates or pd.api.types.is_complex_dtype(column):
        number = (
            f"(adata.obs[{weights_key!r}] - start) / unit" if dates else f"pd.to_numeric(adata.obs[{weights_key!r}])"
        )
        raise ValueError(
            f"adata.obs[{weights_key!r}] (weights_key) does not hold numbers, but dtype {column.dtype}; "
            f"convert it first, such as {number}."
        )
    try:
        weights = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"adata.obs[{weights_key!r}] (weights_key) does not hold numbers.") from error
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        raise ValueError(
            f"adata.obs[{weights_key!r}] (weights_key) is negative or not finite for {len(bad)} cells; the first is "
            f"{adata.obs_names[bad[0]]!r} with {weights[bad[0]]}."
        )
    return weights


def _large_enough(members: list[Integers], names: Names, min_cells: int, *, quiet: bool) -> Integers:
    sizes = np.array([len(rows) for rows in members])
    small = np.flatnonzero(sizes < min_cells)
    if len(small) == len(members):
        raise ValueError(
            f"min_cells={min_cells}: none of the {len(members)} samples has as many; the largest has {sizes.max()}."
        )
    if len(small) and not quiet:
        listed = ", ".join(f"{str(names[p])!r} ({sizes[p]})" for p in small)
        warn(f"min_cells={min_cells} leaves out {len(small)} of {len(members)} samples (cells in brackets): {listed}.")
    return np.flatnonzero(sizes >= min_cells)


def _draw(rows: Integers, n_cells: int | None, rng: np.random.Generator) -> Integers:
    if n_cells is None or len(rows) <= n_cells:
        return rows
    return np.sort(rng.choice(rows, n_cells, replace=False))
