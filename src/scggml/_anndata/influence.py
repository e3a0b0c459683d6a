"""Donors of a metric by name, and the slot with the metric without each of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.forms import Entry
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices, warn
from scggml._anndata.metric import StoredMetric, read_derived
from scggml._anndata.reading import Reading
from scggml._anndata.results import write_result
from scggml._anndata.selection import Selection
from scggml._core.cohort import Integers
from scggml._core.explain.influence import centered, outliers, strangeness
from scggml._core.samples import Samples, Target


def read_donors(reading: Reading, selection: Selection) -> tuple[Integers, pd.Index]:
    """Return (P,) code of the donor of each sample, in order of first appearance, and the names of the donors."""
    if reading.groups_key is None:
        return np.arange(selection.n_samples), pd.Index(selection.names.astype(str))
    codes = selection.codes(reading.groups_key, "groups_key")
    first = np.unique(codes, return_index=True)[1]
    cells = selection.cells()[reading.groups_key].astype(str)
    return codes, pd.Index(cells.iloc[selection.offsets[:-1][first]])


def labels_of(target: Target, donors: Integers) -> list[str]:
    """Return the label of each donor as text; several are joined."""
    values = (
        [f"{v:g}" for v in target.values]
        if target.kind == "numbers"
        else [str(target.classes[c]) for c in target.codes]
    )
    return [
        " / ".join(dict.fromkeys(np.array(values, dtype=object)[donors == d])) for d in range(int(donors.max()) + 1)
    ]


FORM = {
    "table": Entry("table", numbers=("similarity", "separation", "fit", "strangeness"), text=("donor", "reason")),
    "separation": Entry("numbers", missing=True),
}


def write_influence(adata: AnnData, stored: StoredMetric, entry: Mapping[str, Any]) -> None:
    """Write the metric without each donor into `.uns`."""
    write_result(adata, Keys(stored.key).influence, {**entry, "fingerprint": stored.fingerprint})


def read_influence(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any]:
    """Return it; if it is missing or belongs to another metric, the message says what to call."""
    slot, call = Keys(stored.key).influence, f"sg.tl.influence(adata, key={stored.key!r})"
    return read_derived(adata, stored, slot, call, FORM)


def verdict(table: pd.DataFrame, separation: float, n_genes: int) -> str:
    """Return in words what was found."""
    named = table[table["reason"] != ""]
    stay = n_genes - table["genes_out"].map(lambda names: len(names.split(", ")) if names else 0)
    said = (
        f"Without any one of {len(table)} donors the metric is at least {table['similarity'].min():.2f} similar, the "
        f"separation of the others lies between {table['separation'].min():.2f} and {table['separation'].max():.2f} "
        f"({separation:.2f} with all), and at least {stay.min()} of the {n_genes} strongest genes stay. "
    )
    if named.empty:
        return said + "No donor stands out."
    listed = "; ".join(f"{row.donor} ({row.reason})" for row in named.itertuples())
    return f"{said}{len(named)} stand{'s' if len(named) == 1 else ''} out: {listed}."


def check_donors(target: Target, donors: Integers, names: pd.Index, fewest: int) -> None:
    """Raise unless enough is left of each class without any donor."""
    if len(names) < fewest:
        raise ValueError(f"There are {len(names)} donors; at least {fewest} are needed to see whether one stands out.")
    if target.kind == "numbers":
        return
    for d, name in enumerate(names):
        counts = np.bincount(target.codes[donors != d], minlength=target.n_classes)
        if counts.min() < 2:
            raise ValueError(
                f"Without donor {str(name)!r} class {str(target.classes[counts.argmin()])!r} has {counts.min()} "
                "samples, and at least 2 are needed to learn. Leave the class out, or merge it with another of "
                f"{choices(target.classes)}."
            )


SHARE, FEW_CELLS = 0.1, 10
"""A sample has few cells with less than this share of the median, or less than this number where most have many."""

MANY_CELLS = 5 * FEW_CELLS

LEVEL, MOST_POINTS, DONORS, CELLS = 0.002, 2_000, 10, 20
"""Level of the test of strange samples before learning, the cells that it compares, and the fewest donors and cells.

Few cells of a sample are far from others by chance, and more so in few dimensions.
"""


def warn_of_outlying(samples: Samples, target: Target, selection: Selection, *, of_cells: bool = True) -> None:
    """Warn of samples with few cells, and of those whose cells are unlike those of all others; list them.

    Points that do not stand for cells (`of_cells`) show nothing about the latter.
    """
    sizes = selection.sizes
    median = float(np.median(sizes))
    few = (sizes < SHARE * median) | ((sizes < FEW_CELLS) & (median >= MANY_CELLS))
    if few.any():
        named = [f"{name} ({size})" for name, size in zip(selection.names[few], sizes[few], strict=True)]
        warn(
            f"{len(named)} of {len(sizes)} samples have few cells (the median has {median:g}): {choices(named)}. Their "
            "distances are noisy, and they count as much as others; leave them out with min_cells."
        )
    if not of_cells or len(np.unique(samples.groups)) < DONORS or median < CELLS:
        return
    rng = np.random.default_rng(0)  # what is compared is no part of what is learned
    strange = strangeness(samples.cohort, samples.groups, rng, most=MOST_POINTS)
    found = outliers(centered(strange, target.codes), LEVEL, side=1)
    if found.any():
        warn(
            f"The cells of {int(found.sum())} of {len(sizes)} samples are unlike those of all others: "
            f"{choices(selection.names[found])}. Look at their quality and batch; sg.tl.influence(adata) shows the "
            "metric without each of them."
        )
