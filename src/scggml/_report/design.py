"""Look for what could explain a label beside the biology, in a table of samples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
"""P-value below which a column is said to go with the label."""

FEW = 12
"""Levels up to which a column is shown as a table."""


@dataclass(frozen=True)
class Suspicion:
    """A column of samples that goes with the label.

    Parameters
    ----------
    column
        Its name.
    text
        What was seen, in words.
    """

    column: str
    text: str


def suspicions(table: pd.DataFrame, label: str, size: str | None) -> list[Suspicion]:
    """Return the columns that go with the label, numbers of cells first; none for labels that are numbers."""
    labels = table[label]
    if _is_number(labels):
        return []
    found = []
    for name in sorted((n for n in table if n != label), key=lambda n: n != size):
        column = table[name]
        there = column.notna()
        if labels[there].nunique() < 2 or column[there].nunique() < 2:
            continue
        text = (_of_number if _is_number(column) else _of_levels)(column[there], labels[there].astype(str))
        if text:
            found.append(Suspicion(str(name), text))
    return found


def crosstab(table: pd.DataFrame, label: str, column: str) -> pd.DataFrame:
    """Return the number of samples of each label in each level of a column, the levels in the first column."""
    out = pd.crosstab(table[column].astype(str), table[label])
    numbers = pd.to_numeric(pd.Series(out.index), errors="coerce").to_numpy()
    order = np.lexsort((out.index.to_numpy(dtype=str), numbers))  # levels that are numbers by their size, before others
    out = out.iloc[order]
    out.columns = out.columns.astype(str)
    levels = list(out.index)
    out = out.reset_index(drop=True)
    out.insert(0, column, levels, allow_duplicates=True)  # a label may be called as the column is
    return out


def _of_number(column: pd.Series, labels: pd.Series) -> str:
    """Return what a rank test says about a column of numbers, empty if it says nothing."""
    parts = {name: column[labels == name].to_numpy(dtype=float) for name in labels.unique()}
    p = float(stats.kruskal(*parts.values()).pvalue)
    if not p <= LEVEL:
        return ""
    medians = ", ".join(f"{np.median(values):.4g} in {name}" for name, values in parts.items())
    text = f"differs between the labels (median {medians}; Kruskal-Wallis p = {p:.2g})"
    if len(parts) == 2:
        a, b = parts.values()
        auc = float(stats.mannwhitneyu(a, b).statistic) / (len(a) * len(b))
        text += f"; alone it would tell them apart with AUROC {max(auc, 1 - auc):.2f}"
    return text


def _of_levels(column: pd.Series, labels: pd.Series) -> str:
    """Return what is one-sided about a column of categories, empty if nothing is."""
    counts = pd.crosstab(column.astype(str), labels)
    p = float(stats.chi2_contingency(counts, correction=False).pvalue)
    overall = labels.value_counts(normalize=True).max()
    one_sided = [
        f"{level} ({row.sum()} samples, all {row.idxmax()})"
        for level, row in counts.iterrows()
        if (row > 0).sum() == 1 and row.sum() >= 4 and overall ** row.sum() <= LEVEL * 4
    ]
    if p > LEVEL and not one_sided:
        return ""
    text = f"goes with the label (chi-squared p = {p:.2g})" if p <= LEVEL else "is one-sided"
    return text + (f"; one label only: {', '.join(one_sided)}" if one_sided else "")


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column)) and not pd.api.types.is_bool_dtype(column)
