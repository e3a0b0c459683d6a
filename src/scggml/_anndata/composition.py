"""Read the shares of cell types, and tell of annotations that give labels away."""

import numpy as np

from scggml._anndata.messages import choices, warn
from scggml._anndata.selection import Selection
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.samples import Target


def warn_of_leaks(selection: Selection, target: Target, types: Integers, type_names: Names, key: str) -> None:
    """Warn of types that occur in one class only: an annotation that encodes the label makes everything perfect.

    Parameters
    ----------
    types, type_names
        (n_cells,) code of the type of each chosen cell, and the names of the codes.
    key
        Column of `.obs` with the types.
    """
    if target.kind == "numbers":
        return
    labels, classes = np.repeat(target.codes, selection.sizes), target.classes
    counts = np.zeros((len(type_names), len(classes)))
    np.add.at(counts, (types, labels), 1)
    alone = np.flatnonzero((counts > 0).sum(axis=1) == 1)
    if len(alone):
        listed = ", ".join(f"{str(type_names[t])!r} ({classes[counts[t].argmax()]})" for t in alone[:10])
        warn(
            f"{len(alone)} of the {len(counts)} types of adata.obs[{key!r}] occur in one class only: {listed}. If they "
            "were named by what tells the classes apart, composition is perfect by that alone."
        )


def shares_of_both(known: Selection, new: Selection, key: str, target: Target) -> tuple[Floats, Floats]:
    """Return (P, n_types) and (n, n_types) shares of the types that the reference has; others of new samples raise."""
    types, names = known.categories(key, "cell_type_key")
    warn_of_leaks(known, target, types, names, key)
    _, new_names = new.categories(key, "cell_type_key")
    unknown = [str(name) for name in new_names if name not in set(names)]
    if unknown:
        raise ValueError(
            f"adata.obs[{key!r}] (cell_type_key) has types that no sample of the reference has: {choices(unknown)}. "
            f"Name them as the reference does ({choices(names)}), or leave cell_type_key out."
        )
    shares = np.zeros((new.n_samples, len(names)))
    place = {name: i for i, name in enumerate(names)}
    shares[:, [place[name] for name in new_names]] = new.shares(key, "cell_type_key")
    return known.shares(key, "cell_type_key"), shares
