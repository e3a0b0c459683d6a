"""What the columns of `.obs` say about whole samples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.read import as_text, choices
from scggml._core.cohort import Floats, Integers, Names


@dataclass(frozen=True)
class SampleColumns:
    """Columns of `.obs`, sample by sample.

    Parameters
    ----------
    names, offsets
        (P,) samples, and (P + 1,) where each begins in `rows`.
    rows
        (n_cells,) positions of the cells, sample by sample.
    """

    adata: AnnData
    sample_key: str
    names: Names
    offsets: Integers
    rows: Integers

    def _column(self, key: str, argument: str) -> pd.Series:
        if key not in self.adata.obs:
            raise KeyError(f"{argument}={key!r} is not a column of adata.obs, which has {choices(self.adata.obs)}.")
        column = self.adata.obs[key].iloc[self.rows]
        if column.isna().any():
            cell = column.index[column.isna()][0]
            raise ValueError(
                f"adata.obs[{key!r}] ({argument}) is missing for {int(column.isna().sum())} cells (the first is "
                f"{str(cell)!r}); leave these cells out or fill the column."
            )
        return column

    def codes(self, key: str, argument: str) -> Integers:
        """(P,) code of each sample's value; a sample has one."""
        codes, values = pd.factorize(as_text(self._column(key, argument)))
        offsets = self.offsets
        first = codes[offsets[:-1]]
        torn = np.flatnonzero(codes != np.repeat(first, np.diff(offsets)))
        if len(torn):
            sample = int(np.searchsorted(offsets, torn[0], side="right")) - 1
            found = values[np.unique(codes[offsets[sample] : offsets[sample + 1]])]
            raise ValueError(
                f"Sample {str(self.names[sample])!r} of adata.obs[{self.sample_key!r}] has more than one value "
                f"in adata.obs[{key!r}] ({argument}): {choices(found)}. A sample has one; pass another column, or "
                "split such samples by joining both columns into a new sample_key."
            )
        return first.astype(np.int64)

    def shares(self, key: str, argument: str) -> Floats:
        """(P, n_types) share of the cells of each sample that have each value."""
        codes, values = pd.factorize(as_text(self._column(key, argument)))
        owner = np.repeat(np.arange(len(self.names)), np.diff(self.offsets))
        counts = np.zeros((len(self.names), len(values)))
        np.add.at(counts, (owner, codes), 1.0)
        out: Floats = counts / counts.sum(axis=1, keepdims=True)
        return out


def columns_of(adata: AnnData, sample_key: str, names: Names) -> SampleColumns:
    """The columns of the given samples, all of their cells looked at."""
    codes = pd.Index(names).get_indexer(pd.Index(as_text(adata.obs[sample_key])))
    rows = np.argsort(codes, kind="stable")[int((codes < 0).sum()) :]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes[codes >= 0], minlength=len(names)))])
    return SampleColumns(adata, sample_key, names, offsets, rows)
