"""Parts of all synthetic cohorts: the check of their sizes, and the order and names of their cells."""

import numpy as np
import pandas as pd


def check_sizes(minimum: int, **sizes: object) -> None:
    """Raise unless all sizes are whole numbers of at least `minimum`.

    >>> check_sizes(1, n_cells=3)
    """
    for name, size in sizes.items():
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or size < minimum:  # type: ignore[operator]  # a whole number by now
            msg = f"{name}={size!r} does not fit: give a whole number of at least {minimum}."
            raise ValueError(msg)


def cell_table(n_classes: int, n_samples: int, n_cells: int) -> pd.DataFrame:
    """Return `.obs` of a cohort with `n_cells` cells in each sample, cells in the order of the samples.

    >>> cell_table(2, 1, 2)
           sample_id   label
    cell0  class0_00  class0
    cell1  class0_00  class0
    cell2  class1_00  class1
    cell3  class1_00  class1
    """
    width = max(2, len(str(n_samples - 1)))
    labels = pd.Index([f"class{c}" for c in range(n_classes)])
    samples = pd.Index([f"{label}_{s:0{width}d}" for label in labels for s in range(n_samples)])
    sample = np.repeat(np.arange(len(samples)), n_cells)
    return pd.DataFrame(
        {
            "sample_id": pd.Categorical.from_codes(sample, categories=samples),
            "label": pd.Categorical.from_codes(sample // n_samples, categories=labels),
        },
        index=[f"cell{i}" for i in range(len(sample))],
    )
